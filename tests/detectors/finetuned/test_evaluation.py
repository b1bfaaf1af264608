import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from spd.backbones.files import load, read_metadata
from spd.data import manifest
from spd.data.cache import ImageCache, write_cache
from spd.data.geometry_options import GeometryOptions
from spd.detectors.finetuned import evaluation
from spd.detectors.finetuned.draws import draw
from spd.detectors.finetuned.evaluation import build, evaluate, run_seed, training_set
from spd.detectors.finetuned.options import ClassifierOptions, UNetOptions
from spd.detectors.finetuned.runs import Run, runs
from spd.detectors.finetuned.training import Normalise, fine_tune, score

CLASSIFIER = ClassifierOptions(min_steps=4, epochs=1, lr=1e-3)
UNET = UNetOptions(min_steps=4, epochs=1, lr=1e-3, decoder_channels=(8, 8, 8, 8, 8))
DETECTORS = [("classifier", CLASSIFIER), ("unet", UNET)]
WANTED = runs((2, 3), 2)


def draws_of(cache_path, wanted=WANTED):
    cache, drawn = ImageCache(cache_path), {}
    for name in cache.objects:
        rows = cache.rows(name, "train")
        for run in wanted:
            drawn[name, run.shots, run.draw] = [
                image
                for label in ("normal", "anomaly")
                for image in draw(
                    rows["image"][rows["label"] == label], object=name, shots=run.shots, draw=run.draw
                )
            ]
    return drawn


@pytest.fixture
def call(tmp_path, backbone):
    def evaluate_(detector, options, cache, wanted=WANTED, **changes):
        arguments = {"drawn": draws_of(cache), "state": tmp_path / "unfinished", "identity": {"a": 1}}
        arguments |= changes
        return evaluate(detector, options, backbone, cache, wanted=wanted, progress=False, **arguments)

    return evaluate_


@pytest.mark.parametrize(("detector", "options"), DETECTORS)
def test_a_run_is_fine_tuning_on_its_draw_and_the_metrics_of_the_test_images(
    detector, options, make_cache, backbone, call
):
    path = make_cache(["gear"])
    results = call(detector, options, path)
    assert list(results) == [Run(2, 0), Run(2, 1), Run(3, 0), Run(3, 1)]
    cache, run = ImageCache(path), Run(3, 1)
    found = results[run]["gear"]
    assert (found["n_train"], found["n_test_normal"], found["n_test_anomaly"]) == (6, 6, 6)

    rows = cache.rows("gear", "train")
    chosen = np.flatnonzero(rows["image"].isin(draws_of(path)["gear", 3, 1]))
    metadata, seed = read_metadata(backbone), run_seed(detector, "gear", run)
    normalise = Normalise(metadata.mean, metadata.std, "cpu")
    network = build(detector, options, load(backbone)[0], seed)
    fine_tune(network, *training_set(cache, "gear", chosen, detector), options, normalise, seed=seed)
    scores = score(network, cache.images("gear", "test"), normalise, "cpu")
    if detector == "classifier":
        truth = (cache.rows("gear", "test")["label"] == "anomaly").to_numpy()
        measured = found["classification"]
        assert found["segmentation"] is None
        assert found["image_scores"]["anomalous"] == truth.tolist()
        assert np.array_equal(np.float32(found["image_scores"]["scores"]), scores)
    else:
        truth, scores = cache.masks("gear", "test").ravel() == 1, scores.ravel()
        measured = found["segmentation"]
        assert found["classification"] is None
        assert 0 <= measured["AU-PRO"] <= 1
    assert measured["AU-ROC"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-9)
    assert measured["AP"] == pytest.approx(average_precision_score(truth, scores), abs=1e-9)


@pytest.mark.parametrize(("detector", "options"), DETECTORS)
def test_a_run_of_two_objects_equals_the_two_single_runs(detector, options, make_cache, call, tmp_path):
    both, single = make_cache(["gear", "täfel/2"]), {n: make_cache([n]) for n in ("gear", "täfel/2")}
    together = call(detector, options, both)
    for name, path in single.items():
        alone = call(detector, options, path, state=tmp_path / name.replace("/", "-"))
        for run in WANTED:
            assert together[run][name] == alone[run][name]
    # and one run alone is that run among others
    last = call(detector, options, both, wanted=WANTED[-1:], state=tmp_path / "last")
    assert last[WANTED[-1]] == together[WANTED[-1]]


def test_high_shot_trains_on_the_whole_split(make_cache, call):
    results = call("classifier", CLASSIFIER, make_cache(["gear"]), wanted=[Run()], drawn=None)
    assert results[Run()]["gear"]["n_train"] == 16


