import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from spd.metrics.curves import pixel_curves
from spd.report.figures import (
    Panel,
    panels_of_object,
    pretraining_curves,
    qualitative,
    read_history,
    score_curves,
)

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def panels():
    image = np.zeros((20, 30, 3), np.uint8)
    mask = np.zeros((20, 30), np.uint8)
    mask[5:10, 5:10] = 1
    heat = np.linspace(0, 5, 600, dtype=np.float32).reshape(20, 30)
    return [Panel("best $x_1$ 50 %", image, mask, heat, heat[::-1]), Panel("worst", image, None, heat, heat)]


HISTORIES = {
    "SimSiam": [{"step": i, "loss": -0.1 * i, "embedding_std": 0.9} for i in range(4)],
    "SimSiam + SPD": [
        {"step": i, "loss": -0.1 * i, "embedding_std": 0.8, "cos_plus": 0.9, "cos_minus": 0.5}
        for i in range(4)
    ],
}
CURVES = {
    "without": {"ROC": (np.array([0, 0.5, 1]), np.array([0, 1, 1])), "PR": (np.array([0, 1]), np.ones(2))},
    "with_$PD": {"ROC": (np.array([0, 0, 1]), np.array([0, 1, 1]))},
    "one class": {},
}


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_same_input_gives_the_same_bytes(panels, tmp_path, suffix):
    for draw, content in (
        (qualitative, panels),
        (score_curves, {"images": CURVES}),
        (pretraining_curves, HISTORIES),
    ):
        one = draw(content, tmp_path / f"one.{suffix}", title="a_b $ <c>").read_bytes()
        two = draw(content, tmp_path / f"two.{suffix}", title="a_b $ <c>").read_bytes()
        assert one == two
        if suffix == "png":
            assert not Image.open(io.BytesIO(one)).info.get("Software")
        else:
            ET.fromstring(one)
            assert b"<dc:date>" not in one


def test_panels_belong_to_the_images_that_the_rule_chooses():
    n = 5
    images = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 6), np.uint8)
    masks = np.arange(n)[:, None, None] * np.ones((1, 4, 6))
    maps = np.random.default_rng(0).random((n, 4, 6))
    anomalous = np.array([False, True, True, True, False])
    names = [f"x/{i}.JPG" for i in range(n)]
    without, with_spd = np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([0.2, 0.9, 0.8, 0.1, 0.3])
    found = panels_of_object(names, anomalous, images, masks, (without, maps), (with_spd, 7 * maps + 1))
    assert [p.caption for p in found] == [
        "best: 1.JPG\nrank +60.0 %", "median: 2.JPG\nrank +20.0 %", "worst: 3.JPG\nrank −60.0 %"
    ]  # fmt: skip
    for i, panel in enumerate(found, 1):
        assert panel.image.shape == (4, 6, 3) and (panel.image == i).all() and (panel.mask == i).all()
        np.testing.assert_allclose(panel.without, panel.with_spd, atol=1e-5)
    assert panels_of_object(names, ~anomalous & False, images, None, (without, maps), (with_spd, maps)) == []


def test_columns_and_rows_are_named(panels, tmp_path):
    text = qualitative(panels, tmp_path / "a.svg", title="pcb_1", footer="the rule").read_text()
    for word in ("image", "mask", "without SPD", "with SPD", "best $x_1$ 50 %", "worst", "no mask", "pcb_1"):
        assert f"<!-- {word} -->" in text


def colours_in(png, colours):
    """Whether each RGB colour occurs in a picture."""
    pixels = set(map(tuple, np.asarray(Image.open(png).convert("RGB")).reshape(-1, 3).tolist()))
    return [colour in pixels for colour in colours]


def test_both_heat_maps_share_one_colour_scale(tmp_path):
    image, mask = np.full((8, 8, 3), 128, np.uint8), np.ones((8, 8))
    # 1 and 2 on a scale that ends at 2: half way and at the top, whichever map they stand in.
    import matplotlib

    inferno = [
        tuple(round(255 * channel) for channel in matplotlib.colormaps["inferno"](x)[:3]) for x in (0.5, 1.0)
    ]
    panel = Panel("x", image, mask, np.full((8, 8), 1.0), np.full((8, 8), 2.0))
    assert colours_in(qualitative([panel], tmp_path / "a.png"), [*inferno, (128, 128, 128)]) == [True] * 3


def test_curves_hold_the_points_given(tmp_path):
    path = score_curves({"images": CURVES}, tmp_path / "a.svg")
    tree = ET.parse(path)
    assert len(tree.findall(f".//{SVG}g[@id='axes_1']")) == 1
    # A curve of n corners is a path of n points: two ROC curves of three, one PR curve of two.
    lines = [g.find(f"{SVG}path") for g in tree.iter(f"{SVG}g") if g.get("id", "").startswith("line2d_")]
    dashes = [
        p.get("d").count("L") + 1 for p in lines if p is not None and "stroke: #0072b2" in p.get("style", "")
    ]
    assert 3 in dashes and 2 in dashes


def test_pixels_have_a_row_of_their_own_with_the_whole_pro_curve(tmp_path):
    rng = np.random.default_rng(0)
    masks = np.zeros((3, 16, 16), np.uint8)
    masks[1:, 4:9, 4:9] = 1
    pixels = {"Sup": pixel_curves((rng.random(masks.shape) + masks).astype(np.float32), masks)}
    text = score_curves({"images": CURVES, "pixels": pixels}, tmp_path / "a.svg").read_text()
    for title in ("ROC, images", "PR, images", "ROC, pixels", "PR, pixels", "PRO, pixels"):
        assert f"<!-- {title} -->" in text
    assert "PRO, images" not in text and "mean per-region overlap" in text
    # To a false positive rate of 1, although AU-PRO ends at 0.3.
    assert (pixels["Sup"]["PRO"].x[0], pixels["Sup"]["PRO"].x[-1]) == (0, 1)


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no panels"):
        qualitative([], tmp_path / "a.png")
    with pytest.raises(ValueError, match="no curves"):
        score_curves({"images": {"x": {}}}, tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        score_curves({"images": CURVES}, tmp_path / "a.pdf")
    assert not list(tmp_path.iterdir())


def test_history_is_read_and_errors_name_the_line(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "knn": 0.1}\n')
    assert read_history(path) == [{"step": 1, "loss": 0.5}, {"step": 2, "knn": 0.1}]
    path.write_text('{"step": 1}\n{"st\n')
    with pytest.raises(ValueError, match="line 2"):
        read_history(path)


def test_a_callers_settings_do_not_change_the_figure(panels, tmp_path):
    import matplotlib

    one = qualitative(panels, tmp_path / "one.png").read_bytes()
    with matplotlib.rc_context({"font.size": 30, "savefig.dpi": 10}):
        assert qualitative(panels, tmp_path / "two.png").read_bytes() == one
        assert matplotlib.rcParams["font.size"] == 30
