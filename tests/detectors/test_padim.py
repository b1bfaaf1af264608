import numpy as np
import pytest
import torch
from torch.nn import functional as F

from spd.detectors.maps import pixel_maps
from spd.detectors.options import PaDiMOptions
from spd.detectors.padim import PaDiM, draw_channels

GRIDS = {"layer1": (8, (8, 6)), "layer2": (12, (4, 3)), "layer3": (20, (2, 2))}  # the last does not divide


def make(n, seed, grids=GRIDS, scale=1.0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99)
    features = {}
    for stage, (channels, (h, w)) in grids.items():
        basis = mixing.normal(size=(channels, channels))
        values = rng.normal(size=(n, h, w, channels)) @ basis * scale + 3
        features[stage] = np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)
    return features


def textbook(train, test, channels, epsilon):
    """Mahalanobis distances (T, h, w) by concatenation, numpy's covariance and its inverse, in float64."""
    size = next(iter(train.values())).shape[2:]

    def join(features):
        parts = [
            F.interpolate(torch.from_numpy(f).double(), size=size, mode="nearest") for f in features.values()
        ]
        return torch.cat(parts, 1).numpy()[:, channels]

    a, b = join(train), join(test)
    distances = np.empty((len(b), *size))
    for y in range(size[0]):
        for x in range(size[1]):
            inverse = np.linalg.inv(np.cov(a[:, :, y, x].T) + epsilon * np.eye(len(channels)))
            difference = b[:, :, y, x] - a[:, :, y, x].mean(0)
            distances[:, y, x] = np.sqrt(np.einsum("ti,ij,tj->t", difference, inverse, difference))
    return distances


@pytest.mark.parametrize("solver", ["dual", "primal"])
@pytest.mark.parametrize("n", [2, 15, 70])
def test_equals_the_textbook(solver, n):
    train, test = make(n, 1), make(6, 2)
    model = PaDiM(PaDiMOptions(dim=30, solver=solver, epsilon=0.012)).fit(train)
    images, maps = model.score(test, (32, 24))
    distances = textbook(train, test, model.channels, 0.012)
    np.testing.assert_allclose(maps, pixel_maps(distances, (32, 24)), rtol=1e-4)
    np.testing.assert_allclose(images, maps.max((1, 2)))
    assert model.report["solver"] == solver
    assert model.report["relative_error_measured"] <= 1e-4
    assert images.dtype == maps.dtype == np.float32


def test_patch_max_ignores_the_blur():
    train, test = make(15, 1), make(6, 2)
    model = PaDiM(PaDiMOptions(dim=30, image_score="patch_max")).fit(train)
    distances = textbook(train, test, model.channels, 0.01)
    np.testing.assert_allclose(model.score(test, (32, 24))[0], distances.max((1, 2)), rtol=1e-4)


def test_cancellation_is_noticed_and_repaired_in_float64():
    """Features far larger than epsilon, test images inside the training span: float32 loses every digit."""
    grids = {"layer1": (40, (2, 2)), "layer2": (40, (1, 1))}
    train = make(20, 1, grids, scale=300.0)
    weights = np.random.default_rng(3).normal(size=(4, 20))
    weights /= weights.sum(1, keepdims=True)
    test = {k: np.einsum("tn,nchw->tchw", weights, v).astype(np.float32) for k, v in train.items()}
    model = PaDiM(PaDiMOptions(solver="dual", image_score="patch_max", blur_sigma=0)).fit(train)
    images, _ = model.score(test, (2, 2))
    assert model.report["positions_in_float64"] == 4
    assert model.report["relative_error_measured"] < 1e-4
    np.testing.assert_allclose(images, textbook(train, test, np.arange(80), 0.01).max((1, 2)), rtol=1e-3)


