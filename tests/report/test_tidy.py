import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spd.metrics.aggregate import PairedScores, bootstrap_image_effects
from spd.metrics.image import image_metrics
from spd.report.cells import Cell
from spd.report.options import TableOptions
from spd.report.tidy import COLUMNS, resampled, tidy

CONTRACT = (
    "table,dataset,object,setup,detector,profile,method,spd,backbone,shots,task,metric,value,std,n,ci_low,"
    "ci_high,delta,delta_ci_low,delta_ci_high,published,published_delta,source,note"
)


def row(frame, **where):
    for column, value in where.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


@pytest.fixture
def pair(cells, cell_content):
    """Two seeds, without and with SPD; AU-PR of two objects."""

    def one(name, spd, seed, a, b):
        return cell_content(name, spd=spd, seed=seed, classification={"a": {"AU-PR": a}, "b": {"AU-PR": b}})

    return cells(
        one("sup", "none", 0, 0.50, 0.70),
        one("sup", "none", 1, 0.60, 0.80),
        one("sup_spd", "spd", 0, 0.55, 0.71),
        one("sup_spd", "spd", 1, 0.63, 0.85),
    )


def test_columns_are_the_contract(pair, options):
    assert ",".join(tidy(pair, "t", options()).columns) == CONTRACT == ",".join(COLUMNS)


def test_means_and_deviations_by_hand(pair, options):
    frame = tidy(pair, "t", options())
    a = row(frame, method="Sup", spd="none", object="a")
    assert (a.value, a.n) == (55.0, 2)
    assert a["std"] == pytest.approx(math.sqrt(50))  # 50 and 60: deviations +-5, n - 1 = 1
    mean = row(frame, spd="none", object="mean")
    assert mean.value == pytest.approx(65.0)  # (50+70)/2 = 60, (60+80)/2 = 70
    assert mean["std"] == pytest.approx(math.sqrt(50))
    assert mean.n == 2
    assert mean.ci_low <= mean.value <= mean.ci_high
    assert pd.isna(a.delta) and pd.isna(mean.delta)


def test_delta_is_paired_by_seed_and_object(pair, options):
    frame = tidy(pair, "t", options())
    assert row(frame, spd="spd", object="a").delta == pytest.approx((5 + 3) / 2)
    assert row(frame, spd="spd", object="b").delta == pytest.approx((1 + 5) / 2)
    mean = row(frame, spd="spd", object="mean")
    assert mean.delta == pytest.approx((5 + 3 + 1 + 5) / 4)
    assert 1 <= mean.delta_ci_low < mean.delta < mean.delta_ci_high <= 5


def test_delta_uses_only_runs_that_both_sides_have(pair, options):
    frame = tidy(pair[1:], "t", options())  # seed 0 without SPD is gone
    assert row(frame, spd="spd", object="mean").delta == pytest.approx((3 + 5) / 2)
    assert row(frame, spd="spd", object="mean").n == 2


def test_delta_needs_the_same_method_and_backbone(cells, cell_content, options):
    other = cells(
        cell_content("sup", classification={"a": {"AU-PR": 0.5}}, backbone="wide_resnet50_2"),
        cell_content("moco", label="MoCo", classification={"a": {"AU-PR": 0.5}}),
        cell_content("sup_spd", spd="spd", classification={"a": {"AU-PR": 0.9}}),
    )
    frame = tidy(other, "t", options(rows=["sup", "moco", "sup_spd"]))
    assert frame["delta"].isna().all()


