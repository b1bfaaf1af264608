"""Objects and files with names that a shell, a path or a page could take for something else: through the
whole workflow, one job an object, so that the name becomes a part of paths, logs and commands."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

pytestmark = pytest.mark.workflow

REPOSITORY = Path(__file__).resolve().parents[2]
OBJECT = "nut \"a\" 'b' $(touch canary) `touch canary`; touch canary & ünï 日本 %41 {x} <b>#"
FILES = [
    "with space",
    "quote'\"",
    "$(touch canary)",
    "`touch canary`",
    "; touch canary",
    "ünï-日本",
    "-rf",
    "{a}",
    "%2e",
]


def photograph(path, seed, spot=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(90, 120, (48, 48, 3), dtype=np.uint8)
    pixels[10:20, 10:20] = 230 if spot else pixels[10:20, 10:20]
    Image.fromarray(pixels).save(path)


def test_odd_names_go_through_the_whole_workflow(tmp_path):
    root = tmp_path / "my photographs"
    for i, name in enumerate(FILES):
        photograph(root / OBJECT / f"train/good/{name}.png", i)
        photograph(root / OBJECT / f"test/good/{name}.png", 100 + i)
        photograph(root / OBJECT / f"test/a spot & more/{name}.png", 200 + i, spot=True)
        mask = np.zeros((48, 48), np.uint8)
        mask[10:20, 10:20] = 255
        truth = root / OBJECT / f"ground_truth/a spot & more/{name}_mask.png"
        truth.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(truth)
    config = {
        "compute": {"objects_per_job": "one"},
        "datasets": {"mine": {"name": "Mine", "reader": "mvtec", "root": str(root), "objects": [OBJECT]}},
        "tables": {"custom": {"datasets": ["mine"]}},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(tmp_path), "--cores", "1", "--configfile", "mine.yaml"]
    command += ["--config", "preset=tiny", "--", "custom"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.rglob("canary")) == []
    table = pd.read_csv(tmp_path / "results/tiny/tables/custom.csv")
    assert set(table["object"]) == {OBJECT, "mean"}
    page = (tmp_path / "results/tiny/tables/custom_objects.html").read_text()
    assert "<b>#" not in page  # shown as text
    assert list((tmp_path / "results").rglob("*.tmp")) == []


@pytest.mark.parametrize("name", ["..", ".", "all", "mean", "a\nb", "a\x1b[2J", ""])
def test_names_that_cannot_be_are_refused_before_any_job(tmp_path, name):
    from spd.config.model import ConfigError, load

    dataset = {"name": "Mine", "reader": "mvtec", "root": str(tmp_path), "objects": [name]}
    overrides = {"preset": "tiny", "datasets": {"mine": dataset}}
    with pytest.raises(ConfigError, match="objects") as raised:
        load(REPOSITORY / "config.yaml", overrides=overrides)
    assert "\n" not in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "a\tb", "a\x7fb"])
@pytest.mark.parametrize("place", ["nut/train/good/{}.png", "nut/test/{}/000.png"])
def test_files_and_defects_that_cannot_be_shown_are_refused_in_one_line(tmp_path, name, place):
    from spd.data.readers.registry import read_dataset

    photograph(tmp_path / "nut/train/good/000.png", 0)
    photograph(tmp_path / "nut/test/good/000.png", 1)
    assert len(read_dataset("mvtec", tmp_path, "1cls")) == 2
    photograph(tmp_path / place.format(name), 2)
    with pytest.raises(ValueError, match="must have no control characters") as raised:
        read_dataset("mvtec", tmp_path, "1cls")
    assert str(tmp_path) in str(raised.value)
    assert str(raised.value).isprintable()
