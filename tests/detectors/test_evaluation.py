import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from spd.backbones.architectures import build
from spd.backbones.files import export
from spd.data import manifest
from spd.data.cache import ImageCache, write_cache
from spd.data.geometry_options import GeometryOptions
from spd.detectors.evaluation import evaluate
from spd.detectors.options import PaDiMOptions, PatchCoreOptions
from spd.detectors.padim import PaDiM, draw_channels
from spd.features.extraction import extract
from spd.features.store import Features
from spd.tensors import open_tensors, write_tensors

TRAIN, NORMAL, ANOMALOUS, SIZE = 6, 4, 5, 32


@pytest.fixture
def stage(tmp_path):
    """An image cache and features of two objects; the second has no masks."""

    def make(broken=None, normal=NORMAL, anomalous=ANOMALOUS, constant=False, gears=TRAIN):
        rng = np.random.default_rng(0)
        rows, tensors, features = {}, {}, {}
        total = TRAIN + normal + anomalous
        for name in ("gear", "täfel/2"):
            rows[name] = [
                [
                    name,
                    "train" if i < TRAIN else "test",
                    "anomaly" if i >= TRAIN + normal else "normal",
                    ("dent", "spot")[i % 2] if i >= TRAIN + normal else "",
                    f"{name}/{i}.png",
                    "",
                ]
                for i in range(total)
            ]
            tensors[f"{name}/images"] = np.zeros((total, 3, SIZE, SIZE), np.uint8)
            maps = rng.standard_normal((total, 6, 8, 8)).astype(np.float32)
            maps[TRAIN + normal :, :, 2:4, 2:4] += 3
            if constant:
                maps[:] = 1
            if broken is not None:
                maps[broken] = np.nan
            features[f"{name}/layer1"] = maps
        masks = np.zeros((total, SIZE, SIZE), np.uint8)
        masks[TRAIN + normal :, 8:16, 8:16] = 1
        tensors["gear/masks"] = masks
        for what, key in ((rows, "gear"), (tensors, "gear/images"), (tensors, "gear/masks")):
            what[key] = what[key][TRAIN - gears :]  # of its training images so many
        features["gear/layer1"] = features["gear/layer1"][TRAIN - gears :]
        geometry = {"resize": SIZE, "mode": "square"}
        cache, extracted = tmp_path / "cache.safetensors", tmp_path / "features.safetensors"
        metadata = {"rows": json.dumps(rows), "geometry": json.dumps(geometry), "split_hash": '"abc"'}
        write_tensors(cache, tensors, metadata)
        counts = {name: {"train": TRAIN, "test": normal + anomalous} for name in rows}
        counts["gear"]["train"] = gears
        write_features(extracted, features, counts)
        return cache, extracted

    return make


def write_features(path, features, counts):
    """Features as `extract` writes them; kept here so that a change of the format is noticed."""
    metadata = {"stages": json.dumps(["layer1"]), "cache": json.dumps({"split_hash": "abc"})}
    metadata["objects"] = json.dumps(counts)
    write_tensors(path, features, metadata)


OPTIONS = PaDiMOptions(dim=6, blur_sigma=1.0)


