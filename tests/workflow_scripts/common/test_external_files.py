import os
from pathlib import Path

import pytest

from spd.config.design import Design
from spd.config.model import load
from workflow_scripts.common.external_files import ExternalFiles

CONFIG = Path(__file__).resolve().parents[3] / "config.yaml"
MINE = {"name": "Mine", "reader": "mvtec", "root": "$SPD_MINE/photographs", "objects": ["nut"]}


def external(reads=(), **overrides):
    """Preset tiny with a data set `mine`; `reads`: data sets of a table of its own."""
    overrides = {"preset": "tiny", "datasets": {"mine": MINE}, **overrides}
    if reads:
        overrides["tables"] = {"custom": {"datasets": list(reads)}}
    return ExternalFiles(Design(load(CONFIG, overrides)))


def test_variables_are_expanded_and_only_those_of_paths_in_use_are_missed(monkeypatch):
    monkeypatch.delenv("SPD_MINE", raising=False)
    assert external().unset == []
    (line,) = external(reads=["mine"]).unset
    assert line.startswith("datasets.mine.root: $SPD_MINE/photographs: ") and "export SPD_MINE=" in line
    monkeypatch.setenv("SPD_MINE", "/photos")
    found = external(reads=["mine"])
    assert found.unset == []
    assert found.folders == {"mine": Path("/photos/photographs")}


@pytest.mark.parametrize(
    ("reads", "dataset", "key"),
    [
        (["mine"], {**MINE, "root": None, "archive": {"file": "$SPD_MINE/a.tar"}}, "mine.archive.file"),
        (
            ["mine"],
            {**MINE, "root": None, "archive": {"file": "a.tar", "unpack_to": "$SPD_MINE"}},
            "mine.archive.unpack_to",
        ),
        (
            ["mine"],
            {"name": "Mine", "reader": "split_csv", "root": "here", "csv": {"1cls": "$SPD_MINE/1cls.csv"}},
            "mine.csv.1cls",
        ),
    ],
)
def test_every_path_of_a_data_set_is_looked_at(monkeypatch, reads, dataset, key):
    monkeypatch.delenv("SPD_MINE", raising=False)
    assert [line.split(": ")[0] for line in external(reads, datasets={"mine": dataset}).unset] == [
        f"datasets.{key}"
    ]


def test_a_checkpoint_is_looked_at_where_a_table_needs_its_row(monkeypatch):
    monkeypatch.delenv("SPD_MINE", raising=False)
    row = {"label": "M", "source": {"checkpoint": "$SPD_MINE/a.safetensors"}}
    assert external(pretrainings={"m": row}).unset == []
    found = external(pretrainings={"m": row}, tables={"custom": {"rows": ["m"]}})
    assert [line.split(": ")[0] for line in found.unset] == ["pretrainings.m.source.checkpoint"]


def test_state_of_a_folder_follows_its_files(monkeypatch, tmp_path):
    monkeypatch.setenv("SPD_MINE", str(tmp_path))
    assert external(reads=["mine"]).state("mine") == "absent"
    image = tmp_path / "photographs/nut/train/good/0.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"one")
    before = external(reads=["mine"]).state("mine")
    assert before == external(reads=["mine"]).state("mine") != "absent"
    os.utime(image, (0, 0))
    assert external(reads=["mine"]).state("mine") != before
    assert external(reads=["mine"]).state("visa") is None  # an archive: its hash says it


def test_archives_and_weights_that_have_an_address_are_read_once_they_are_verified():
    address = {"url": "https://example.org/x", "sha256": "1" * 64}
    weights = {
        "one": {"file": "w/one.pth", **address},
        "two": {"file": "w/two.pth", **address, "sha256": "2" * 64},
    }
    rows = {
        name: {"label": name, "source": {"source": "torchvision", "checkpoint": f"w/{name}.pth"}}
        for name in ("one", "two", "own")
    }
    mine = {**MINE, "root": None, "archive": {"file": "d/mine.tar", **address, "unpack_to": "big"}}
    found = external(weights=weights, pretrainings=rows, datasets={"mine": mine})
    assert {"w/one.pth", "w/two.pth", "d/mine.tar"} <= set(found.downloads)
    assert not {"w/own.pth", found.archives["visa"]} & set(found.downloads)
    assert found.weights("one") == "w/one.pth.verified"
    assert found.weights("own") == "w/own.pth"
    assert found.weights("lite0_random") is None
    assert found.published_sha256("two") == "2" * 64
    assert found.published_sha256("own") is None
    assert (found.archives["mine"], found.unpacked["mine"]) == ("d/mine.tar", "big/mine")
    assert (found.inventory("mine"), found.unpacked_from("big/mine")) == ("big/mine.json", "mine")
    assert found.unpacked["visa"] == "data/demo/tiny/unpacked/visa"  # with the archive


def test_an_archive_where_nothing_can_be_written_is_refused_unless_it_is_unpacked(monkeypatch, tmp_path):
    mine = {**MINE, "root": None, "archive": {"file": str(tmp_path / "mine.tar")}}
    monkeypatch.setattr("workflow_scripts.common.external_files.read_only", lambda folder: folder.parent)
    (tmp_path / "unpacked").mkdir()
    overrides = {
        "datasets": {"mine": mine},
        "tables": {"custom": {"datasets": ["mine"], "rows": ["lite0_random"]}, "padim_1class": None},
        "dataset_overview": {"datasets": ["mine"]},
    }
    with pytest.raises(ValueError, match=r"datasets\.mine\.archive\.unpack_to$"):
        external(**overrides)
    (tmp_path / "unpacked/mine.json").write_text("{}")
    assert external(**overrides).unpacked["mine"] == str(tmp_path / "unpacked/mine")
