import itertools

import numpy as np
import pytest

from spd.data import corpus
from spd.training import batches


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
def test_a_batch_fits_where_whole_groups_fall_to_each_rank(ranks):
    for batch, group in itertools.product((4, 6, 8, 12, 16, 24), (2, 3, 4, 8, 32)):
        # By hand: image i is rank i // share's and, on it, of group (i % share) // group.
        share = batch / ranks
        whole = share == int(share)
        groups = whole and int(share) % min(batch, group) == 0
        assert (not list(batches.misfits(batch, ranks=ranks))) == whole
        assert (not list(batches.misfits(batch, ranks=ranks, group=group))) == groups


def test_each_misfit_names_its_key_and_a_way_out():
    few, ranks = batches.misfits(16, ranks=3, group=8, images=15)
    assert few == "batch: 16 is more than the 15 training images; choose a smaller batch"
    assert ranks == "batch: 16 does not divide among 3 ranks; choose a multiple"
    (group,) = batches.misfits(16, ranks=4, group=8, images=16)
    assert group.startswith("batch_norm_group: 8 does not divide the 4 images of each of 4 ranks")


@pytest.mark.parametrize("held_out", [0, 0.1, 0.26, 7])
@pytest.mark.parametrize("validation", [0, 3])
def test_images_trained_on_are_those_that_the_corpus_splits_off(held_out, validation):
    train = {"a": 11, "b": 4, "c": 30}
    counts = {name: {"train_normal": n, "test_normal": validation} for name, n in train.items()}
    counts["not a class: never trained on"] = {"train_normal": 0, "test_normal": 9}
    labels = np.repeat(np.arange(3), list(train.values()))
    expected = len(labels) if validation else len(corpus.split(labels, held_out, seed=1)[0])
    assert batches.trained_on(counts, held_out) == expected


def test_trainings_with_too_large_a_batch_are_named():
    counts = {"a": {"train_normal": 20, "test_normal": 0}}
    (line,) = batches.too_large({"fits": (20, 0), "simclr": (20, 0.1)}, counts)
    assert (
        line == "pre-training simclr: batch: 20 is more than the 18 training images; choose a smaller batch"
    )
