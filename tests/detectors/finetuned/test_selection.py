import numpy as np
import pytest

from spd.data.cache import ImageCache
from spd.detectors.finetuned.options import ClassifierOptions, UNetOptions
from spd.detectors.finetuned.runs import Run
from spd.detectors.finetuned.selection import folds_of, held_out, parts
from spd.tensors import open_tensors, write_tensors


def test_folds_part_each_class_evenly_and_are_a_function_of_the_seed():
    anomalous = np.arange(21) % 3 == 0  # 7 of 21
    folds = folds_of(anomalous, 3, "seed")
    for label in (False, True):
        assert sorted(np.bincount(folds[anomalous == label], minlength=3)) in ([4, 5, 5], [2, 2, 3])
    assert np.array_equal(folds, folds_of(anomalous, 3, "seed"))
    assert not np.array_equal(folds, folds_of(anomalous, 3, "other"))
    with pytest.raises(ValueError, match="2 training images of a class cannot make 3 folds"):
        folds_of(np.array([True, True, False, False, False]), 3, "seed")


def drawn_from(cache, name, shots):
    rows = cache.rows(name, "train")
    return [
        image for label in ("normal", "anomaly") for image in rows["image"][rows["label"] == label][:shots]
    ]


def test_a_draw_is_trained_on_and_the_rest_of_the_pool_measured(make_cache):
    cache = ImageCache(make_cache(["gear"]))
    images = drawn_from(cache, "gear", 3)
    ((trained, held),) = parts(cache, "gear", Run(3, 0), {("gear", 3, 0): images}, folds=2)
    rows = cache.rows("gear", "train")
    assert sorted(rows["image"].iloc[trained]) == sorted(images)
    assert sorted([*trained, *held]) == list(range(len(rows)))
    everything = {("gear", 8, 0): drawn_from(cache, "gear", 8)}
    with pytest.raises(ValueError, match="object gear, run 8shot-draw0: the draw leaves no images of both"):
        parts(cache, "gear", Run(8, 0), everything, folds=2)


def test_each_image_of_a_whole_split_is_measured_once_by_a_network_that_did_not_see_it(make_cache):
    cache = ImageCache(make_cache(["gear"]))
    found = parts(cache, "gear", Run(), None, folds=4)
    assert sorted(np.concatenate([held for _, held in found])) == list(range(16))
    assert all(sorted([*trained, *held]) == list(range(16)) for trained, held in found)


@pytest.mark.parametrize("run", [Run(), Run(6, 0)])
@pytest.mark.parametrize(
    ("detector", "options", "lr"), [("classifier", ClassifierOptions, 3e-3), ("unet", UNetOptions, 1e-2)]
)
def test_finds_the_rate_that_learns_without_reading_a_test_image(
    detector, options, lr, run, make_cache, backbone, tmp_path
):
    tensors, metadata = open_tensors(make_cache(["gear"]))
    without_test = {name: array.copy() for name, array in tensors.items()}
    for array in without_test.values():
        array[16:] = 0  # the test images and masks
    write_tensors(tmp_path / "cache", without_test, metadata)
    more = {"decoder_channels": (16, 8, 8, 8, 8)} if detector == "unet" else {}
    candidates = [options(lr=rate, epochs=1, min_steps=25, **more) for rate in (1e-9, lr)]

    def held(path):
        cache = ImageCache(path)
        drawn = {("gear", 6, 0): drawn_from(cache, "gear", 6)}
        return list(held_out(detector, candidates, [str(backbone)], cache, drawn, [run], progress=False))

    results = held(tmp_path / "cache")
    assert results == held(make_cache(["gear"]))
    folds = (0, 1) if run == Run() else (0,)
    assert [(r.options.lr, r.fold) for r in results] == [(rate, f) for f in folds for rate in (1e-9, lr)]
    untrained, trained = (np.mean([r.value for r in results if r.options.lr == x]) for x in (1e-9, lr))
    assert trained > untrained + 0.1
