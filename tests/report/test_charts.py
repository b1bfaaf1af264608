import numpy as np
import pytest

from spd.report.charts import BOTTOM, HEIGHT, LEFT, POINTS, RIGHT, TOP, WIDTH, training_charts

HISTORY = [{"step": s, "loss": 2.0 - s / 50, "embedding_std": 0.5} for s in range(0, 101, 10)]


def points(line):
    return np.array([[float(v) for v in pair.split(",")] for pair in line.points.split()])


def test_points_lie_where_the_ticks_say():
    (loss, spread) = training_charts({"a": HISTORY})
    assert loss.title == "loss" and spread.title.startswith("embedding std")
    drawn = points(loss.lines[0])
    assert len(drawn) == len(HISTORY)
    for axis, ticks, values in (
        (0, loss.x_ticks, [h["step"] for h in HISTORY]),
        (1, loss.y_ticks, [h["loss"] for h in HISTORY]),
    ):
        places = [place for place, _ in ticks]
        numbers = [float(text.replace("−", "-")) for _, text in ticks]
        slope, shift = np.polyfit(numbers, places, 1)
        np.testing.assert_allclose(drawn[:, axis], slope * np.array(values) + shift, atol=0.11)
    assert drawn[:, 0].min() >= LEFT and drawn[:, 0].max() <= WIDTH - RIGHT
    assert drawn[:, 1].min() >= TOP and drawn[:, 1].max() <= HEIGHT - BOTTOM
    assert drawn[0, 1] < drawn[-1, 1]  # a falling loss goes down on the page


def test_cosines_share_a_panel_and_a_colour():
    with_spd = [{**h, "cos_plus": 0.9, "cos_minus": -0.5} for h in HISTORY]
    *_, cosines = training_charts({"without": HISTORY, "with": with_spd})
    assert [(line.label, line.colour, line.dashed) for line in cosines.lines] == [
        ("with", 1, False), ("with", 1, True)
    ]  # fmt: skip


def test_accuracies_on_held_out_images_share_a_panel():
    probed = [{**h, "knn": 0.2, "perturbed_accuracy": 0.6} if i % 2 else h for i, h in enumerate(HISTORY)]
    _, _, accuracies = training_charts({"a": probed})
    assert [line.dashed for line in accuracies.lines] == [False, True]
    assert len(points(accuracies.lines[0])) == len(HISTORY) // 2


def test_long_histories_are_thinned_to_their_ends():
    long = [{"step": s, "loss": float(s)} for s in range(5000)]
    (loss,) = training_charts({"a": long})
    drawn = points(loss.lines[0])
    assert len(drawn) == POINTS
    assert drawn[0, 0] == LEFT and drawn[-1, 0] == WIDTH - RIGHT


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_gaps_and_a_single_value_do_not_break_a_chart(value):
    (loss,) = training_charts({"a": [{"step": 1, "loss": value}, {"step": 2, "loss": 3.0}]})
    assert np.isfinite(points(loss.lines[0])).all() and len(points(loss.lines[0])) == 1
    assert training_charts({"a": [{"step": 1, "loss": value}], "b": []}) == []
