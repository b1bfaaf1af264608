from spd.files import read_json
from workflow_scripts.common import records


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
    record = read_json(path)
    assert record["metrics"] == {"train/loss": -0.5}
    assert record["params"] == {"eta": 0.1}
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]


def test_backbones_record_names_its_file_by_hash(tmp_path):
    (tmp_path / "weights").write_bytes(b"abc")
    records.write_backbone_record(
        tmp_path / "r.json",
        tmp_path / "weights",
        pretraining="moco",
        seed=3,
        params={"eta": 0.1},
        provenance={"code": "c"},
    )
    record = read_json(tmp_path / "r.json")
    assert (record["key"], record["name"]) == ("backbone/moco/seed3", "moco seed3")
    assert record["params"] == {"pretraining": "moco", "seed": 3, "eta": 0.1}
    # SHA-256 of "abc", FIPS 180-2, B.1
    assert record["provenance"]["checkpoint"].startswith("ba7816bf8f01cfea414140de5dae2223")