def test_an_undefined_object_is_empty_and_left_out_of_the_mean_with_a_note(cells, cell_content, options):
    found = cells(
        cell_content(
            classification={"a": {"AU-PR": 0.5}, "b": {"AU-PR": None}, "c": {"AU-PR": 0.8}},
            segmentation={"a": {"AU-PR": 0.1}, "c": {"AU-PR": 0.3}},
        )
    )
    frame = tidy(found, "t", options())
    assert pd.isna(row(frame, object="b", task="classification").value)
    for task, value in (("classification", 65.0), ("segmentation", 20.0)):
        mean = row(frame, object="mean", task=task)
        assert mean.value == pytest.approx(value)
        assert mean.note == "Mean over 2 of 3 objects; undefined: b."


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=1)
)
def test_mean_is_the_unweighted_mean_of_the_object_rows(cell_content, values):
    objects = {name: {"AU-PR": None} for name in values}
    files = [cell_content(seed=seed, classification=objects) for seed in range(2)]
    for seed, file in enumerate(files):
        for name, pair in values.items():
            file["objects"][name]["classification"] = {"AU-PR": pair[seed]}
    options = TableOptions(title="t", datasets=["VisA"], detector="padim", rows=["sup"])
    frame = tidy([Cell.model_validate(file) for file in files], "t", options)
    mean = row(frame, object="mean")
    assert mean.value == pytest.approx(frame[frame["object"] != "mean"]["value"].mean(), abs=1e-9)
    assert mean["std"] == pytest.approx(100 * np.std(np.mean([*values.values()], axis=0), ddof=1), abs=1e-9)


def test_order_is_that_of_the_options_whatever_the_order_of_the_cells(pair, options):
    forward = tidy(pair, "t", options())
    backward = tidy(pair[::-1], "t", options())
    pd.testing.assert_frame_equal(forward, backward)
    assert list(forward["object"])[:3] == ["a", "b", "mean"]
    turned = tidy(pair, "t", options(rows=["sup_spd", "sup"]))
    assert list(dict.fromkeys(turned["spd"])) == ["spd", "none"]


def test_runs_that_do_not_form_a_grid_are_an_error_that_names_the_place(cells, cell_content, options):
    runs = [(0, 0), (0, 1), (1, 0)]  # (seed 1, draw 1) was never run
    found = cells(
        *(
            cell_content(
                setup="2cls_fewshot", detector="classifier", shots=5, seed=seed, draw=draw,
                classification={"a": {"AU-PR": 0.5}},
            )
            for seed, draw in runs
        )
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"table t: sup, VisA, classifier.*\(1, 1, 'a'\)"):
        tidy(found, "t", options(setup="2cls_fewshot", detector=None))


def test_an_object_undefined_in_one_run_is_empty_and_says_so(cells, cell_content, options):
    found = cells(
        *(cell_content(seed=s, classification={"a": {"AU-PR": v}}) for s, v in ((0, 0.5), (1, None)))
    )
    a = row(tidy(found, "t", options()), object="a")
    assert pd.isna(a.value) and a.note == "Undefined in 1 of 2 runs."


def test_cells_of_other_tables_are_left_out(pair, cells, cell_content, options):
    foreign = cells(
        cell_content("vit", classification={"a": {"AU-PR": 0.1}}),
        cell_content(detector="PatchCore", classification={"a": {"AU-PR": 0.1}}),
        cell_content(profile="full", classification={"a": {"AU-PR": 0.1}}),
        cell_content(setup="2cls_highshot", detector="classifier", classification={"a": {"AU-PR": 0.1}}),
        cell_content(dataset="MVTec-AD", classification={"a": {"AU-PR": 0.1}}),
    )
    pd.testing.assert_frame_equal(tidy([*foreign, *pair], "t", options()), tidy(pair, "t", options()))


def test_per_cent_at_full_precision(cells, cell_content, options):
    frame = tidy(cells(cell_content(classification={"a": {"AU-PR": 0.93, "AP": 1 / 3}})), "t", options())
    assert row(frame, object="a", metric="AU-PR").value == 93.0
    assert row(frame, object="a", metric="AP").value == pytest.approx(100 / 3, rel=1e-14)


def test_pretrainings_that_look_the_same_are_refused(cells, cell_content, options):
    twins = cells(
        cell_content("sup", classification={"a": {"AU-PR": 0.5}}),
        cell_content("sup_again", classification={"a": {"AU-PR": 0.6}}),
    )
    with pytest.raises(ValueError, match="sup and sup_again look the same"):
        tidy(twins, "t", options(rows=["sup", "sup_again"]))


def test_presets_do_not_mix(cells, cell_content, options):
    mixed = cells(
        cell_content(classification={"a": {"AU-PR": 0.5}}),
        cell_content(
            "sup_spd", spd="spd", classification={"a": {"AU-PR": 0.5}}, provenance={"preset": "demo"}
        ),
    )
    with pytest.raises(ValueError, match="demo, paper"):
        tidy(mixed, "t", options())