def test_cells_hold_what_the_detector_and_scikit_learn_say(stage, tmp_path):
    cache, extracted = stage()
    results = evaluate("padim", OPTIONS, cache, extracted, tmp_path / "maps.safetensors", progress=False)
    assert list(results) == ["gear", "täfel/2"]
    model = PaDiM(OPTIONS)
    model.fit(Features(extracted).split("gear", "train"))
    scores, maps = model.score(Features(extracted).split("gear", "test"), (SIZE, SIZE))
    labels = np.arange(NORMAL + ANOMALOUS) >= NORMAL
    masks = ImageCache(cache).masks("gear", "test")
    gear = results["gear"]
    assert (gear["n_train"], gear["n_test_normal"], gear["n_test_anomaly"]) == (TRAIN, NORMAL, ANOMALOUS)
    assert gear["classification"]["AU-ROC"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert gear["segmentation"]["AP"] == pytest.approx(
        average_precision_score(masks.ravel(), maps.ravel()), abs=1e-12
    )
    assert set(gear["by_defect"]) == set(gear["by_defect_segmentation"]) == {"dent", "spot"}
    dents = ~labels | (np.array(ImageCache(cache).rows("gear", "test")["defect"]) == "dent")
    assert gear["by_defect"]["dent"]["AU-ROC"] == pytest.approx(
        roc_auc_score(labels[dents], scores[dents]), abs=1e-12
    )
    assert gear["by_defect_segmentation"]["dent"]["AP"] == pytest.approx(
        average_precision_score(masks[dents].ravel(), maps[dents].ravel()), abs=1e-12
    )
    assert results["täfel/2"]["by_defect"] and not results["täfel/2"]["by_defect_segmentation"]
    kept = gear["image_scores"]
    assert kept["anomalous"] == labels.tolist()
    np.testing.assert_array_equal(np.array(kept["scores"], np.float32), scores)  # every bit


def test_object_without_masks_has_no_segmentation(stage, tmp_path):
    results = evaluate("padim", OPTIONS, *stage(), tmp_path / "maps.safetensors", progress=False)
    assert results["täfel/2"]["segmentation"] is None
    assert results["täfel/2"]["classification"]["AU-ROC"] is not None


def test_kept_maps_are_the_maps_to_eleven_bits(stage, tmp_path):
    cache, extracted = stage()
    evaluate("padim", OPTIONS, cache, extracted, tmp_path / "maps.safetensors", progress=False)
    kept, metadata = open_tensors(tmp_path / "maps.safetensors")
    model = PaDiM(OPTIONS)
    model.fit(Features(extracted).split("gear", "train"))
    scores, maps = model.score(Features(extracted).split("gear", "test"), (SIZE, SIZE))
    scale = 2.0 ** json.loads(metadata["exponents"])["gear"]
    np.testing.assert_array_equal(kept["gear/scores"], scores)
    np.testing.assert_allclose(
        kept["gear/maps"].astype(np.float64) * scale, maps, rtol=2**-11, atol=scale * 2**-24
    )


def test_padims_channels_are_drawn_once_from_their_own_seed_and_kept(stage, tmp_path):
    cache, extracted = stage()
    kept = {}
    for seed in (1, 2):
        options = PaDiMOptions(dim=3, channel_seed=seed)
        np.random.seed(seed)  # the global stream has no part in it
        evaluate("padim", options, cache, extracted, tmp_path / "maps.safetensors", progress=False)
        tensors, _ = open_tensors(tmp_path / "maps.safetensors")
        kept[seed] = [tensors["gear/channels"].tolist(), tensors["täfel/2/channels"].tolist()]
        # one index a width: the same for every object, in every run
        assert kept[seed] == [draw_channels(6, 3, seed).tolist()] * 2
        assert len(set(kept[seed][0])) == 3 and set(kept[seed][0]) <= set(range(6))
    assert kept[1] != kept[2]


def test_features_that_are_not_finite_name_object_and_image(stage, tmp_path):
    with pytest.raises(ValueError, match=r"PaDiM, object gear: .*gear/0\.png"):
        evaluate("padim", OPTIONS, *stage(broken=0), tmp_path / "maps.safetensors", progress=False)
    assert not (tmp_path / "maps.safetensors").exists()


@pytest.mark.parametrize(("anomalous", "note"), [(0, "anomalous"), (5, "normal")])
def test_object_with_one_class_has_no_metrics_and_says_so(stage, tmp_path, anomalous, note):
    results = evaluate(
        "padim", OPTIONS, *stage(normal=5 - anomalous, anomalous=anomalous), tmp_path / "maps", progress=False
    )
    gear = results["gear"]
    assert gear["notes"][-1] == f"No {note} test images, so no metric is defined"
    for task in ("classification", "segmentation"):
        if task == "classification" or not anomalous:
            assert gear[task]["AU-ROC"] is None and "one class only" in gear[task]["note"]


@pytest.mark.parametrize("gears", [0, 1])
@pytest.mark.parametrize("detector", ["padim", "patchcore"])
def test_an_object_with_too_few_training_images_is_left_out_and_the_others_go_on(
    stage, tmp_path, detector, gears
):
    options = {"padim": OPTIONS, "patchcore": PatchCoreOptions(embedding="avgpool")}[detector]
    whole = evaluate(detector, options, *stage(), tmp_path / "whole", progress=False)
    results = evaluate(detector, options, *stage(gears=gears), tmp_path / "maps", progress=False)
    assert results["täfel/2"] == whole["täfel/2"]
    gear = results["gear"]
    assert gear["notes"] == [f"Not scored: {gears} training and 9 test images; 2 and 1 are needed"]
    assert (gear["scored"], gear["classification"], gear["segmentation"]) == (False, None, None)
    assert {name.rpartition("/")[0] for name in open_tensors(tmp_path / "maps")[0]} == {"täfel/2"}


def test_objects_without_test_images_are_named(stage, tmp_path):
    results = evaluate("padim", OPTIONS, *stage(normal=0, anomalous=0), tmp_path / "maps", progress=False)
    assert all(
        result["notes"][0].startswith("Not scored: 6 training and 0 test") for result in results.values()
    )


def test_fewer_patches_than_the_coreset_asks_for_names_the_object(stage, tmp_path):
    options = PatchCoreOptions(coreset_size=1000, embedding="avgpool")
    with pytest.raises(ValueError, match=r"PatchCore, object gear: .*coreset of 1000 .*6 images with 384"):
        evaluate("patchcore", options, *stage(), tmp_path / "maps", progress=False)


def test_too_little_memory_names_the_object_and_what_to_lower(stage, tmp_path):
    options = OPTIONS.model_copy(update={"memory_gib": 1e-3})
    with pytest.raises(MemoryError, match=r"PaDiM, object gear: .* lower `dim`"):
        evaluate("padim", options, *stage(), tmp_path / "maps", progress=False)


def test_constant_features_name_object_and_images(stage, tmp_path):
    with pytest.raises(ValueError, match=r"PaDiM, object gear: .*constant .*gear/0\.png \.\.\. gear/5\.png"):
        evaluate("padim", OPTIONS, *stage(constant=True), tmp_path / "maps", progress=False)


def test_a_stage_that_was_not_extracted_is_named(stage, tmp_path):
    options = OPTIONS.model_copy(update={"stages": ("layer9",)})
    with pytest.raises(ValueError, match=r"PaDiM, object gear: .*'layer9'; extracted are: layer1"):
        evaluate("padim", options, *stage(), tmp_path / "maps", progress=False)


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """A cache of grey noise whose anomalies hold a white square, and the folder it lies in."""
    root, rng, rows = tmp_path_factory.mktemp("squares"), np.random.default_rng(0), []
    for i in range(TRAIN + NORMAL + ANOMALOUS):
        image, mask = rng.integers(90, 140, (64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
        anomaly = i >= TRAIN + NORMAL
        if anomaly:
            image[20:50, 20:50], mask[20:50, 20:50] = 255, 255
            Image.fromarray(mask).save(root / f"{i}m.png")
        Image.fromarray(image).save(root / f"{i}.png")
        split, label = ("train" if i < TRAIN else "test"), ("anomaly" if anomaly else "normal")
        rows.append(("gear", split, label, "", f"{i}.png", f"{i}m.png" if anomaly else ""))
    write_cache(
        manifest.make(rows, root, 127), None, GeometryOptions(resize=64), root / "cache", progress=False
    )
    return root


@pytest.mark.parametrize(
    ("architecture", "stages"),
    [
        ("timm:vit_tiny_patch16_224", ("blocks.0", "blocks.1", "blocks.2")),
        ("timm:tf_efficientnet_lite0", ("blocks.1", "blocks.2", "blocks.4")),
        ("torchvision:efficientnet_b0", ("features.2", "features.3", "features.5")),
        ("resnet10_w16", ("layer2", "layer3", "layer4")),
    ],
)
@pytest.mark.parametrize("detector", ["padim", "patchcore"])
def test_any_backbone_and_stages_from_images_to_metrics(squares, tmp_path, architecture, stages, detector):
    torch.manual_seed(0)
    export(build(architecture), tmp_path / "b", architecture=architecture, metadata={})
    extract(tmp_path / "b", squares / "cache", stages, tmp_path / "f", progress=False)
    options = (
        PaDiMOptions(dim=60, blur_sigma=1.0) if detector == "padim" else PatchCoreOptions(blur_sigma=1.0)
    )
    found = evaluate(detector, options, squares / "cache", tmp_path / "f", tmp_path / "maps", progress=False)[
        "gear"
    ]
    assert found["classification"]["AU-ROC"] == 1  # a white square in noise: even random weights see it
    assert found["segmentation"]["AU-ROC"] > 0.8


@pytest.mark.parametrize(
    ("architecture", "has"), [("timm:vit_tiny_patch16_224", "blocks.0"), ("resnet10_w16", "layer1")]
)
def test_a_backbone_without_the_stage_says_which_it_has(squares, tmp_path, architecture, has):
    export(build(architecture), tmp_path / "b", architecture=architecture, metadata={})
    with pytest.raises(ValueError, match=rf"no stage blocks\.40; the backbone has {has}"):
        extract(tmp_path / "b", squares / "cache", ["blocks.40"], tmp_path / "f", progress=False)


def test_numerics_of_every_fit_reach_the_log(stage, tmp_path, capsys):
    evaluate("padim", OPTIONS, *stage(), tmp_path / "maps", progress=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("PaDiM, gear: ")]
    assert json.loads(lines[0].removeprefix("PaDiM, gear: "))["relative_error_measured"] <= 1e-4


def test_manifest_columns_are_those_of_the_cache():
    assert manifest.COLUMNS == ("object", "split", "label", "defect", "image", "mask")
