"""Drives Snakemake itself on the preset tiny, in a folder of its own, and counts the jobs that would run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

pytestmark = pytest.mark.workflow

REPOSITORY = Path(__file__).resolve().parent.parent
RANDOM_WEIGHTS = "lite0_random"


def overlay(**changes):
    """The user's own file on top of tiny: one folder of images of their own, judged in `custom`."""
    mine = {
        "datasets": {"mine": {"name": "Mine", "reader": "mvtec", "root": "photographs", "objects": ["nut"]}},
        "tables": {"custom": {"datasets": ["mine"]}},
    }
    for path, value in changes.items():
        at = mine
        *parents, last = path.split("__")
        for key in parents:
            at = at.setdefault(key, {})
        at[last] = value
    return mine


class Workspace:
    """A folder in which Snakemake runs this repository's workflow."""

    def __init__(self, folder):
        self.folder = folder

    def snakemake(self, *arguments, config=None):
        (self.folder / "mine.yaml").write_text(yaml.safe_dump(config or overlay()))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
        command += ["--directory", str(self.folder), "--cores", "2", *arguments]
        command += ["--configfile", "mine.yaml", "--config", "preset=tiny"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, env=environment, timeout=600
        )

    def planned(self, *arguments, config=None):
        """rule -> number of jobs that a dry run announces."""
        done = self.snakemake("--dry-run", *arguments, config=config)
        assert done.returncode == 0, done.stdout + done.stderr
        return jobs(done.stdout + done.stderr)

    def temporary_files(self):
        files = (path for path in (self.folder / "results").rglob("*") if path.is_file())
        own = ".snakemake_timestamp"  # Snakemake's, in each folder that is an output
        return [p for p in files if p.suffix == ".tmp" or (p.name.startswith(".") and p.name != own)]


def jobs(output):
    """The counts of Snakemake's `Job stats` table, without the rules that only collect files."""
    table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal", output, re.DOTALL)
    if table is None:
        assert "Nothing to be done" in output, output
        return {}
    counts = {name: int(count) for name, count in (line.split() for line in table[1].splitlines())}
    return {name: count for name, count in counts.items() if name not in ("all", "tables")}