def test_batches_and_memory_maps_change_nothing(tmp_path):
    train, test = make(15, 1), make(6, 2)
    for stage, values in train.items():
        np.save(tmp_path / f"{stage}.npy", values)
    mapped = {stage: np.load(tmp_path / f"{stage}.npy", mmap_mode="r") for stage in train}
    whole = PaDiM(PaDiMOptions(dim=30)).fit(train).score(test, (16, 16))
    parts = PaDiM(PaDiMOptions(dim=30)).fit(mapped).score(test, (16, 16), batch=4)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_stages_of_one_grid_as_in_a_vision_transformer():
    grids = {"block3": (10, (3, 3)), "block6": (10, (3, 3)), "block9": (10, (3, 3))}
    train, test = make(12, 1, grids), make(3, 2, grids)
    model = PaDiM(PaDiMOptions(dim=21, blur_sigma=0, image_score="patch_max")).fit(train)
    expected = textbook(train, test, model.channels, 0.01).max((1, 2))
    np.testing.assert_allclose(model.score(test, (3, 3))[0], expected, rtol=1e-4)


def test_channels_depend_on_width_dim_and_seed_alone():
    assert len(set(draw_channels(1792, 550, 1024).tolist())) == 550
    np.testing.assert_array_equal(draw_channels(1792, 550, 1024), draw_channels(1792, 550, 1024))
    assert (draw_channels(1792, 550, 1024) != draw_channels(1792, 550, 1025)).any()
    a = PaDiM(PaDiMOptions(dim=7)).fit(make(5, 1))
    b = PaDiM(PaDiMOptions(dim=7)).fit(make(9, 2))
    np.testing.assert_array_equal(a.channels, b.channels)
    assert not a.notes


def test_more_dimensions_than_channels_uses_all_and_says_so():
    model = PaDiM(PaDiMOptions(dim=550)).fit(make(5, 1))
    np.testing.assert_array_equal(model.channels, np.arange(40))
    assert "dim 550 exceeds the 40 channels" in model.notes[0]


def test_no_test_images():
    images, maps = PaDiM().fit(make(5, 1)).score({k: v[:0] for k, v in make(2, 1).items()}, (8, 8))
    assert images.shape == (0,)
    assert maps.shape == (0, 8, 8)


def test_clear_errors():
    train = make(5, 1)
    names = [f"img{i}.png" for i in range(5)]
    with pytest.raises(ValueError, match=r"'layer9'.*extracted are: layer1, layer2, layer3"):
        PaDiM(PaDiMOptions(stages=("layer1", "layer9"))).fit(train)
    with pytest.raises(ValueError, match="no training images"):
        PaDiM().fit({k: v[:0] for k, v in train.items()})
    with pytest.raises(ValueError, match=r"one training image \(img0\.png"):
        PaDiM().fit({k: v[:1] for k, v in train.items()}, names[:1])
    with pytest.raises(ValueError, match="stages must run shallow to deep"):
        PaDiM().fit(dict(reversed(train.items())))
    with pytest.raises(ValueError, match=r"layer1.*constant.*\(img0.png \.\.\. img4.png\)"):
        PaDiM().fit({**train, "layer1": np.ones_like(train["layer1"])}, names)
    broken = {k: v.copy() for k, v in train.items()}
    broken["layer2"][3] = np.nan
    with pytest.raises(ValueError, match=r"img3.png \(image 3\) at stage 'layer2' are not finite"):
        PaDiM().fit(broken, names)
    fitted = PaDiM().fit(train)
    with pytest.raises(ValueError, match=r"img3\.png"):
        fitted.score(broken, (8, 8), names=names)
    with pytest.raises(ValueError, match="was fitted on"):
        fitted.score({**train, "layer2": train["layer2"][:, :-1]}, (8, 8))
    with pytest.raises(MemoryError, match="lower `dim`"):
        PaDiM(PaDiMOptions(memory_gib=1e-3)).fit(train)
    many = {k: np.repeat(v, 80, axis=0) for k, v in train.items()}
    limited = PaDiM(PaDiMOptions(memory_gib=0.13)).fit(train)  # enough for the fit, not for 400 large maps
    with pytest.raises(MemoryError, match=r"lower `dim`.*`batch`"):
        limited.score(many, (512, 512))