def test_an_interrupted_job_goes_on_after_the_last_finished_run(make_cache, call, monkeypatch, tmp_path):
    path, trained = make_cache(["gear", "nut"]), []
    whole = call("classifier", CLASSIFIER, path, state=tmp_path / "whole")

    def stops_at_the_sixth(*arguments, seed, **more):
        if len(trained) == 5:
            raise KeyboardInterrupt
        trained.append(seed)
        return fine_tune(*arguments, seed=seed, **more)

    monkeypatch.setattr(evaluation, "fine_tune", stops_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        call("classifier", CLASSIFIER, path)
    first, trained[:] = list(trained), []
    resumed = call("classifier", CLASSIFIER, path)
    assert len(first) == 5 and len(trained) == 3 and not set(first) & set(trained)
    assert resumed == whole
    assert json.dumps(resumed[Run(2, 0)]) == json.dumps(whole[Run(2, 0)])


def test_what_another_job_left_is_thrown_away(make_cache, call, monkeypatch):
    path, trained = make_cache(["gear"]), []

    def counted(*arguments, seed, **more):
        trained.append(seed)
        return fine_tune(*arguments, seed=seed, **more)

    monkeypatch.setattr(evaluation, "fine_tune", counted)
    call("classifier", CLASSIFIER, path, identity={"options": 1})
    call("classifier", CLASSIFIER, path, identity={"options": 1})
    assert len(trained) == 4
    call("classifier", CLASSIFIER, path, identity={"options": 2})
    assert len(trained) == 8


def test_an_object_without_masks_has_a_classifier_and_no_unet(make_cache, call, tmp_path):
    path = make_cache(["gear", "nut"], without_masks=("nut",))
    result = call("unet", UNET, path, wanted=WANTED[:1])[WANTED[0]]
    assert result["nut"]["segmentation"] is None
    assert result["nut"]["notes"] == ["no masks, so nothing to segment"]
    assert result["gear"]["segmentation"]["AU-ROC"] > 0
    found = call("classifier", CLASSIFIER, path, wanted=WANTED[:1], state=tmp_path / "c")[WANTED[0]]
    assert found["nut"]["classification"]["AU-ROC"] is not None


def test_draws_that_do_not_belong_to_the_split_are_refused(make_cache, call):
    path = make_cache(["gear"])
    with pytest.raises(ValueError, match="object gear: there is no draw for the run 4shot-draw0"):
        call("classifier", CLASSIFIER, path, wanted=[Run(4, 0)])
    tested = ImageCache(path).rows("gear", "test")["image"][0]
    with pytest.raises(ValueError, match=f"{tested} is not a training image of this split"):
        call("classifier", CLASSIFIER, path, drawn={("gear", 2, 0): [tested]}, wanted=[Run(2, 0)])


def test_one_class_of_training_images_is_refused(tmp_path, backbone):
    for i in range(4):
        Image.fromarray(np.full((32, 32, 3), 40 * i, np.uint8)).save(tmp_path / f"{i}.png")
    rows = [("o", "train" if i < 2 else "test", "normal", "", f"{i}.png", "") for i in range(4)]
    write_cache(
        manifest.make(rows, tmp_path, 0), None, GeometryOptions(resize=32), tmp_path / "c", progress=False
    )
    with pytest.raises(ValueError, match="needs normal and anomalous training images"):
        evaluate(
            "classifier", CLASSIFIER, backbone, tmp_path / "c", None, [Run()], tmp_path / "s", identity={}
        )


def test_class_ids_and_black_and_white_masks_give_the_same_target(tmp_path):
    """VisA's masks hold class ids 1 ... 9, its prepare_data.py writes 255."""
    rng, targets = np.random.default_rng(0), []
    regions = rng.integers(0, 2, (48, 40)).astype(np.uint8) * rng.integers(1, 10, (48, 40)).astype(np.uint8)
    for folder, values in (("ids", regions), ("white", np.uint8(255) * (regions > 0))):
        root = tmp_path / folder
        root.mkdir()
        for i in range(4):
            Image.fromarray(rng.integers(0, 255, (48, 40, 3), dtype=np.uint8)).save(root / f"{i}.png")
            Image.fromarray(values).save(root / f"{i}_mask.png")
        rows = [
            ("o", ("train", "test")[i // 2], ("normal", "anomaly")[i % 2], "", f"{i}.png",
             f"{i}_mask.png" if i % 2 else "")
            for i in range(4)
        ]  # fmt: skip
        threshold = 0 if folder == "ids" else 127
        read = manifest.make(rows, root, threshold)
        write_cache(read, None, GeometryOptions(resize=32), tmp_path / f"{folder}.cache", progress=False)
        targets.append(training_set(ImageCache(tmp_path / f"{folder}.cache"), "o", np.arange(2), "unet")[1])
    assert torch.equal(targets[0], targets[1])
    anomaly, normal = targets[0]  # in the manifest's order
    assert set(anomaly.unique().tolist()) == {0, 1}
    assert normal.sum() == 0  # it takes part, with a target of zeros
