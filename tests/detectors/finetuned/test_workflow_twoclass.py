"""Drives Snakemake on the preset tiny with the two 2-class tables added, in a folder of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.workflow

REPOSITORY = Path(__file__).resolve().parents[3]
ROWS = ["simsiam", "simsiam_spd"]


def table(setup):
    return {"title": setup, "datasets": ["visa"], "setup": setup, "profiles": ["demo"], "rows": ROWS}


OVERLAY = {
    "tables": {
        "twoclass_fewshot": table("2cls_fewshot"),
        "twoclass_highshot": table("2cls_highshot"),
    }
}


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(folder, *arguments, config=OVERLAY):
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    found = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    found += ["--directory", str(folder), "--cores", "2", *arguments]
    return [*found, "--configfile", "mine.yaml", "--config", "preset=tiny"]


def snakemake(folder, *arguments, config=OVERLAY):
    call = command(folder, *arguments, config=config)
    done = subprocess.run(call, capture_output=True, text=True, cwd=folder, env=ENVIRONMENT, timeout=600)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which both tables were made."""
    folder = tmp_path_factory.mktemp("workspace")
    status, output = snakemake(folder, "twoclass_fewshot", "twoclass_highshot")
    assert status == 0, output
    return folder


def test_every_cell_of_both_tables_has_a_value(folder):
    expected = {"twoclass_fewshot": {1, 2}, "twoclass_highshot": {None}}
    for name, shots in expected.items():
        found = pd.read_csv(folder / f"results/tiny/tables/{name}.csv")
        assert found["value"].notna().all()
        assert set(found["task"]) == {"classification", "segmentation"}
        assert set(found["spd"]) == {"none", "spd"}
        assert {None if pd.isna(k) else int(k) for k in found["shots"].unique()} == shots
        runs = 1 if name.endswith("highshot") else 2
        assert (found["n"] == runs).all()
        assert found["std"].notna().all() == (runs > 1)
        with_spd = found[found["spd"] == "spd"]
        assert with_spd["delta"].notna().all()


def test_draws_lie_beside_the_table_and_are_of_training_images(folder):
    draws = pd.read_csv(folder / "results/tiny/tables/visa_draws.csv")
    rows = pd.read_csv(folder / "results/tiny/manifests/visa/2cls_fewshot.csv").set_index("image")
    assert (rows.loc[draws["image"], "split"] == "train").all()
    counts = draws.groupby(["object", "shots", "draw", "label"]).size().reset_index(name="images")
    assert (counts["images"] == counts["shots"]).all()
    assert len(counts) == 2 * 2 * 2 * 2  # objects, k, draws, classes


@pytest.mark.parametrize("setup", ["2cls_fewshot", "2cls_highshot"])
def test_no_test_image_of_a_setup_is_trained_on(setup, folder):
    """VisA's own rounding and nesting, generated; test_draws.py has the twin on real images."""
    rows = pd.read_csv(folder / f"results/tiny/manifests/visa/{setup}.csv")
    tested = set(rows["image"][rows["split"] == "test"])
    if setup == "2cls_fewshot":
        trained = set(pd.read_csv(folder / "results/tiny/tables/visa_draws.csv")["image"])
        high = pd.read_csv(folder / "results/tiny/manifests/visa/2cls_highshot.csv")
        assert tested & set(high["image"][high["split"] == "train"])  # why setups must not mix
    else:
        trained = set(rows["image"][rows["split"] == "train"])
    assert trained and tested and not trained & tested


def test_a_cell_says_which_run_it_is(folder):
    at = folder / "results/tiny/cells/visa"
    few = json.loads((at / "2cls_fewshot/unet-demo/all/simsiam-seed0/2shot-draw1.json").read_text())
    assert (few["detector"], few["task"], few["shots"], few["draw"]) == ("U-Net", "segmentation", 2, 1)
    assert {entry["n_train"] for entry in few["objects"].values()} == {4}
    high = json.loads((at / "2cls_highshot/classifier-demo/all/simsiam-seed0/all.json").read_text())
    assert (high["detector"], high["shots"], high["draw"]) == ("classifier", None, None)
    assert few["provenance"]["split_hash"] != high["provenance"]["split_hash"]
    assert not list((folder / "results").rglob("*.unfinished"))


def test_nothing_runs_again_and_a_changed_key_reruns_its_own_detector_alone(folder):
    assert "Nothing to be done" in snakemake(folder, "-n", "twoclass_fewshot")[1]
    changed = OVERLAY | {"detectors": {"unet": {"demo": {"options": {"lr": 0.01}}}}}
    _, output = snakemake(folder, "-n", "twoclass_fewshot", "twoclass_highshot", config=changed)
    planned = dict(line.split()[:2] for line in output.splitlines() if line.startswith("finetune"))
    assert planned == {"finetune_fewshot": "2", "finetune_highshot": "2"}
    assert "detector=classifier" not in output


def test_names_and_labels_train_nothing_anew(folder):
    renamed = {
        "pretrainings": {"simsiam": {"label": "SimSiam, ours"}},
        "datasets": {"visa": {"name": "Visible"}},
    }
    _, output = snakemake(folder, "-n", "twoclass_fewshot", "twoclass_highshot", config=OVERLAY | renamed)
    planned = dict(re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE))
    assert planned == {"twoclass_fewshot": "1", "twoclass_highshot": "1", "total": "2"}


def test_a_killed_job_goes_on_after_its_last_finished_draw(folder):
    """Kills everything once one training is done, marks what it left, and finds the mark in the cell."""
    at = folder / "results/tiny/cells/visa/2cls_fewshot/unet-demo/all/simsiam-seed0"
    before = {path.name: json.loads(path.read_text()) for path in at.glob("*.json")}
    shutil.rmtree(at)
    target = str((at / "1shot-draw0.json").relative_to(folder))
    running = subprocess.Popen(
        command(folder, target),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    state = at.with_suffix(".unfinished")
    while not (finished := list(state.glob("*/*.json"))):
        assert running.poll() is None, "the job ended before it was killed"
        time.sleep(0.002)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not list(at.glob("*.json"))
    marked = json.loads(finished[0].read_text()) | {"train_loss": 123.0}
    finished[0].write_text(json.dumps(marked))

    status, output = snakemake(folder, "--rerun-incomplete", target)
    assert status == 0, output
    after = {path.name: json.loads(path.read_text()) for path in at.glob("*.json")}
    name, run = unquote(finished[0].parent.name), finished[0].name
    assert after[run]["objects"][name]["train_loss"] == 123.0
    after[run]["objects"][name] = before[run]["objects"][name]
    assert after == before
    assert not state.exists()