def photograph(path, seed, spot=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(90, 120, (48, 48, 3), dtype=np.uint8)
    if spot:
        pixels[10:20, 10:20] = 230
    Image.fromarray(pixels).save(path)


def write_photographs(root):
    for i in range(6):
        photograph(root / f"nut/train/good/{i:03}.png", i)
    for i in range(3):
        photograph(root / f"nut/test/good/{i:03}.png", 10 + i)
        photograph(root / f"nut/test/spot/{i:03}.png", 20 + i, spot=True)
        mask = np.zeros((48, 48), np.uint8)
        mask[10:20, 10:20] = 255
        (root / "nut/ground_truth/spot").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(root / f"nut/ground_truth/spot/{i:03}_mask.png")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The workspace after one complete run."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    write_photographs(workspace.folder / "photographs")
    done = workspace.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    return workspace


# What follows each table: the claims read all tables, the page shows them, MLflow keeps them.
AFTER_A_TABLE = {"claims": 1, "site": 1, "mlflow_sync": 1}


def test_one_run_makes_every_table(built):
    tables = built.folder / "results/tiny/tables"
    for name in ("padim_1class", "custom"):
        for suffix in ("csv", "md", "tex", "html"):
            assert (tables / f"{name}.{suffix}").stat().st_size > 0
    table = pd.read_csv(tables / "padim_1class.csv")
    assert set(table["dataset"]) == {"VisA-demo", "MVTec-demo"}
    assert set(table["spd"]) == {"none", "spd"}
    assert table["value"].between(0, 100).all()
    assert table["published"].isna().all()
    assert built.temporary_files() == []


def test_mean_is_the_unweighted_mean_of_the_cells(built):
    results = built.folder / "results/tiny"
    table = pd.read_csv(results / "tables/padim_1class.csv")
    row = table.query(
        "dataset == 'VisA-demo' and spd == 'spd' and task == 'classification' and metric == 'AU-ROC'"
    )
    cell = json.loads((results / "cells/visa/1cls/padim-demo/all/simsiam_spd-seed0.json").read_text())
    values = [entry["classification"]["AU-ROC"] for entry in cell["objects"].values()]
    assert row[row["object"] == "mean"]["value"].item() == pytest.approx(100 * np.mean(values), abs=1e-9)
    assert len(values) == 2


def test_pretraining_with_eta_zero_and_with_spd_differ_and_say_so(built):
    from spd.backbones.files import read_metadata

    backbones = built.folder / "results/tiny/backbones"
    base, spd = (read_metadata(backbones / name / "seed0.safetensors") for name in ("simsiam", "simsiam_spd"))
    assert (backbones / "simsiam/seed0.safetensors").read_bytes() != (
        backbones / "simsiam_spd/seed0.safetensors"
    ).read_bytes()
    assert float(base.more["eta"]) == 0
    assert float(spd.more["eta"]) == 0.1


def test_nothing_changed_nothing_runs(built):
    assert built.planned() == {}


def test_changed_eta_retrains_its_own_pretraining_and_what_depends_on_it(built):
    assert built.planned(config=overlay(spd__spd={"eta": 0.2})) == {
        "pretrain": 1,
        "features": 2,  # two data sets
        "detect": 2,
        "padim_1class": 1,
        "qualitative": 1,
        **AFTER_A_TABLE,
    }


def test_changed_caption_rebuilds_that_table(built):
    assert built.planned(config=overlay(tables__padim_1class={"caption": "Other words."})) == {
        "padim_1class": 1,
        **AFTER_A_TABLE,
    }


def test_changed_detector_option_refits_and_extracts_nothing(built):
    changed = overlay(detectors__padim={"demo": {"options": {"epsilon": 0.02}}})
    assert built.planned(config=changed) == {
        "detect": 5,
        "padim_1class": 1,
        "custom": 1,
        "qualitative": 1,
        **AFTER_A_TABLE,
    }


def test_one_table_alone(built):
    shutil.copytree(built.folder, built.folder.parent / "one", dirs_exist_ok=True)
    one = Workspace(built.folder.parent / "one")
    shutil.rmtree(one.folder / "results/tiny/tables")
    assert one.planned("padim_1class") == {"padim_1class": 1}


def test_replaced_image_rebuilds_its_data_sets_chain(built):
    photographs = built.folder / "photographs"
    image = photographs / "nut/train/good/000.png"
    before, stat = image.read_bytes(), image.stat()
    try:
        photograph(image, 99)
        assert built.planned() == {
            "examine": 1,
            "manifest": 1,
            "images": 1,
            "features": 1,
            "detect": 1,
            "custom": 1,
            "qualitative": 1,
            **AFTER_A_TABLE,
        }
    finally:
        image.write_bytes(before)
        os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert built.planned() == {}


def test_deleted_table_is_made_again_alone(built):
    table = built.folder / "results/tiny/tables/custom.csv"
    before = table.read_bytes()
    table.unlink()
    assert built.planned() == {"custom": 1, **AFTER_A_TABLE}
    done = built.snakemake()
    assert done.returncode == 0, done.stderr
    assert table.read_bytes() == before
    assert "0 runs created, 0 replaced" in done.stdout + done.stderr  # the same bytes: the same run
    assert built.planned() == {}


def test_failed_job_leaves_nothing_half_written_and_names_its_log(built):
    image = built.folder / "photographs/nut/train/good/001.png"
    before, stat = image.read_bytes(), image.stat()
    manifest = "results/tiny/manifests/mine/1cls.csv"
    try:
        image.write_bytes(before[:200])
        done = built.snakemake(manifest)
        output = done.stdout + done.stderr
        assert done.returncode != 0
        assert "001.png" in output
        assert "results/tiny/logs/manifest/mine-1cls.log" in output
        assert f"snakemake --cores all {manifest}" in output
        assert list((built.folder / "results/tiny/manifests").glob("mine/*")) == []
        assert built.temporary_files() == []
    finally:
        image.write_bytes(before)
        os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_paper_needs_neither_gpu_nor_archive_for_its_plan(tmp_path):
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(tmp_path), "--cores", "1", "--config", "preset=paper", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    planned = jobs(done.stdout + done.stderr)
    assert planned["pretrain"] == 16
    # PaDiM reads 8 pre-trainings, the ablation 6 more, PatchCore 2; times objects, times profiles.
    # torchvision's published weights are one more row, in one profile.
    assert planned["detect"] == (8 + 6 + 2) * (12 + 15) * 2 + (12 + 15)
    assert planned["download"] == 3
    assert list(tmp_path.iterdir()) in ([], [tmp_path / ".snakemake"])


def test_wrong_key_stops_before_any_job_without_a_traceback(tmp_path):
    workspace = Workspace(tmp_path)
    done = workspace.snakemake(config={"tables": {"padim_1class": {"capton": "x"}}})
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "tables.padim_1class.capton: unknown key (did you mean 'caption'?)" in output
    assert "Traceback" not in output
    assert not (tmp_path / "results").exists()


def test_rules_follow_snakemakes_own_lint():
    """`--lint` asks for a container a rule, which this project does not use; nothing else may remain."""
    command = [sys.executable, "-m", "snakemake", "--lint", "--config", "preset=tiny"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    titles = set(re.findall(r"^    \* (.*):$", done.stdout + done.stderr, re.MULTILINE))
    assert titles == {"Specify a conda environment or container for each rule."}, done.stdout + done.stderr
