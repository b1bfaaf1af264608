import json
import shutil
from pathlib import Path

import pytest

import spd
from spd.data import manifest
from spd.data.fingerprint import folder_fingerprint
from spd.data.readers import split_csv
from spd.files import file_sha256, read_json, write_json
from workflow_scripts.common.verify import hash_list, main, verify, write_hashes

CSV = "object,split,label,image,mask\nnut,train,normal,a.png,\nnut,test,anomaly,b.jfif,\n"
RESULTS = Path("results/small")
MANIFEST = RESULTS / "manifests/mine/1cls.csv"
BACKBONE = RESULTS / "backbones/a/seed0.safetensors"
CELL = RESULTS / "cells/mine/1cls/padim-p/all/a-seed0.json"
TABLE = RESULTS / "tables/t.csv"
FIGURE = RESULTS / "figures/nut.svg"


def job(rule, *outputs, inputs=()):
    write_hashes(
        hash_list(RESULTS / f"logs/{rule}.log"),
        rule=rule,
        outputs=map(str, outputs),
        inputs=map(str, inputs),
    )


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A results folder as jobs leave it; the working folder is above it."""
    monkeypatch.chdir(tmp_path)
    photographs = Path("photographs")
    photographs.mkdir()
    (photographs / "a.png").write_bytes(b"a")
    (photographs / "split.csv").write_text(CSV)
    rows = split_csv.read(photographs, csv="split.csv")
    rows.meta.update(csv=["split.csv"], fingerprint=folder_fingerprint(photographs, ["split.csv"]))
    manifest.write(rows, MANIFEST)
    job("manifest", MANIFEST, MANIFEST.with_suffix(".json"))
    BACKBONE.parent.mkdir(parents=True)
    BACKBONE.write_bytes(b"weights")
    job("pretrain", BACKBONE)
    provenance = {
        "split_hash": rows.split_hash,
        "data_fingerprint": rows.meta["fingerprint"],
        "checkpoint": file_sha256(BACKBONE),
    }
    write_json(
        CELL, {"pretraining": {"name": "a", "seed": 0}, "objects": {"nut": 0.91}, "provenance": provenance}
    )
    job("detect", CELL, inputs=[BACKBONE])
    TABLE.parent.mkdir(parents=True)
    TABLE.write_text("object,value\nnut,91.0\n")
    job("t", TABLE, inputs=[CELL])
    FIGURE.parent.mkdir()
    FIGURE.write_text("<svg/>")
    job("qualitative", FIGURE.parent)
    return tmp_path


def altered():
    return {one.path for one in verify(RESULTS)[0]}


def test_untouched_results_agree(made, capsys):
    found, count = verify(RESULTS)
    assert found == []
    assert count == 6
    assert main([str(RESULTS)]) == 0
    assert "all as their jobs left them" in capsys.readouterr().out


def test_a_flipped_digit_in_a_table_is_named(made, capsys):
    TABLE.write_text(TABLE.read_text().replace("91.0", "91.1"))
    assert altered() == {str(TABLE)}
    assert main([str(RESULTS)]) == 1
    assert f"altered: {TABLE}: is not what rule t wrote" in capsys.readouterr().out


def test_a_swapped_checkpoint_is_named_with_what_was_made_of_it(made):
    BACKBONE.write_bytes(b"others!")
    found, _ = verify(RESULTS)
    assert {one.path for one in found} == {str(BACKBONE)}
    assert any(f"is not the checkpoint of {CELL}" in one.reason for one in found)


def test_a_checkpoint_swapped_together_with_its_list_does_not_fit_its_cells(made):
    BACKBONE.write_bytes(b"others!")
    job("pretrain", BACKBONE)
    found, _ = verify(RESULTS)
    assert {one.path for one in found} == {str(BACKBONE)}
    assert any("read it" in one.reason for one in found)


def test_a_changed_cell_is_named(made):
    CELL.write_text(CELL.read_text().replace("0.91", "0.92"))
    assert altered() == {str(CELL)}


def test_a_cell_made_anew_does_not_fit_its_table(made):
    CELL.write_text(CELL.read_text().replace("0.91", "0.92"))
    job("detect", CELL, inputs=[BACKBONE])
    found, _ = verify(RESULTS)
    assert [(one.path, "has changed since t" in one.reason) for one in found] == [(str(CELL), True)]


def test_a_moved_row_of_a_manifest_is_named(made):
    MANIFEST.write_text(MANIFEST.read_text().replace("anomaly", "normal"))
    assert altered() == {str(MANIFEST)}


@pytest.mark.parametrize("name", ["a.png", "b.jfif"])
def test_a_replaced_photograph_is_named(made, name):
    (made / "photographs" / name).write_bytes(b"other")
    assert altered() == {"photographs"}


def test_an_unpacked_folder_with_fewer_files_is_named(made):
    inventory = {
        "archive": folder_fingerprint("photographs", ["split.csv"]),
        "files": 2,
        "bytes": 1 + len(CSV),
    }
    Path("photographs/.unpacked.json").write_text(json.dumps(inventory))
    assert altered() == set()
    Path("photographs/a.png").unlink()
    assert altered() == {"photographs"}


def test_an_archive_that_is_not_what_was_downloaded_is_named(made):
    archive = Path("data/archives/a.tar")
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"archive")
    checked = archive.with_name("a.tar.verified")
    write_json(checked, {"params": {"file": "a.tar", "sha256": file_sha256(archive)}})
    job("download", checked)
    assert altered() == set()
    archive.write_bytes(b"Archive")
    assert altered() == {str(archive)}
    archive.unlink()  # to save room: what was unpacked is what counts
    assert altered() == set()


@pytest.mark.parametrize("gone", [TABLE, FIGURE, CELL])
def test_a_deleted_file_is_named(made, gone):
    gone.unlink()
    assert altered() == {str(gone)}


def test_a_file_of_no_job_is_named(made):
    shutil.copy(TABLE, TABLE.with_name("better.csv"))
    assert altered() == {str(TABLE.with_name("better.csv"))}


def test_a_damaged_list_is_named(made):
    listed = hash_list(RESULTS / "logs/t.log")
    listed.write_text("{")
    assert str(listed) in altered()


def test_temporary_features_logs_and_earlier_records_are_no_matter(made):
    features = RESULTS / "features/a.safetensors"
    features.parent.mkdir()
    features.write_bytes(b"f")
    job("features", features)
    features.unlink()
    (RESULTS / "logs").mkdir()
    (RESULTS / "logs/t.log").write_text("12:00")
    write_json(RESULTS / "records/cells/mine.json", {})  # an earlier version wrote it
    assert altered() == set()


def test_nothing_to_check_is_no_success(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "run the workflow first" in capsys.readouterr().out


def test_lists_name_no_file_of_the_program(made):
    template = Path(spd.__file__).parent / "report/templates/table.md.j2"
    assert template.is_file()
    job("table2", TABLE, inputs=[template, CELL])
    assert list(read_json(hash_list(RESULTS / "logs/table2.log"))["inputs"]) == [str(CELL)]
