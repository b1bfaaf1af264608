"""The table of the linear protocol."""

import pandas as pd

from spd.linear_protocol.published import published
from spd.report.linear import write_linear
from spd.report.names import Names

NAMES = Names(
    pretrainings={
        "simsiam": {"label": "SimSiam", "spd": "none", "labels": False},
        "simsiam_spd": {"label": "SimSiam", "spd": "spd", "labels": False},
        "sup": {"label": "Sup", "spd": "none", "labels": True},
    }
)


def result(pretraining, top1, **changes):
    found = {
        "schema": 1, "pretraining": pretraining, "seed": 0, "method": "simsiam", "architecture": "resnet50",
        "protocol": "linear", "options": {}, "top1": top1, "published": None, "source": None,
        "not_compared": None, "trained_on": 1_281_167, "judged": 50_000,
        "of": "the data set's own validation images", "checkpoint": "c" * 64, "code": "abc",
    }  # fmt: skip
    value, source = published().get(
        (changes.get("method", "simsiam"), "resnet50", found["protocol"]), (None, None)
    )
    if "not_compared" not in changes:
        found |= {"published": value, "source": source}
    return found | changes


def test_published_stands_beside_and_a_shortfall_is_flagged(tmp_path):
    records = [
        result("simsiam", 60.0),
        result("simsiam_spd", 67.0, not_compared="with SPD"),
        result("sup", 75.9, protocol="classifier", published=76.13, source="torchvision"),
    ]
    paths = write_linear(records, NAMES, tmp_path, preset="paper")
    assert [path.name for path in paths] == [
        f"linear_protocol.{suffix}" for suffix in ("csv", "md", "tex", "html")
    ]
    frame = pd.read_csv(tmp_path / "linear_protocol.csv")
    assert frame["difference"].round(2).tolist()[::2] == [-8.1, -0.23] and frame["difference"].isna()[1]
    assert frame["flagged"].tolist() == [True, False, False]
    assert frame["checkpoint"].tolist() == ["c" * 64] * 3
    text = (tmp_path / "linear_protocol.md").read_text().replace("\\", "")
    assert "| SimSiam, resnet50 | 0 | linear | 60.0 | 68.1 | −8.1" in text
    assert "| SimSiam + SPD, resnet50 | 0 | linear | 67.0 |  |  |" in text
    assert "▼ More than 3 points below the publication by the same protocol." in text
    assert "Nothing published beside simsiam_spd: with SPD." in text
    assert text.count("Judged: 50,000 images (the data set's own validation images).") == 1
    assert "Not a result" not in text


def test_without_publications_it_says_why_once(tmp_path):
    records = [result(name, 50.0, not_compared="preset demo") for name in ("simsiam", "sup")]
    write_linear(records, NAMES, tmp_path, preset="demo")
    text = (tmp_path / "linear_protocol.md").read_text().replace("\\", "")
    assert "Nothing published beside simsiam, sup: preset demo." in text and "▼" not in text
    assert "Not a result" in text
    assert "--config preset" not in text and "snakemake --cores all linear_protocol" in text
