import pytest
import torch
from torch.nn.functional import cosine_similarity, cross_entropy

from spd.methods.build import base, build
from spd.methods.options import SPDOptions
from spd.methods.spd import WithSPD

LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
METHODS = ["simsiam", "moco", "simclr", "supervised"]


def models(small_recipe, method, **spd):
    """The base method and the same one with the SPD term, from the same seed."""
    built = []
    for options in (None, SPDOptions(**spd)):
        torch.manual_seed(0)
        built.append(build("resnet10_w4", small_recipe(method), options, classes=3))
    return built


@pytest.mark.parametrize("method", METHODS)
def test_eta_0_is_the_base_method_itself(small_recipe, method):
    plain, zero = models(small_recipe, method, eta=0)
    assert not isinstance(zero, WithSPD)
    assert all(
        torch.equal(a, b)
        for a, b in zip(plain.state_dict().values(), zero.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_method_starts_from_the_same_weights_with_spd(small_recipe, method):
    plain, with_spd = models(small_recipe, method, eta=0.5)
    state = base(with_spd).state_dict()
    assert all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())


@pytest.mark.parametrize("method", ["simsiam", "moco", "simclr"])
def test_the_term_is_eta_times_cos_minus_less_cos_plus(small_recipe, small_views, method):
    plain, model = models(small_recipe, method, eta=0.5)
    expected = plain(small_views, LABELS, 3)["loss"]
    out = model(small_views, LABELS, 3)
    torch.testing.assert_close(out["base"], expected.detach())
    plus, minus = (cosine_similarity(out["z"], out[f"z_{name}"], dim=1).mean() for name in ("plus", "minus"))
    torch.testing.assert_close(out["spd"], (minus - plus).detach())
    torch.testing.assert_close(out["loss"], out["base"] + 0.5 * out["spd"])
    torch.testing.assert_close((out["cos_plus"], out["cos_minus"]), (plus.detach(), minus.detach()))


def test_supervised_has_a_binary_classifier_on_the_pooled_feature(small_recipe, small_views):
    plain, model = models(small_recipe, "supervised", eta=0.1)
    expected = plain(small_views, LABELS, 0)["loss"]
    out = model(small_views, LABELS, 0)
    both = torch.stack([small_views["plus"], small_views["minus"]], 1).flatten(0, 1)
    logits = model.perturbed(base(model).backbone(both))
    term = cross_entropy(logits, torch.tensor([0, 1] * 8))
    torch.testing.assert_close(out["spd"], term.detach())
    torch.testing.assert_close(out["loss"], expected + 0.1 * term)


@pytest.mark.parametrize("method", ["simsiam", "supervised"])
@pytest.mark.parametrize(("objective", "has_classifier"), [("cosine", False), ("xent", True)])
def test_the_objective_can_be_chosen_for_every_method(
    small_recipe, small_views, method, objective, has_classifier
):
    _, model = models(small_recipe, method, objective=objective)
    assert (model.perturbed is not None) == has_classifier
    model(small_views, LABELS, 0)["loss"].backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(("stop_gradient", "flows"), [("none", True), ("both", False)])
def test_stop_gradient(small_recipe, small_views, stop_gradient, flows):
    _, model = models(small_recipe, "simclr", eta=1.0, stop_gradient=stop_gradient)
    views = {name: x.requires_grad_(name in ("plus", "minus")) for name, x in small_views.items()}
    out = model(views, LABELS, 0)
    gradient = torch.autograd.grad(out["loss"], [views["plus"], views["minus"]], allow_unused=True)
    assert [g is not None for g in gradient] == [flows, flows]
    # the anchor is pulled and pushed either way
    plain, _ = models(small_recipe, "simclr")
    base_gradient = torch.autograd.grad(plain(small_views, LABELS, 0)["loss"], plain.backbone.conv1.weight)[0]
    model.zero_grad()
    model(small_views, LABELS, 0)["loss"].backward()
    assert not torch.allclose(base(model).backbone.conv1.weight.grad, base_gradient, rtol=1e-3)


def test_the_image_itself_as_anchor(small_recipe, small_views):
    _, model = models(small_recipe, "simclr", anchor="image")
    out = model(small_views, LABELS, 0)
    z = base(model).embed(small_views["anchor"])
    torch.testing.assert_close(out["cos_plus"], cosine_similarity(z, out["z_plus"], dim=1).mean())


def test_moco_keeps_the_spd_views_out_of_the_queue(small_recipe, small_views):
    plain, model = models(small_recipe, "moco")
    for m in (plain, model):
        m(small_views, LABELS, 0)
        base(m).after_step(1.0)
    assert torch.equal(plain.queue, base(model).queue)


@pytest.mark.parametrize("encoder", ["query", "key"])
def test_mocos_encoder_of_the_spd_views(small_recipe, small_views, encoder):
    _, model = models(small_recipe, "moco", moco_encoder=encoder)
    method = base(model)
    for part in (*method.key_encoder.parameters(), *method.projector.parameters()):
        part.data.mul_(1.1)  # away from the common start
    views = {name: x.requires_grad_(name in ("plus", "minus")) for name, x in small_views.items()}
    out = model(views, LABELS, 0)
    embed = method.embed if encoder == "query" else method.key_encoder
    for name in ("plus", "minus"):
        torch.testing.assert_close(out[f"z_{name}"], embed(views[name]).detach())
    gradient = torch.autograd.grad(out["loss"], [views["plus"], views["minus"]], allow_unused=True)
    assert [g is not None for g in gradient] == [encoder == "query"] * 2


def test_mocos_encoder_is_no_matter_to_other_methods(small_recipe, small_views):
    losses = [
        models(small_recipe, "simclr", moco_encoder=encoder)[1](small_views, LABELS, 0)["loss"]
        for encoder in ("query", "key")
    ]
    assert torch.equal(*losses)
    assert models(small_recipe, "supervised", moco_encoder="key")[1].perturbed is not None


def test_with_own_statistics_simsiam_hides_the_change_from_a_linear_classifier(small_recipe):
    # z ends in a BatchNorm without affine: both kinds have mean 0, so ln 2 is the least of a convex loss
    _, model = models(small_recipe, "simsiam")
    plus = torch.randn(8, 3, 24, 24)
    minus = plus + torch.linspace(0, 3, 24)  # a change that anyone could see
    for shared, most in ((False, 1e-6), (True, None)):
        model.shared = shared
        z_plus, z_minus = model.embed_pair(plus, minus)
        slope = (z_plus.mean(0) - z_minus.mean(0)).norm() / 4  # the loss's gradient at weights of 0
        assert slope < most if most else slope > 0.1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("batch_norm", "pairs"), [("ghost", 2), ("global", 8)])
