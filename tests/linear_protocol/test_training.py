"""The linear protocol against a twin written by hand, on a small random network."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from spd.backbones import architectures, files
from spd.data import corpus
from spd.linear_protocol import training
from spd.linear_protocol.options import LinearOptions
from spd.seeds import seed_of
from spd.views.options import ViewsOptions
from spd.views.views import apply, centre_crop, draw, normalise

OPTIONS = {"batch": 9, "epochs": 4, "lr": 1.0, "milestones": (0.5,), "size": 16}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    path = tmp_path_factory.mktemp("backbone") / "backbone.safetensors"
    torch.manual_seed(0)
    model = architectures.build("resnet10_w4")
    with torch.no_grad():  # statistics that are not those of a new network
        for _ in range(3):
            model.train()(torch.randn(8, 3, 16, 16))
    files.export(model, path, architecture="resnet10_w4", metadata={"mean": [0.4] * 3, "std": [0.3] * 3})
    return path


def images(count=60, size=24):
    """Three classes that differ in colour: a red, a green and a blue one, with noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 90, (count, 3, size, size), dtype=np.uint8)
    pixels[np.arange(count), labels] += 120
    return corpus.from_arrays(pixels, labels)


def judge(backbone, folder, **options):
    found = images()
    kept, judged = found.split(0.2, 3)
    return training.top1(
        backbone, found, kept, judged, LinearOptions(**(OPTIONS | options)), seed=3,
        checkpoint_path=folder / "c.checkpoint", device="cpu", progress=False,
    )  # fmt: skip


def classifier(folder):
    return torch.load(folder / "c.checkpoint", weights_only=True)["classifier"]


def test_sgd_steps_equal_those_of_a_twin_and_so_does_the_accuracy(backbone, tmp_path):
    got = judge(backbone, tmp_path, epochs=2, weight_decay=0.01)
    found = images()
    kept, judged = found.split(0.2, 3)
    network, about = files.load(backbone)
    plain = {"jitter": {"p": 0}, "grayscale": 0, "blur": {"p": 0}}
    strong = {"size": 16, "scale": (0.08, 1.0), **plain}
    views = ViewsOptions.model_validate({"strong": strong, "mean": about.mean, "std": about.std})
    generator = torch.Generator().manual_seed(seed_of(3, "linear", "weights"))
    weight = torch.empty(3, 32).normal_(0, 0.01, generator=generator).requires_grad_()
    bias = torch.zeros(3, requires_grad=True)
    buffers = [torch.zeros(3, 32), torch.zeros(3)]
    steps = -(-len(kept) // 9)
    for step in range(2 * steps):
        epoch, place = divmod(step, steps)
        part = kept[corpus.order(len(kept), 3, epoch)][9 * place : 9 * place + 9]
        draws = draw(views, seed=seed_of(3, "linear"), step=step, batch=len(part), names=("x",))
        x = apply(found.batch(part), found.sizes[part], draws, views)["x"]
        with torch.no_grad():
            h = network(x)
        loss = cross_entropy(h @ weight.T + bias, torch.from_numpy(found.labels[part]))
        gradients = torch.autograd.grad(loss, [weight, bias])
        with torch.no_grad():
            for w, g, b in zip((weight, bias), gradients, buffers, strict=True):
                b.mul_(0.9).add_(g + 0.01 * w)
                w.sub_((1.0 if epoch < 1 else 0.1) * b)
    assert steps * 9 != len(kept), "the last batch of an epoch is a smaller one"
    torch.testing.assert_close(classifier(tmp_path)["weight"], weight.detach(), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        seen = normalise(centre_crop(found.batch(judged), found.sizes[judged], 16), views)
        said = (network(seen) @ weight.T + bias).argmax(1)
    assert got == pytest.approx(100 * float((said == torch.from_numpy(found.labels[judged])).double().mean()))


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 8},
        {"epochs": 20, "optimiser": "lars", "lr": 10.0, "schedule": "cosine"},
        {"epochs": 8, "nesterov": True, "schedule": "cosine", "schedule_by": "step"},
        {"epochs": 8, "precision": "bfloat16"},
    ],
)  # fmt: skip
def test_classes_that_can_be_told_apart_are(backbone, tmp_path, options):
    assert judge(backbone, tmp_path, **options) > 90


def test_nothing_of_the_backbone_moves(backbone, tmp_path, monkeypatch):
    seen, load = [], files.load

    def remembered(path):
        model, about = load(path)
        seen.append(model)
        return model, about

    monkeypatch.setattr(training.files, "load", remembered)
    before = backbone.read_bytes()
    judge(backbone, tmp_path)
    expected = load(backbone)[0].state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in seen[0].state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in seen[0].parameters())
    assert backbone.read_bytes() == before


def test_a_backbone_that_moves_is_refused(backbone, tmp_path, monkeypatch):
    model, about = files.load(backbone)
    monkeypatch.setattr(training.files, "load", lambda path: (model.train(), about))
    with pytest.raises(RuntimeError, match=r"the frozen backbone has moved \(bn1.running_mean"):
        judge(backbone, tmp_path, epochs=1, size=64)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(backbone, tmp_path, monkeypatch):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    straight = judge(backbone, tmp_path / "a")
    save = training.checkpoint.save

    def stop_after_two(path, *, step, **state):
        save(path, step=step, **state)
        if step == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(training.checkpoint, "save", stop_after_two)
        judge(backbone, tmp_path / "b")
    torch.rand(7)  # nothing random is saved, and nothing is taken from torch's own generator
    assert judge(backbone, tmp_path / "b") == straight
    one, other = classifier(tmp_path / "a"), classifier(tmp_path / "b")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_checkpoint_of_other_options_is_refused(backbone, tmp_path):
    judge(backbone, tmp_path, epochs=1)
    with pytest.raises(ValueError, match="belongs to another run"):
        judge(backbone, tmp_path, epochs=2)


def test_without_images_to_judge_by_it_says_where_to_get_some(backbone, tmp_path):
    found = images()
    kept, judged = found.split(0, 3)
    with pytest.raises(ValueError, match="val/ beside train/"):
        training.top1(backbone, found, kept, judged, LinearOptions(), seed=0, checkpoint_path=tmp_path / "c")


def test_a_loss_that_is_not_finite_stops(backbone, tmp_path):
    with pytest.raises(RuntimeError, match=r"epoch \d: the loss is not finite"):
        judge(backbone, tmp_path, lr=1e38)
