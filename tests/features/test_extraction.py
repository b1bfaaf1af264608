"""Features: the whole, unfolded network in plain torch gives the same maps, image by image."""

import numpy as np
import pytest
import safetensors.numpy
import torch
from PIL import Image
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from spd.backbones.architectures import build
from spd.backbones.files import export, load
from spd.data.cache import ImageCache, write_cache
from spd.data.geometry_options import GeometryOptions
from spd.data.manifest import make
from spd.features.extraction import Network, extract
from spd.features.store import Features
from spd.tensors import open_tensors, write_tensors

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
STAGES = ("layer1", "layer3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cache of two objects (5 training, 4 test images each, 32 px), a backbone with lively BatchNorms."""
    root = tmp_path_factory.mktemp("features")
    rng, rows = np.random.default_rng(0), []
    for name in ("a", "ö"):
        for i in range(9):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(root / f"{name}{i}.png")
            rows.append((name, "train" if i < 5 else "test", "normal", "", f"{name}{i}.png", ""))
    write_cache(make(rows, root, 0), None, GeometryOptions(resize=32), root / "cache", progress=False)
    torch.manual_seed(0)
    model = build("resnet18_w16")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    export(model, root / "backbone", architecture="resnet18_w16", metadata={"mean": MEAN, "std": STD})
    return root


def _extract(folder, path, stages=STAGES, **options):
    extract(folder / "backbone", folder / "cache", stages, path, progress=False, threads=1, **options)
    return Features(path)


def test_equal_to_the_whole_network(folder, tmp_path):
    features, cache = _extract(folder, tmp_path / "f", batch=4), ImageCache(folder / "cache")
    network = create_feature_extractor(load(folder / "backbone")[0], list(STAGES))
    assert features.objects == ["a", "ö"] and features.stages == STAGES
    assert features.cache["split_hash"] == cache.split_hash
    for name in features.objects:
        x = torch.from_numpy(cache.images(name).copy()).float() / 255
        x = (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        with torch.no_grad():
            want = network(x)
        for stage in STAGES:
            maps, reference = features.maps(name, stage), want[stage].numpy()
            assert maps.shape == reference.shape and maps.dtype == np.float32
            assert np.abs(maps - reference).max() <= 1e-5 * np.abs(reference).max()


def test_splits(folder, tmp_path):
    features = _extract(folder, tmp_path / "f")
    for stage in STAGES:
        both = features.maps("ö", stage)
        assert isinstance(both, np.memmap)
        assert np.array_equal(features.split("ö", "train")[stage], both[:5])
        assert np.array_equal(features.maps("ö", stage, "test"), both[5:])


def test_the_batch_does_not_matter(folder, tmp_path):
    one, all_ = _extract(folder, tmp_path / "1", batch=1), _extract(folder, tmp_path / "9", batch=64)
    for stage in STAGES:
        a, b = one.maps("a", stage), all_.maps("a", stage)
        assert np.allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize(
    ("architecture", "stages"),
    [("resnet50", ("layer1", "layer3")), ("timm:tf_efficientnet_lite0", ("blocks.1", "blocks.4"))],
)
def test_the_threads_change_no_bit(tmp_path, architecture, stages):
    torch.manual_seed(0)
    export(
        build(architecture), tmp_path / "b", architecture=architecture, metadata={"mean": MEAN, "std": STD}
    )
    images = np.random.default_rng(0).integers(0, 256, (33, 3, 96, 96), np.uint8)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            maps = Network(tmp_path / "b", stages, (96, 96))(images)
            found.append(b"".join(maps[stage].contiguous().numpy().tobytes() for stage in stages))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]
    assert np.ptp(np.frombuffer(found[0], np.float32)) > 0


def test_twice_gives_the_same_bytes(folder, tmp_path):
    for name in "12":
        _extract(folder, tmp_path / name)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_some_objects(folder, tmp_path):
    features = _extract(folder, tmp_path / "f", objects=["ö"])
    assert features.objects == ["ö"]
    assert set(safetensors.numpy.load_file(tmp_path / "f")) == {"ö/layer1", "ö/layer3"}


def test_bfloat16_is_close_and_stored_as_float32(folder, tmp_path):
    exact, rough = _extract(folder, tmp_path / "a"), _extract(folder, tmp_path / "b", precision="bfloat16")
    for stage in STAGES:
        a, b = exact.maps("a", stage), rough.maps("a", stage)
        error = np.linalg.norm(a - b) / np.linalg.norm(a)
        assert b.dtype == np.float32 and 0 < error < 0.03
    with pytest.raises(ValueError, match="float32 or bfloat16, not 'float16'"):
        _extract(folder, tmp_path / "c", precision="float16")


def test_threads_are_given_back(folder, tmp_path):
    before = torch.get_num_threads()
    extract(folder / "backbone", folder / "cache", STAGES, tmp_path / "f", threads=before + 1, progress=False)
    assert torch.get_num_threads() == before


def test_a_transformer_at_another_size(folder, tmp_path):
    torch.manual_seed(0)
    name = "timm:vit_tiny_patch16_224"
    export(build(name), tmp_path / "b", architecture=name, metadata={})
    extract(tmp_path / "b", folder / "cache", ["blocks.0", "blocks.2"], tmp_path / "f", progress=False)
    assert Features(tmp_path / "f").maps("a", "blocks.2").shape == (9, 192, 2, 2)


def test_features_that_are_not_finite_name_the_image(folder, tmp_path):
    tensors, metadata = open_tensors(folder / "backbone")
    tensors = {key: value.copy() for key, value in tensors.items()}
    tensors["bn1.weight"][:] = 1e30  # finite weights, infinite features
    tensors["layer1.0.bn2.weight"][:] = 1e30
    write_tensors(tmp_path / "b", tensors, metadata)
    with pytest.raises(ValueError, match=r"features of layer1 are not finite, first for the image a0\.png"):
        extract(tmp_path / "b", folder / "cache", STAGES, tmp_path / "f", progress=False)
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    ("stages", "objects", "message"),
    [(["layer9"], None, "no stage layer9; the backbone has layer1"), (STAGES, ["b"], "no object 'b'")],
)
def test_what_is_not_there_is_named(folder, tmp_path, stages, objects, message):
    with pytest.raises(ValueError, match=message):
        _extract(folder, tmp_path / "f", stages, objects=objects)


def test_reading_what_is_not_there(folder, tmp_path):
    features = _extract(folder, tmp_path / "f", objects=["a"])
    with pytest.raises(ValueError, match="no object 'b'; there are a"):
        features.maps("b", "layer1")
    with pytest.raises(ValueError, match="no stage 'layer2'; there are layer1, layer3"):
        features.maps("a", "layer2")
    with pytest.raises(ValueError, match="train or test"):
        features.maps("a", "layer1", "val")
    with pytest.raises(ValueError, match="holds no features"):
        Features(folder / "cache")
