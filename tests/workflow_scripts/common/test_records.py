import copy

import pytest

from spd.files import read_json, write_json
from workflow_scripts.common import records

KEY = "cell/visa/{setup}/{detector}-paper/candle/moco_spd/seed3"


def cell(objects, *, label="PaDiM", detector="padim", setup="1cls", task=None, shots=None, draw=None):
    return {
        "schema": 1,
        "dataset": "visa",
        "setup": setup,
        "detector": label,
        "task": task,
        "profile": "paper",
        "pretraining": {"name": "moco_spd", "backbone": "resnet50", "seed": 3},
        "shots": shots,
        "draw": draw,
        "objects": {
            name: {
                "n_train": 9,
                "n_test_normal": 4,
                "n_test_anomaly": 6,
                **{"classification": None, "segmentation": None, **tasks},
            }
            for name, tasks in objects.items()
        },
        "provenance": {
            "preset": "paper",
            "code": "0123456789ab",
            "spd_version": "0.1.0",
            "split_hash": "5" * 64,
            "data_fingerprint": "d" * 64,
            "options": {"dim": 100, "seed": 0},
            "run_key": KEY.format(setup=setup, detector=detector),
        },
    }


def test_record_round_trip_leaves_out_undefined_metrics(tmp_path):
    path = tmp_path / "deep" / "record.json"
    records.write_record(
        path,
        key="pretrain/simsiam/seed0",
        experiment="pre-training",
        name="SimSiam",
        params={"eta": 0.1},
        metrics={"train/loss": -0.5, "train/none": None},
        provenance={"code": "abc"},
    )
    ((file, record),) = records.read_runs([path])
    assert file == path
    assert record["metrics"] == {"train/loss": -0.5}
    assert record["params"] == {"eta": 0.1}


def test_a_cell_is_a_run_with_the_means_of_what_its_objects_have(tmp_path):
    path = tmp_path / "cell.json"
    objects = {
        "a": {"classification": {"AU-ROC": 0.5, "AP": None}, "segmentation": {"AU-ROC": 1.0, "AU-PRO": 0.25}},
        "b": {"classification": {"AU-ROC": 0.75, "AP": None}, "segmentation": None},
    }
    write_json(path, cell(objects))
    ((file, record),) = records.read_runs([path])
    assert file == path and record["artifacts"] == [str(path)]
    assert record["key"] == "cell/visa/1cls/padim-paper/candle/moco_spd/seed3"
    assert (record["experiment"], record["name"]) == ("PaDiM 1cls", "moco_spd seed3 visa paper candle")
    assert record["params"] == {
        **{"pretraining": "moco_spd", "backbone": "resnet50", "seed": 3, "dataset": "visa", "setup": "1cls"},
        **{"profile": "paper", "part": "candle", "padim.dim": 100, "padim.seed": 0},
    }
    assert record["metrics"] == {
        "padim/au_roc": 0.625,
        "padim/pixel_au_roc": 1.0,
        "padim/pixel_au_pro": 0.25,
    }
    assert record["provenance"]["code"] == "0123456789ab" and "options" not in record["provenance"]


def test_draws_of_a_job_are_one_run_with_means_by_shots(tmp_path):
    values = {(5, 0): [0.5, 0.75], (5, 1): [1.0, 0.75], (10, 0): [None, 0.25]}
    paths = []
    for (shots, draw), (gear, nut) in values.items():
        objects = {
            "gear": {"classification": {"AU-ROC": gear}},
            "nut": {"classification": {"AU-ROC": nut}},
        }
        few = {"label": "classifier", "detector": "classifier", "setup": "2cls_fewshot"}
        few["task"] = "classification"
        paths.append(tmp_path / f"{shots}shot-draw{draw}.json")
        write_json(paths[-1], cell(objects, **few, shots=shots, draw=draw))
    other = tmp_path / "other.json"
    high = {"label": "U-Net", "detector": "unet", "setup": "2cls_highshot", "task": "segmentation"}
    write_json(other, cell({"gear": {"segmentation": {"AU-PRO": 0.125}}}, **high))
    (first, few), (last, high) = records.read_runs([*paths, other])
    assert (first, last) == (paths[0], other)
    assert few["artifacts"] == [str(path) for path in paths]
    assert few["metrics"] == {"classifier/5shot_au_roc": 0.75, "classifier/10shot_au_roc": 0.25}
    assert few["params"]["fewshot.shots"] == [5, 10] and few["params"]["fewshot.draws"] == 2
    assert high["metrics"] == {"unet/pixel_au_pro": 0.125}


def test_what_is_no_record_is_named_and_so_is_a_cells_wrong_key(tmp_path):
    right = cell({"a": {}})
    wrong = copy.deepcopy(right)
    wrong["pretraining"]["seed"] = "three"
    for content, said in (([], "no run record"), ({"a": 1}, "no run record"), (wrong, "pretraining.seed")):
        write_json(tmp_path / "x.json", content)
        with pytest.raises(ValueError, match=said) as error:
            list(records.read_runs([tmp_path / "x.json"]))
        assert "x.json" in str(error.value)
    assert read_json(tmp_path / "x.json") == wrong