def patchcore(cell_content, name="w", spd="none", **changes):
    numbers = {"a": {"AU-PR": 0.95, "AU-ROC": 0.9}}
    return cell_content(
        name, spd=spd, detector="PatchCore", backbone="wide_resnet50_2",
        classification=numbers, segmentation=numbers, **changes,
    )  # fmt: skip


def patchcore_options(options, **changes):
    return options(
        **{"detector": "patchcore", "rows": ["w"], "published": ["poster_patchcore_as_printed"]} | changes
    )


def test_published_values_stand_beside_means_of_profile_paper(cells, cell_content, options):
    frame = tidy(
        cells(patchcore(cell_content), patchcore(cell_content, profile="full")),
        "t",
        patchcore_options(options, profiles=["paper", "full"]),
    )
    where = {"task": "classification", "metric": "AU-PR"}
    mean = row(frame, object="mean", profile="paper", **where)
    assert (mean.published, mean.source) == (93.3, "poster")
    assert mean.published_delta == pytest.approx(95.0 - 93.3)
    assert pd.isna(row(frame, object="a", profile="paper", **where).published)
    assert pd.isna(row(frame, object="mean", profile="full", **where).published)


def test_the_posters_swapped_cells_are_as_printed_and_not_compared(cells, cell_content, options):
    frame = tidy(
        cells(patchcore(cell_content, dataset="MVTec-AD")),
        "t",
        patchcore_options(options, datasets=["MVTec-AD"]),
    )
    for metric, printed in (("AU-PR", 99.2), ("AU-ROC", 99.8)):
        mean = row(frame, object="mean", task="classification", metric=metric)
        assert mean.published == printed
        assert pd.isna(mean.published_delta)
        assert "swapped" in mean.note
    other = row(frame, object="mean", task="segmentation", metric="AU-PR")
    assert other.published_delta == pytest.approx(95 - 48.8) and other.note == ""


@pytest.mark.parametrize("preset", ["demo", "tiny"])
def test_only_preset_paper_has_published_values(cells, cell_content, options, preset):
    found = cells(patchcore(cell_content, provenance={"preset": preset}))
    frame = tidy(found, "t", patchcore_options(options))
    assert frame["published"].isna().all() and frame["published_delta"].isna().all()
    assert (frame["source"] == "").all()


def test_second_hand_values_say_so_and_the_poster_wins(cells, cell_content, options):
    def one(name, label, spd, task):
        return cell_content(name, label=label, spd=spd, **{task: {"a": {"AU-PR": 0.5}}})

    found = cells(
        one("sup", "Sup", "none", "segmentation"), one("simsiam", "SimSiam", "none", "classification")
    )
    frame = tidy(
        found,
        "t",
        options(rows=["sup", "simsiam"], published=["poster_ablation", "paper_values_secondary"]),
    )
    sup = row(frame, object="mean", method="Sup")
    assert sup.published == 11.4 and sup.source.startswith("secondary")
    assert row(frame, object="mean", method="SimSiam").source == "poster"


@pytest.fixture
def scored_pair(cell_content):
    """One seed, two objects, without and with SPD; cells that kept their image scores, and their labels."""
    labels = [False] * 20 + [True] * 20

    def one(name, spd, gain, labels=labels):
        scores = {
            o: np.random.default_rng(i).normal(size=40).astype(np.float32) + gain * np.array(labels)
            for i, o in enumerate("ab")
        }
        metrics = {o: image_metrics(s, np.array(labels)) for o, s in scores.items()}
        kept = {
            o: {"image_scores": {"anomalous": labels, "scores": [float(x) for x in s]}}
            for o, s in scores.items()
        }
        return cell_content(name, spd=spd, classification=metrics, more=kept)

    return one


