from pathlib import Path

import pytest

from spd.detectors.results import Cell
from spd.files import read_json

RESULT = {"n_train": 9, "n_test_normal": 4, "n_test_anomaly": 6, "classification": None, "segmentation": None}
PROVENANCE = {
    **{"preset": "tiny", "code": "0123456789ab", "spd_version": "0.1.0", "corpus": "beyond the contract"},
    **{"split_hash": "5" * 64, "data_fingerprint": "d" * 64, "commit": None},
}
CONTENT = {
    "schema": 1,
    "dataset": "visa",
    "setup": "1cls",
    "detector": "PaDiM",
    "profile": "paper",
    "pretraining": {"name": "moco", "backbone": "resnet50", "seed": 0},
    "shots": None,
    "draw": None,
    "objects": {
        "a": {
            **RESULT,
            "classification": {"AU-ROC": 0.1, "AP": None, "note": "one class only"},
            "image_scores": {"anomalous": [True, False], "scores": [1.25, -3.0]},
            "by_defect": {"scratch": {"F1-max": 1.0}},
        },
        "b": {**RESULT, "train_loss": 0.5},
    },
    "provenance": PROVENANCE,
}


def test_a_file_holds_what_was_given_and_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "deep/cell.json"
    Cell(**CONTENT).write(path)
    assert read_json(path) == CONTENT
    assert Cell.read(path) == Cell(**CONTENT)


def test_what_is_wrong_is_said_with_the_command_that_makes_the_file_again(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="AU-ROC"):
        Cell(**CONTENT | {"objects": {"a": {**RESULT, "classification": {"AU-ROC": 93.0}}}})
    monkeypatch.chdir(tmp_path)
    path = Path("results/tiny/cells/visa/1cls/padim-paper/all/moco-seed0.json")
    Cell(**CONTENT).write(path)
    path.write_text(path.read_text().replace('"split_hash"', '"split"'))
    with pytest.raises(ValueError) as error:
        Cell.read(path)
    said = str(error.value)
    assert said.startswith(f"{path}: provenance.split_hash: ")
    assert said.endswith(f"snakemake --cores all {path} --config preset=tiny")
