import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spd.report.scored import Method, Scored, View, file_name, methods, pairs, ranks, views


def test_pairs_join_the_same_label_and_backbone():
    found = [
        Method("a", "A", "A", "none", "r50"), Method("a_wide", "A", "A", "none", "wide"),
        Method("a_spd", "A + SPD", "A", "spd", "r50"), Method("a_x", "A + x", "A", "x", "r50"),
        Method("b_spd", "B + SPD", "B", "spd", "r50"),
    ]  # fmt: skip
    assert [(x.name, y.name) for x, y in pairs(found)] == [("a", "a_spd"), ("a", "a_x")]


def test_views_hold_the_first_seed_of_each_pretraining(cells, cell_content):
    metrics = {"x": {"AU-ROC": 0.5}, "y": {"AU-ROC": 0.5}}
    found = cells(
        cell_content("sup", seed=3, classification=metrics),
        cell_content("sup", seed=4, classification=metrics),
        cell_content("sup_spd", spd="spd", seed=3, classification={"y": {"AU-ROC": 0.5}}),
        cell_content("sup", profile="full", classification=metrics),
    )
    laid = views(Scored(cell, None, None) for cell in found)
    assert list(laid) == [
        View("VisA", "1cls", "PaDiM", "paper"), View("VisA", "1cls", "PaDiM", "full")
    ]  # fmt: skip
    seeds = {
        name: [(run.cell.pretraining.name, run.cell.pretraining.seed) for run in runs]
        for name, runs in laid[View("VisA", "1cls", "PaDiM", "paper")].items()
    }
    assert seeds == {"x": [("sup", 3)], "y": [("sup", 3), ("sup_spd", 3)]}


def test_an_object_with_too_few_images_is_not_shown(cells, cell_content):
    metrics = {"x": {"AU-ROC": 0.5}, "y": None}
    found = cells(cell_content("sup", classification=metrics, more={"y": {"scored": False}}))
    (objects,) = views(Scored(cell, None, None) for cell in found).values()
    assert list(objects) == ["x"]


def test_labels_name_the_backbone_only_where_it_differs(cells, cell_content):
    one = cell_content("a", classification={"x": {}})
    two = cell_content("b", spd="spd", classification={"x": {}})
    wide = cell_content("c", backbone="wide", classification={"x": {}})
    labels = lambda *contents: [m.label for m in methods(Scored(c, None, None) for c in cells(*contents))]  # noqa: E731
    assert labels(one, two) == ["Sup", "Sup + SPD"]
    assert labels(one, wide) == ["Sup, resnet50", "Sup, wide"]


def test_ranks_count_from_the_most_anomalous():
    assert ranks({"a": np.array([0.1, 0.9, 0.5, 0.5])})["a"].tolist() == [4, 1, 2.5, 2.5]


@given(st.text(min_size=1), st.text(min_size=1))
def test_file_names_are_distinct_single_and_plain(one, two):
    try:
        names = file_name(one), file_name(two)
    except UnicodeEncodeError:
        return  # a lone surrogate is no file name anywhere
    assert (one == two) == (names[0] == names[1])
    assert "/" not in names[0] and "\\" not in names[0] and "\0" not in names[0]
    assert not names[0].startswith(".")


@pytest.mark.parametrize("name", ["..", ".", ".hidden"])
def test_no_name_leaves_its_folder(name):
    assert not file_name(name).startswith(".")
