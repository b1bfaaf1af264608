import pandas as pd
import pytest

from spd.data.manifest import make
from spd.data.overview import FACTS, overview, require_stated, stated_counts, totals


def published(facts, setup):
    """A manifest with exactly the published counts, no files behind it."""
    rows = []
    for row in stated_counts(facts, setup).itertuples():
        for kind in ("train_normal", "train_anomaly", "test_normal", "test_anomaly"):
            split, label = kind.split("_")
            rows += [
                (row.object, split, label, "", f"{row.object}/{kind}/{i}", "")
                for i in range(getattr(row, kind))
            ]
    return make(rows, ".", 0, dataset="D", setup=setup)


@pytest.mark.parametrize(
    ("facts", "setup", "totals"),
    [
        # The paper's totals: 9,621 normal and 1,200 anomalous images in every setup of VisA.
        ("visa", "1cls", (8659, 0, 962, 1200)),
        ("visa", "2cls_highshot", (5773, 720, 3848, 480)),
        ("visa", "2cls_fewshot", (1924, 240, 7697, 960)),
        ("mvtec", "1cls", (3629, 0, 467, 1258)),
    ],
)
def test_the_published_totals(facts, setup, totals):
    table = overview(published(facts, setup), facts)
    assert tuple(table.groupby(["split", "label"], sort=False)["stated"].sum()) == totals
    assert tuple(table.groupby(["split", "label"], sort=False)["found"].sum()) == totals
    if facts == "visa":
        normal, anomaly = (table[table["label"] == label]["found"].sum() for label in ("normal", "anomaly"))
        assert (normal, anomaly) == (9621, 1200)
    require_stated(table)


def test_every_mismatch_is_named():
    whole = published("mvtec", "1cls")
    rows = [row for row in whole if row.image not in ("grid/test_normal/0", "grid/test_normal/1")]
    rows = [row for row in rows if row.object != "zipper"]
    rows.append(rows[0]._replace(object="teapot", image="x"))
    manifest = make(rows, ".", 127, dataset="MVTec-AD", setup="1cls")
    with pytest.raises(ValueError, match=r"^MVTec-AD 1cls: not what its owners state") as caught:
        require_stated(overview(manifest, "mvtec"))
    lines = str(caught.value).splitlines()[1:]
    assert "  grid: test normal: found 19, stated 21" in lines
    assert "  zipper: train normal: found 0, stated 240" in lines
    assert "  teapot: test anomaly: found 1, none stated" in lines or "teapot" in lines[-1]
    assert {line.split(":")[0].strip() for line in lines} == {"grid", "teapot", "zipper"}


def test_objects_in_use_are_compared_alone():
    manifest = published("visa", "1cls").part(["candle", "pcb1"])
    require_stated(overview(manifest, "visa", ["candle", "pcb1"]))
    with pytest.raises(ValueError, match="macaroni2: train normal: found 0, stated 900"):
        require_stated(overview(manifest, "visa", ["candle", "pcb1", "macaroni2"]))


def test_without_published_counts_stated_is_empty():
    table = overview(published("visa", "1cls").part(["candle"]))
    assert table["stated"].isna().all() and table["found"].sum() == 1100
    assert list(table.columns) == ["dataset", "setup", "object", "split", "label", "found", "stated"]
    with pytest.raises(ValueError, match="no counts are published for mvtec in the setup 2cls_fewshot"):
        stated_counts("mvtec", "2cls_fewshot")


def test_totals_in_a_line():
    assert totals(overview(published("visa", "2cls_fewshot"), "visa")) == (
        "9,621 normal (stated 9,621), 1,200 anomaly (stated 1,200)"
    )
    short = published("mvtec", "1cls").part(["grid"])
    assert totals(overview(short)) == "285 normal (none stated), 57 anomaly (none stated)"


def test_the_facts_are_consistent():
    # Every setup of VisA distributes the same images.
    table = pd.read_csv(FACTS / "visa_split_counts.csv")
    for label in ("normal", "anomaly"):
        total = table[f"train_{label}"] + table[f"test_{label}"]
        assert (total.groupby(table["object"]).nunique() == 1).all()
    assert len(list((FACTS / "published").glob("*.csv"))) == 7
