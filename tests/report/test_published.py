import importlib.resources

import pandas as pd
import pytest

from spd.report.published import Key, published_values, read_published

POSTER = ["poster_patchcore_as_printed", "poster_2cls_fewshot", "poster_ablation"]


def test_every_printed_delta_is_the_difference_of_two_looked_up_values():
    values = published_values(POSTER)
    printed = list(read_published("poster_deltas_as_printed"))
    assert len(printed) == 40
    for key, delta, _ in printed:
        place = {**vars(key), "metric": key.metric.removesuffix("_delta")}
        difference = values[Key(**place)].value - values[Key(**{**place, "spd": "none"})].value
        assert round(difference, 1) == delta, key


@pytest.mark.parametrize("stem", POSTER)
def test_no_row_of_a_file_is_lost_by_the_lookup(stem):
    file = importlib.resources.files("spd.facts") / "published" / f"{stem}.csv"
    with file.open() as lines:
        assert len(published_values([stem])) == len(pd.read_csv(lines))


def test_only_the_mvtec_patchcore_classification_cells_are_not_comparable():
    odd = [key for key, value in published_values(POSTER).items() if not value.comparable]
    assert len(odd) == 4
    assert {(k.dataset, k.detector, k.task) for k in odd} == {("MVTec-AD", "PatchCore", "classification")}


def test_abstract_deltas_are_no_values():
    assert not [key for key in published_values(["paper_values_secondary"]) if "delta" in key.metric]


def test_an_unknown_file_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"poster_abl'.*poster_ablation"):
        published_values(["poster_abl"])
