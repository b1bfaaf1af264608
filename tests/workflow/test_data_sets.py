"""An archive in VisA's layout from checks to overview, against published counts that are made to fit it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

pytestmark = pytest.mark.workflow

REPOSITORY = Path(__file__).resolve().parents[2]
SETUPS = {"1cls": (3, 0), "2cls_highshot": (2, 1), "2cls_fewshot": (1, 1)}  # training images: normal, anomaly
NORMAL, ANOMALY = 4, 2


def photograph(path, seed, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(60, 200, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def visa_archive(path, folder):
    """candle with 4 normal and 2 anomalous images, one of whose masks is empty."""
    rows = {setup: [] for setup in SETUPS}
    for label, count in (("Normal", NORMAL), ("Anomaly", ANOMALY)):
        for i in range(count):
            image = f"candle/Data/Images/{label}/{i:03}.JPG"
            photograph(folder / image, 10 * count + i)
            mask = f"candle/Data/Masks/Anomaly/{i:03}.png" if label == "Anomaly" else ""
            if mask:
                ids = np.zeros((40, 48), np.uint8)
                ids[5:9, 5:9] = i  # the first one marks nothing
                (folder / mask).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(ids).save(folder / mask)
            for setup, trained in SETUPS.items():
                split = "train" if i < trained[label == "Anomaly"] else "test"
                rows[setup].append(("candle", split, label.lower(), image, mask))
    (folder / "split_csv").mkdir()
    for setup, lines in rows.items():
        table = pd.DataFrame(lines, columns=["object", "split", "label", "image", "mask"])
        table.to_csv(folder / f"split_csv/{setup}.csv", index=False)
    with tarfile.open(path, "w") as tar:
        for name in ("candle", "split_csv"):
            tar.add(folder / name, name)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A copy of the project whose published counts of candle are the archive's, and a place to run it in."""
    root = tmp_path_factory.mktemp("data")
    copy = root / "project"
    for name in ("spd", "demo_data", "rules", "workflow_scripts"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(REPOSITORY / name, copy / name)
    facts = copy / "spd/facts/visa_split_counts.csv"
    table = pd.read_csv(facts)
    for setup, (normal, anomaly) in SETUPS.items():
        row = (table["setup"] == setup) & (table["object"] == "candle")
        assert row.sum() == 1
        counts = [normal, anomaly, NORMAL - normal, ANOMALY - anomaly]
        table.loc[row, ["train_normal", "train_anomaly", "test_normal", "test_anomaly"]] = counts
    table.to_csv(facts, index=False)
    visa_archive(root / "visa.tar", root / "visa")
    return root


def run(workspace, *targets, **dataset):
    visa = {"name": "VisA", "facts": "visa", "objects": ["candle"], "notice": "Ask its owners.", **dataset}
    visa["archive"] = {"file": "visa.tar"}
    mine = {
        "datasets": {"visa": visa},
        "dataset_overview": {"datasets": ["visa"]},
        "tables": {"padim_1class": {"datasets": ["visa"]}},
    }
    (workspace / "mine.yaml").write_text(yaml.safe_dump(mine))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(workspace / "project/Snakefile")]
    command += ["--directory", str(workspace), "--cores", "2", *targets]
    command += ["--configfile", "mine.yaml", "--config", "preset=tiny"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(workspace / "project")}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=workspace, env=environment, timeout=600
    )
    return done.returncode, done.stdout + done.stderr


def test_from_archive_to_overview(workspace):
    tables = workspace / "results/tiny/tables"

    # One mask is empty: that stops the run, names the file and says how it can be accepted.
    failed, output = run(workspace, "dataset_overview")
    assert failed and not list(tables.glob("*")), output
    assert "empty mask: candle/Data/Masks/Anomaly/000.png" in output
    assert "`datasets.visa.accept`" in output and "`datasets.visa.checks: warn`" in output
    assert output.count("Ask its owners.") == 1

    # A path that is nowhere is refused with the nearest one, before anything is accepted.
    failed, output = run(workspace, "dataset_overview", accept=["candle/Data/Mask/Anomaly/000.png"])
    assert failed and "datasets.visa.accept: no image or mask in use has the path" in output, output
    assert "candle/Data/Mask/Anomaly/000.png (did you mean candle/Data/Masks/Anomaly/000.png?)" in output

    # Accepted by its path. Every file is looked at once for all three setups, and was already.
    accept = ["candle/Data/Masks/Anomaly/000.png"]
    failed, output = run(workspace, "dataset_overview", accept=accept)
    assert not failed, output
    assert re.search(r"^manifest +3$", output, re.MULTILINE) and "\nexamine " not in output
    table = pd.read_csv(tables / "dataset_overview.csv")
    assert (table["found"] == table["stated"]).all() and len(table) == 3 * 4
    totals = table.groupby(["setup", "label"])["found"].sum()
    assert all(totals[setup, "normal"] == NORMAL and totals[setup, "anomaly"] == ANOMALY for setup in SETUPS)
    said = f"{NORMAL} normal (stated {NORMAL}), {ANOMALY} anomaly (stated {ANOMALY})"
    assert [line.strip() for line in output.splitlines() if line.strip().startswith("VisA ")] == [
        f"VisA {setup}: {said}" for setup in SETUPS
    ]
    html = (tables / "dataset_overview.html").read_text()
    assert html.count("the checks found 1 empty mask (results/tiny/manifests/visa/") == len(SETUPS)
    noted = (workspace / "results/tiny/manifests/visa/1cls.checks.txt").read_text()
    assert "1 accepted problem:\n  empty mask: candle/Data/Masks/Anomaly/000.png" in noted
    # The record says it to the tables, too.
    record = json.loads((workspace / "results/tiny/records/manifests/visa-1cls.json").read_text())
    assert record["params"]["let_through"] == "1 empty mask in candle"

    # Other published counts: the overview is made again, and nothing before it.
    facts = workspace / "project/spd/facts/visa_split_counts.csv"
    published = facts.read_text()
    facts.write_text(published.replace(f"1cls,candle,{SETUPS['1cls'][0]},", "1cls,candle,900,"))
    assert facts.read_text() != published
    failed, output = run(workspace, "dataset_overview", accept=accept)
    assert failed and "candle: train normal: found 3, stated 900" in output, output
    assert "\nmanifest " not in output
    facts.write_text(published)

    # The archive is one image short of what is published: no table, and the difference is named.
    (workspace / "visa/candle/Data/Images/Normal/003.JPG").unlink()
    for csv in (workspace / "visa/split_csv").glob("*.csv"):
        rows = pd.read_csv(csv, keep_default_na=False)
        rows[~rows["image"].str.endswith("Normal/003.JPG")].to_csv(csv, index=False)
    with tarfile.open(workspace / "visa.tar", "w") as tar:
        for name in ("candle", "split_csv"):
            tar.add(workspace / "visa" / name, name)
    failed, output = run(workspace, "dataset_overview", accept=accept)
    assert failed and not (tables / "dataset_overview.csv").exists()
    assert "1cls: not what its owners state" in output, output
    assert "candle: test normal: found 0, stated 1" in output, output
