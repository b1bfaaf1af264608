import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from spd.backbones.files import load
from spd.detectors.finetuned.evaluation import build
from spd.detectors.finetuned.options import ClassifierOptions, UNetOptions
from spd.detectors.finetuned.training import (
    Normalise,
    fine_tune,
    flipped,
    flips,
    order,
    score,
    set_modes,
    steps_of,
)

NORMALISE = Normalise((0.5, 0.4, 0.3), (0.2, 0.25, 0.5), "cpu")
CLASSIFIER = ClassifierOptions(min_steps=6, epochs=1, lr=1e-3)
UNET = UNetOptions(min_steps=6, epochs=1, lr=1e-3, decoder_channels=(16, 8, 8, 8, 8))


def data(n=10, size=32, seed=0):
    """uint8 images (n, 3, size, size), labels (n,), masks (n, size, size): every other has a square."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(80, 120, (n, 3, size, size), dtype=torch.uint8, generator=generator)
    masks = torch.zeros(n, size, size, dtype=torch.uint8)
    masks[1::2, 8:20, 4:16] = 1
    images[masks[:, None].expand_as(images) == 1] = 230
    return images, (torch.arange(n) % 2).float(), masks


def network(detector, options, backbone, seed="test"):
    return build(detector, options, load(backbone)[0], seed)


@given(n=st.integers(1, 40), epochs=st.integers(1, 6), least=st.integers(1, 30), batch=st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_every_step_has_as_many_images_and_every_image_is_seen_equally_often(n, epochs, least, batch):
    options = ClassifierOptions(epochs=epochs, min_steps=least, batch=batch)
    chosen = order(n, options, "seed")
    assert chosen.shape == (steps_of(n, options), min(batch, n))
    assert len(chosen) >= least
    assert chosen.size >= epochs * n
    counts = np.bincount(chosen.ravel(), minlength=n)
    assert counts.max() - counts.min() <= 1
    assert np.array_equal(chosen, order(n, options, "seed"))


def test_flips_follow_their_probability_and_their_seed():
    found = flips(2000, 8, CLASSIFIER, "seed")
    assert abs(found.mean() - 0.5) < 5 * 0.5 / np.sqrt(found.size)
    assert np.array_equal(found, flips(2000, 8, CLASSIFIER, "seed"))
    assert not np.array_equal(found, flips(2000, 8, CLASSIFIER, "other"))
    assert not flips(50, 8, ClassifierOptions(flip=0), "seed").any()


def test_images_and_masks_are_mirrored_together_and_nothing_else_is_done():
    images, _, masks = data(4)
    which = torch.tensor([True, False, True, False])
    x, y = flipped(images, which), flipped(masks, which)
    assert np.array_equal(x[0], np.fliplr(images[0].permute(1, 2, 0)).transpose(2, 0, 1))
    assert np.array_equal(y[2], np.fliplr(masks[2]))
    assert torch.equal(x[[1, 3]], images[[1, 3]])


def test_normalisation_is_the_backbones():
    images = data(2)[0]
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.5]).view(3, 1, 1)
    torch.testing.assert_close(NORMALISE(images), (images / 255 - mean) / std, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("detector", "options", "enough"),
    [
        ("classifier", ClassifierOptions(min_steps=60, epochs=1, lr=3e-3, flip=0), 1e-3),
        ("unet", UNET.model_copy(update={"min_steps": 100, "lr": 1e-2, "flip": 0}), 2e-3),
    ],
)
def test_the_loss_on_one_batch_can_be_driven_to_near_zero(detector, options, enough, backbone):
    images, labels, masks = data(8)
    trained = network(detector, options, backbone)
    targets = masks if detector == "unet" else labels
    losses = fine_tune(trained, images, targets, options, NORMALISE, seed="s")
    assert losses[-1] < enough < losses[0] / 20


@pytest.mark.parametrize(("detector", "options"), [("classifier", CLASSIFIER), ("unet", UNET)])
def test_a_seed_gives_the_same_bits_twice_and_another_seed_others(detector, options, backbone):
    images, labels, masks = data()
    targets = masks if detector == "unet" else labels

    def run(seed):
        torch.rand(3)  # the global generator must not matter
        trained = network(detector, options, backbone, seed)
        losses = fine_tune(trained, images, targets, options, NORMALISE, seed=seed)
        return losses, trained.state_dict(), score(trained, images.numpy(), NORMALISE, "cpu")

    (losses, state, scores), (again, state2, scores2) = run("a"), run("a")
    assert losses == again
    assert all(torch.equal(state[key], state2[key]) for key in state)
    assert np.array_equal(scores, scores2)
    assert run("b")[0] != losses


@pytest.mark.parametrize(("detector", "options"), [("classifier", CLASSIFIER), ("unet", UNET)])
def test_a_frozen_backbone_keeps_every_tensor_and_a_tuned_one_keeps_none(detector, options, backbone):
    images, labels, masks = data()
    targets = masks if detector == "unet" else labels
    before = load(backbone)[0].state_dict()

    def changed(**update):
        chosen = options.model_copy(update=update)
        trained = network(detector, chosen, backbone)
        fresh = copy.deepcopy(trained.state_dict())
        fine_tune(trained, images, targets, chosen, NORMALISE, seed="s")
        head = [k for k in fresh if not k.startswith(("backbone.", "encoder."))]
        assert any(not torch.equal(fresh[k], trained.state_dict()[k]) for k in head)
        after = trained.backbone.state_dict()
        return {key for key in before if not torch.equal(before[key], after[key])}

    assert changed(tune="head") == set()
    assert changed() == set(before)


def test_batch_norm_normalises_by_the_batch_and_keeps_running_statistics_or_leaves_them(backbone):
    images, labels, _ = data()
    statistics = [k for k in load(backbone)[0].state_dict() if "running" in k or "num_batches" in k]
    before = load(backbone)[0].state_dict()
    for mode, kept in (("batch", False), ("frozen", True)):
        options = CLASSIFIER.model_copy(update={"batch_norm": mode})
        trained = network("classifier", options, backbone)
        fine_tune(trained, images, labels, options, NORMALISE, seed="s")
        after = trained.backbone.state_dict()
        assert all(torch.equal(before[k], after[k]) == kept for k in statistics)
        assert not torch.equal(before["bn1.weight"], after["bn1.weight"])  # scale and shift are trained


def test_with_ten_images_batch_statistics_are_of_eight_images_in_every_step(backbone):
    images, labels, _ = data(10)
    trained = network("classifier", CLASSIFIER, backbone)
    seen = []
    trained.backbone.bn1.register_forward_hook(
        lambda module, inputs, _: seen.append((len(inputs[0]), module.training))
    )
    fine_tune(trained, images, labels, CLASSIFIER, NORMALISE, seed="s")
    assert seen == [(8, True)] * 6
    # the running mean is the usual exponential average of those batches' means
    repeated = network("classifier", CLASSIFIER.model_copy(update={"lr": 1e-12}), backbone)
    slow = CLASSIFIER.model_copy(update={"lr": 1e-12, "weight_decay": 0, "flip": 0})
    fine_tune(repeated, images, labels, slow, NORMALISE, seed="s")
    start = load(backbone)[0]
    expected = start.bn1.running_mean.clone()
    with torch.no_grad():
        for batch in order(10, slow, "s"):
            mean = start.conv1(NORMALISE(images[batch])).mean((0, 2, 3))
            expected += start.bn1.momentum * (mean - expected)
    torch.testing.assert_close(repeated.backbone.bn1.running_mean, expected, rtol=1e-4, atol=1e-4)


def test_a_scored_image_does_not_depend_on_the_others(backbone):
    images = data(20)[0].numpy()
    for detector, options in (("classifier", CLASSIFIER), ("unet", UNET)):
        trained = network(detector, options, backbone)
        together = score(trained, images, NORMALISE, "cpu")
        alone = np.concatenate([score(trained, images[i : i + 1], NORMALISE, "cpu") for i in (0, 17)])
        assert together.dtype == np.float32
        np.testing.assert_allclose(together[[0, 17]], alone, rtol=1e-4, atol=1e-4)


def test_training_learns_what_there_is_to_learn(backbone):
    images, labels, masks = data(10)
    unseen, unseen_labels, unseen_masks = data(24, seed=9)
    options = CLASSIFIER.model_copy(update={"min_steps": 40})
    trained = network("classifier", options, backbone)
    fine_tune(trained, images, labels, options, NORMALISE, seed="s")
    assert roc_auc_score(unseen_labels, score(trained, unseen.numpy(), NORMALISE, "cpu")) > 0.95
    options = UNET.model_copy(update={"min_steps": 60, "lr": 1e-2})
    trained = network("unet", options, backbone)
    fine_tune(trained, images, masks, options, NORMALISE, seed="s")
    maps = score(trained, unseen.numpy(), NORMALISE, "cpu")
    assert roc_auc_score(unseen_masks.numpy().ravel(), maps.ravel()) > 0.9


def test_bfloat16_is_close_and_heads_stay_float32(backbone):
    images, labels, masks = data(8)
    for detector, options, targets in (("classifier", CLASSIFIER, labels), ("unet", UNET, masks)):
        first = []
        for precision in ("float32", "bfloat16"):
            chosen = options.model_copy(update={"precision": precision})
            trained = network(detector, chosen, backbone)
            first.append(fine_tune(trained, images, targets, chosen, NORMALISE, seed="s")[0])
            assert {p.dtype for p in trained.parameters()} == {torch.float32}
        assert first[1] == pytest.approx(first[0], rel=0.03)
        assert first[1] != first[0]


def test_a_loss_that_is_not_finite_is_refused(backbone):
    images, labels, _ = data(8)
    options = CLASSIFIER.model_copy(update={"lr": 1e30, "optimiser": "sgd", "schedule": "constant"})
    with pytest.raises(ValueError, match=r"the loss is not finite at step .*lower `lr`"):
        fine_tune(network("classifier", options, backbone), images, labels, options, NORMALISE, seed="s")


def test_frozen_layers_take_no_gradient(backbone):
    trained = network("classifier", CLASSIFIER, backbone)
    set_modes(trained, CLASSIFIER.model_copy(update={"tune": "head"}))
    assert not any(p.requires_grad for p in trained.backbone.parameters())
    assert all(p.requires_grad for p in trained.head.parameters())
