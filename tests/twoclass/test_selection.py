import json

import numpy as np
import pytest

from spd.images.cache import ImageCache
from spd.tensors import open_tensors, write_tensors
from spd.twoclass.options import ClassifierOptions, UNetOptions
from spd.twoclass.runs import Run
from spd.twoclass.selection import cross_validate, folds_of


def test_folds_part_each_class_evenly_and_are_a_function_of_the_seed():
    anomalous = np.arange(21) % 3 == 0  # 7 of 21
    folds = folds_of(anomalous, 3, "seed")
    for label in (False, True):
        assert sorted(np.bincount(folds[anomalous == label], minlength=3)) in ([4, 5, 5], [2, 2, 3])
    assert np.array_equal(folds, folds_of(anomalous, 3, "seed"))
    assert not np.array_equal(folds, folds_of(anomalous, 3, "other"))
    with pytest.raises(ValueError, match="2 training images of a class cannot make 3 folds"):
        folds_of(np.array([True, True, False, False, False]), 3, "seed")


@pytest.mark.parametrize(
    ("detector", "options", "lr"), [("classifier", ClassifierOptions, 3e-3), ("unet", UNetOptions, 1e-2)]
)
def test_finds_the_rate_that_learns_without_reading_a_test_image(
    detector, options, lr, make_cache, backbone, tmp_path
):
    tensors, metadata = open_tensors(make_cache(["gear"]))
    without_test = {name: array.copy() for name, array in tensors.items()}
    for array in without_test.values():
        array[16:] = 0  # the test images and masks
    path = tmp_path / "cache"
    write_tensors(path, without_test, metadata)
    more = {"decoder_channels": (16, 8, 8, 8, 8)} if detector == "unet" else {}
    candidates = [options(lr=rate, epochs=1, min_steps=25, **more) for rate in (1e-9, lr)]

    def held(cache):
        found = cross_validate(
            detector, candidates, [str(backbone)], ImageCache(cache), None, [Run()], progress=False
        )
        return list(found)

    results = held(path)
    assert results == held(make_cache(["gear"]))
    assert [(r.options.lr, r.fold) for r in results] == [(1e-9, 0), (lr, 0), (1e-9, 1), (lr, 1)]
    untrained, trained = (np.mean([r.value for r in results if r.options.lr == x]) for x in (1e-9, lr))
    assert trained > untrained + 0.1
    assert json.loads(metadata["rows"])["gear"][16][1] == "test"
