"""anomalib's own models and ours on the same images and the same pre-trained weights (EfficientNet-Lite0)."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spd.backbones.files import load
from spd.backbones.imports import import_backbone
from spd.backbones.options import BackboneOptions
from spd.data.geometry import apply_to_image
from spd.data.geometry_options import GeometryOptions
from spd.detectors.options import PaDiMOptions, PatchCoreOptions
from spd.detectors.padim import PaDiM, draw_channels
from spd.detectors.patchcore import PatchCore
from spd.detectors.registry import DETECTORS
from spd.features.extraction import Network

pytestmark = pytest.mark.parity
STAGES = ("blocks.1", "blocks.2", "blocks.4")  # strides 4, 8 and 16
TRAIN, TEST, SIZE = 20, 6, 128


def generated() -> list[Image.Image]:
    """Brushed metal: streaks that neighbouring rows share, under uneven light."""
    rng, images = np.random.default_rng(0), []
    for _ in range(TRAIN + TEST):
        streaks = np.cumsum(rng.normal(0, 6, (160, 200)), axis=0)
        light = np.linspace(-30, 30, 200) * rng.uniform(0.5, 1.5)
        grey = 128 + streaks - streaks.mean() + light + rng.normal(0, 3, streaks.shape)
        images.append(Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert("RGB"))
    return images


def magnetic_tiles() -> list[Image.Image]:
    root = Path(os.environ.get("SPD_DATA", "")) / "magnetic_tile"
    if not root.is_dir():
        pytest.skip("SPD_DATA names no folder with magnetic_tile")
    with (root / "split_csv" / "1cls.csv").open() as file:
        rows = list(csv.DictReader(file))
    train = [row["image"] for row in rows if row["label"] == "normal"][:TRAIN]
    test = [row["image"] for row in rows if row["label"] == "anomaly"][:TEST]
    return [Image.open(root / path).convert("RGB") for path in [*train, *test]]


@pytest.fixture(scope="module", params=[generated, magnetic_tiles], ids=["generated", "magnetic_tile"])
def scene(request, tmp_path_factory):
    """The geometry of profile `anomalib`: pixels, features of our extraction, weights, the peer's input."""
    try:
        import anomalib  # noqa: F401
    except ImportError as error:
        pytest.skip(f"anomalib cannot be imported ({error}); install the extra `parity`")
    geometry = GeometryOptions(resize=SIZE, mode="square")
    pixels = np.stack([apply_to_image(image, geometry) for image in request.param()]).transpose(0, 3, 1, 2)
    path = tmp_path_factory.mktemp("lite0") / "backbone.safetensors"
    import_backbone(BackboneOptions(source="lite0"), path)
    model, metadata = load(path)
    features = {k: v.numpy() for k, v in Network(path, STAGES, (SIZE, SIZE))(pixels).items()}
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (metadata.mean, metadata.std))
    inputs = (torch.from_numpy(pixels.copy()).float() / 255 - mean) / std
    return features, model.state_dict(), inputs


def peer(kind, stages, weights, **arguments):
    """Their model with our weights, ready to collect features."""
    torch.manual_seed(0)
    model = kind(
        backbone="tf_efficientnet_lite0", layers=list(stages), pre_trained=False, **arguments
    ).train()
    network = model.feature_extractor.feature_extractor
    assert not network.load_state_dict(weights, strict=False).missing_keys
    model.feature_extractor.eval()
    return model


def split(features, stages=STAGES):
    return {s: features[s][:TRAIN] for s in stages}, {s: features[s][TRAIN:] for s in stages}


def test_features(scene):
    from anomalib.models.image.padim.torch_model import PadimModel

    features, weights, inputs = scene
    with torch.no_grad():
        theirs = peer(PadimModel, STAGES, weights, n_features=100).feature_extractor(inputs)
    for stage in STAGES:
        want = theirs[stage].numpy()
        assert np.abs(features[stage] - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("solver", ["dual", "primal"])
def test_padim(scene, solver):
    """Profile `anomalib`, the same channel index: maps and scores within 2e-5.

    Pre-trained features vary far more than the 0.01 on the diagonal, so that inverting their covariance in
    float32 costs anomalib up to 1e-4 itself: its model is therefore also run in float64.
    """
    from anomalib.models.image.padim.torch_model import PadimModel

    features, weights, inputs = scene
    channels = draw_channels(sum(maps.shape[1] for maps in features.values()), 100, 1024)

    def theirs(dtype):
        torch.set_default_dtype(dtype)  # of the covariances it allocates
        try:
            model = peer(PadimModel, STAGES, weights, n_features=100).to(dtype)
            model.idx.copy_(torch.from_numpy(channels))
            model(inputs[:TRAIN].to(dtype))
            model.fit()
            model.eval()
            with torch.no_grad():
                batch = model(inputs[TRAIN:].to(dtype))
        finally:
            torch.set_default_dtype(torch.float32)
        return batch.pred_score.numpy().ravel(), batch.anomaly_map[:, 0].numpy()

    exact_scores, exact = theirs(torch.float64)
    _, shipped = theirs(torch.float32)
    options = PaDiMOptions(**{**DETECTORS["padim"].profiles["anomalib"], "dim": 100, "solver": solver})
    train, test = split(features)
    scores, maps = PaDiM(options).fit(train, channels=channels).score(test, (SIZE, SIZE))
    np.testing.assert_allclose(maps, exact, rtol=2e-5)
    np.testing.assert_allclose(scores, exact_scores, rtol=2e-5)
    np.testing.assert_allclose(maps, shipped, rtol=2e-5 + np.abs(shipped / exact - 1).max())


@pytest.mark.parametrize("search", ["torch", "faiss"])
def test_patchcore(scene, search):
    """Profile `anomalib`, the same memory bank: scores and maps within 1e-5."""
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    features, weights, inputs = scene
    model = peer(PatchcoreModel, STAGES[1:], weights, num_neighbors=9)
    model(inputs[:TRAIN])
    model.subsample_embedding(0.1)
    model.eval()
    with torch.no_grad():
        batch = model(inputs[TRAIN:])
    options = PatchCoreOptions(**{**DETECTORS["patchcore"].profiles["anomalib"], "search": search})
    train, test = split(features)
    ours = PatchCore(options).fit(train)
    ours.set_memory_bank(model.memory_bank.numpy())
    scores, maps = ours.score(test, (SIZE, SIZE))
    np.testing.assert_allclose(scores, batch.pred_score.numpy().ravel(), rtol=1e-5)
    np.testing.assert_allclose(maps, batch.anomaly_map[:, 0].numpy(), rtol=1e-5)
