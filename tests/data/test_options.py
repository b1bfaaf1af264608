from pathlib import Path

import pytest
from pydantic import ValidationError

from spd.data.options import ELPV_NOTICE, ArchiveOptions, DatasetOptions, expand

HASH = "0" * 64


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"reader": "visa"}, "give exactly one of archive and root"),
        ({"reader": "visa", "root": "a", "archive": {"file": "b"}}, "give exactly one of archive and root"),
        ({"reader": "elpv", "archive": {"file": "b"}}, "takes its images from the installed wheel"),
        ({"reader": "split_csv", "root": "a"}, "csv lacks 1cls"),
        ({"reader": "split_csv", "root": "a", "csv": {"2cls": "b"}}, "2cls_highshot"),
        ({"reader": "mvtec", "root": "a", "csv": {"1cls": "b"}}, "csv is for the reader split_csv alone"),
        ({"reader": "mvtec", "root": "a", "setups": ["2cls_fewshot"]}, "has the setup 1cls alone"),
        ({"reader": "coco", "root": "a"}, "'visa', 'mvtec', 'class_folders', 'split_csv' or 'elpv'"),
        ({"reader": "visa", "root": "a", "mask_threshold": 255}, "less than or equal to 254"),
        ({"reader": "visa", "root": "a", "setups": []}, "at least 1 item"),
        ({"reader": "visa", "root": "a", "mask_treshold": 1}, "Extra inputs are not permitted"),
        ({"reader": "visa", "archive": {"file": "a", "url": "https://x/a"}}, "sha256 is required"),
        (
            {"reader": "visa", "archive": {"file": "a", "url": "file:///a", "sha256": HASH}},
            "must begin with http",
        ),
        ({"reader": "visa", "archive": {"file": "a", "sha256": "abc"}}, "should match pattern"),
    ],
)
def test_what_does_not_fit_together_is_refused(entry, message):
    with pytest.raises(ValidationError, match=message):
        DatasetOptions(name="d", **entry)


def test_bounds_fit_the_published_archives():
    """ImageNet's tar of 1,000 tars: 1,281,167 files, 147,897,477,120 bytes; MVTec-AD, unpacked: 5 GB."""
    files, size = ArchiveOptions(file="a", nested=True).bounds()
    assert 1_281_167 + 1_000 < files < 2_000_000 and 147_897_477_120 < size < 500_000_000_000
    files, size = ArchiveOptions(file="a").bounds()
    assert 6_700 < files < 1_000_000 and 6_000_000_000 < size < 100_000_000_000
    mine = ArchiveOptions(file="a", nested=True, limits={"max_files": 7, "max_bytes": 9})
    assert mine.bounds() == (7, 9)


def test_the_notice_of_the_wheel_is_said_once():
    assert DatasetOptions(name="d", reader="elpv").notice == ELPV_NOTICE
    assert DatasetOptions(name="d", reader="elpv", notice="Mine.").notice == "Mine."
    assert DatasetOptions(name="d", reader="mvtec", root="a").notice == ""
    root = Path(__file__).resolve().parents[2]
    sources = [root / "config.yaml", root / "Snakefile", *(root / "spd").rglob("*.py")]
    assert [p.name for p in sources if "Buerhop" in p.read_text()] == ["options.py"]


def test_a_name_is_a_plain_word():
    assert DatasetOptions(name="MVTec-AD", reader="elpv").setups == ["1cls"]
    with pytest.raises(ValidationError, match="name"):
        DatasetOptions(name="../d", reader="elpv")


def test_every_field_is_documented():
    for model in (DatasetOptions, ArchiveOptions):
        assert all(field.description for field in model.model_fields.values())


def test_paths_are_expanded(monkeypatch):
    monkeypatch.setenv("SOME_DATA", "/somewhere")
    monkeypatch.delenv("NO_DATA", raising=False)
    assert expand("$SOME_DATA/x", "k") == Path("/somewhere/x")
    assert expand("${SOME_DATA}/x", "k") == Path("/somewhere/x")
    assert expand("~/x", "k") == Path.home() / "x"
    assert expand("data/x", "k") == Path("data/x")
    csv = {"1cls": "$SOME_DATA/l.csv"}
    own = DatasetOptions(name="d", reader="split_csv", root="a", csv=csv)
    assert own.lists() == {"1cls": Path("/somewhere/l.csv")}
    with pytest.raises(ValueError, match=r"k: ~no-such-user/x: there is no such home folder"):
        expand("~no-such-user/x", "k")
    with pytest.raises(
        ValueError, match=r"datasets: d: root: \$NO_DATA/x: the environment variable NO_DATA is not set"
    ):
        expand("$NO_DATA/x", "datasets: d: root")


def test_the_files_that_name_images():
    archive = {"file": "visa.tar"}
    setups = ["1cls", "2cls_fewshot"]
    visa = DatasetOptions(name="v", reader="visa", archive=archive, setups=setups)
    assert visa.split_files() == ["split_csv/1cls.csv", "split_csv/2cls_fewshot.csv"]
    own = DatasetOptions(name="o", reader="split_csv", root="x", csv={"1cls": "a.csv"})
    assert own.split_files() == ["a.csv"]
    assert DatasetOptions(name="m", reader="mvtec", root="x").split_files() == []