def test_effects_on_image_metrics_redraw_test_images_where_scores_are_kept(cells, scored_pair, options):
    contents = [scored_pair("sup", "none", 0.5), scored_pair("sup_spd", "spd", 1.0)]
    frame = tidy(cells(*contents), "t", options())
    for metric in ("AU-PR", "AU-ROC", "AP", "F1-max"):
        a, mean = (row(frame, spd="spd", object=o, metric=metric) for o in ("a", "mean"))
        assert resampled(a.note) == "images" and resampled(mean.note) == "objects, images"
        assert a.delta_ci_low < a.delta < a.delta_ci_high
        scores = [content["objects"]["a"]["image_scores"] for content in contents]
        pair = PairedScores(np.array(scores[0]["anomalous"]), *(np.array(s["scores"]) for s in scores))
        alone = bootstrap_image_effects({(0, 0, "a"): pair})[metric].mean
        assert a.delta == pytest.approx(100 * alone.value)  # the cells' metrics, and those of the scores
        assert a.delta_ci_high - a.delta_ci_low == pytest.approx(
            100 * (alone.ci_high - alone.ci_low), rel=0.3
        )
    for content in contents:
        content["objects"]["b"]["image_scores"] = None
    without = row(tidy(cells(*contents), "t", options()), spd="spd", object="mean", metric="AU-PR")
    assert resampled(without.note) == "objects"


def test_an_object_of_one_class_takes_no_part_in_the_redrawing(cells, scored_pair, options):
    contents = [scored_pair("sup", "none", 0.5), scored_pair("sup_spd", "spd", 1.0)]
    for content in contents:
        content["objects"]["b"]["image_scores"]["anomalous"] = [True] * 40
        content["objects"]["b"]["classification"] = dict.fromkeys(("AU-PR", "AU-ROC", "AP", "F1-max"))
    frame = tidy(cells(*contents), "t", options())
    mean = row(frame, spd="spd", object="mean", metric="AU-PR")
    assert mean.note.startswith("Mean over 1 of 2 objects") and resampled(mean.note) == "images"
    assert mean.delta_ci_low < mean.delta < mean.delta_ci_high


def test_an_object_with_too_few_images_takes_no_part_and_the_mean_says_so(cells, scored_pair, options):
    contents = [scored_pair("sup", "none", 0.5), scored_pair("sup_spd", "spd", 1.0)]
    nothing = {"scored": False, "classification": None, "image_scores": None, "notes": ["Not scored: 1"]}
    for content in contents:
        content["objects"]["b"] |= nothing
    frame = tidy(cells(*contents), "t", options())
    mean = row(frame, spd="spd", object="mean", metric="AU-PR")
    assert mean.note.startswith("Mean over 1 of 2 objects; undefined: b.")
    assert resampled(mean.note) == "images"
    assert mean.value == row(frame, spd="spd", object="a", metric="AU-PR").value


def test_sides_scored_on_different_images_are_refused(cells, scored_pair, options):
    other = [True] * 20 + [False] * 20
    contents = [scored_pair("sup", "none", 0.5), scored_pair("sup_spd", "spd", 1.0, other)]
    with pytest.raises(ValueError, match=r"table t: sup_spd.*object a: .*different test images"):
        tidy(cells(*contents), "t", options())


def test_without_intervals_the_values_are_the_same(cells, scored_pair, options):
    contents = [scored_pair("sup", "none", 0.5), scored_pair("sup_spd", "spd", 1.0)]
    quick, whole = (tidy(cells(*contents), "t", options(), intervals=i) for i in (False, True))
    for column in ("value", "std", "n", "delta"):
        pd.testing.assert_series_equal(quick[column], whole[column])
    assert quick[["ci_low", "ci_high", "delta_ci_low", "delta_ci_high"]].isna().all(axis=None)


def test_few_shot_draws_are_runs(cells, cell_content, options):
    draws = [
        cell_content(
            setup="2cls_fewshot", detector="classifier", shots=5, draw=draw,
            classification={"a": {"AU-PR": value}},
        )
        for draw, value in enumerate((0.4, 0.5, 0.6))
    ]  # fmt: skip
    frame = tidy(
        cells(*draws),
        "t",
        options(setup="2cls_fewshot", detector=None, rows=["sup"], published=["poster_2cls_fewshot"]),
    )
    mean = row(frame, object="mean")
    assert (mean.value, mean["std"], mean.n, mean.shots) == (50.0, pytest.approx(10.0), 3, 5)
    assert mean.published == 59.2 and mean.published_delta == pytest.approx(-9.2)