def test_shared_statistics_mix_pairs_in_each_group(small_recipe, small_views, method, batch_norm, pairs):
    torch.manual_seed(0)
    recipe = small_recipe(method, batch_norm=batch_norm, batch_norm_group=4)
    spd = SPDOptions(objective="cosine", statistics="shared")
    model = build("resnet10_w4", recipe, spd, classes=3)
    plus, minus = (small_views[name].split(pairs) for name in ("plus", "minus"))
    groups = [base(model).embed(torch.cat(both)).chunk(2) for both in zip(plus, minus, strict=True)]
    out = model(small_views, LABELS, 0)
    for name, parts in zip(("plus", "minus"), zip(*groups, strict=True), strict=True):
        torch.testing.assert_close(out[f"z_{name}"], torch.cat(parts).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("anchor", ["q", "image"])
def test_running_statistics_are_those_of_the_base_method(small_recipe, small_views, method, anchor):
    plain, model = models(small_recipe, method, anchor=anchor)
    _, moved = models(small_recipe, method, anchor=anchor, running_statistics="all")
    for m in (plain, model, moved):
        m(small_views, LABELS, 0)
    expected, kept, other = (
        {key: value for key, value in base(m).state_dict().items() if "running" in key or "tracked" in key}
        for m in (plain, model, moved)
    )
    assert all(torch.equal(value, kept[key]) for key, value in expected.items())
    assert not torch.equal(other["backbone.bn1.running_mean"], expected["backbone.bn1.running_mean"])


@pytest.mark.parametrize(
    ("method", "options", "way_out"),
    [
        (
            "simsiam",
            {"objective": "xent", "statistics": "own"},
            "own embeds each kind .* use statistics: shared",
        ),
        ("supervised", {"statistics": "own"}, "own embeds each kind .* or objective: cosine"),
        (
            "supervised",
            {"stop_gradient": "both"},
            "stop_gradient: both .* use stop_gradient: none or objective",
        ),
        (
            "moco",
            {"objective": "xent", "moco_encoder": "key"},
            "moco_encoder: key .* use moco_encoder: query",
        ),
    ],
)
def test_xent_without_gradient_is_refused(small_recipe, method, options, way_out):
    with pytest.raises(ValueError, match=way_out):
        models(small_recipe, method, **options)
