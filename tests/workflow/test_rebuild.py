"""What runs again after a change, counted on the preset tiny: exactly what depends on it."""

import json
import os
import re
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spd.files import file_sha256, read_json, write_json
from workflow_scripts.common import kept, verify
from workflow_scripts.common.provenance import source_hash
from workflow_scripts.common.records import read_runs

pytestmark = pytest.mark.workflow

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
    # `custom` is judged on the user's own photographs
    assert "Not a result. Generated images, a" in (tables / "padim_1class.md").read_text()
    photographs = (tables / "custom.md").read_text()
    assert "Not a result" in photographs and "Generated images" not in photographs
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
    # Its options are in the cell's provenance and in the table's footer.
    assert cell["provenance"]["options"]["dim"] == 16
    footer = (results / "tables/padim_1class.md").read_text()
    assert "PaDiM, profile demo: blur\\_border" in footer and "dim 16, " in footer


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
    done = built.snakemake()
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_project_that_was_copied_elsewhere_makes_no_table_anew(copied, repository):
    for name in ("Snakefile", "config.yaml", "rules", "workflow_scripts", "spd", "demo_data"):
        copy = shutil.copy2 if (repository / name).is_file() else shutil.copytree
        copy(repository / name, copied.folder / name)
    copied.snakefile = copied.folder / "Snakefile"
    here = {"PYTHONPATH": str(copied.folder)}
    assert "Nothing to be done" in copied.plan("tables", "site", environment=here)
    # MLflow's addresses are absolute, and follow: workflow_scripts/common/tracking_place.py
    assert copied.planned(environment=here) == {"mlflow_sync": 1}


def test_other_gpus_retrain_nothing(built, overlay, jobs):
    own = {"simsiam": {"gpus": 2}, "simsiam_spd": {"gpus": 1, "nodes": 2}}
    planned = jobs(built.plan(config=overlay(compute__gpus=1, compute__trainings=own)))
    assert set(planned) <= {"mlflow_sync"}, "a run shows how many GPUs it had"


def test_changed_eta_retrains_its_own_pretraining_and_what_depends_on_it(built, overlay, jobs):
    output = built.plan(config=overlay(spd={"spd_eta0.5": {"eta": 0.2}}))
    assert jobs(output) == {
        "pretrain": 1,
        "link_backbone": 1,
        "features": 1,
        "detect": 1,
        "custom": 1,
        "qualitative": 1,
        **AFTER_A_TABLE,
    }
    named = re.findall(r"wildcards: .*pretraining=([^,\s]+)", output)
    assert set(named) == {"simsiam_eta0.5"}  # three are trained, and one is not


def test_another_variant_of_one_row_retrains_that_row(built, overlay, jobs):
    output = built.plan(config=overlay(pretrainings={"simsiam_spd": {"spd": "spd_cutpaste"}}))
    assert jobs(output) == {
        "pretrain": 1,
        "link_backbone": 1,
        "features": 2,  # two data sets
        "detect": 2,
        "views": 1,  # another local change is seen
        "padim_1class": 1,
        "qualitative": 1,
        **AFTER_A_TABLE,
    }
    assert set(re.findall(r"wildcards: .*pretraining=([^,\s]+)", output)) == {"simsiam_spd"}


def test_no_backbone_is_lost_by_a_changed_eta_a_failure_or_an_older_layout(
    copied, overlay, repository, monkeypatch, capsys
):
    row = copied.folder / "results/tiny/backbones/simsiam_eta0.5"
    link, table = row / "seed0.safetensors", copied.folder / "results/tiny/tables/custom.csv"
    first, before = link.resolve(), table.read_bytes()
    weights = first.read_bytes()
    other = overlay(spd={"spd_eta0.5": {"eta": 0.2}})
    steps = copied.folder / "steps.txt"
    at_step_3 = {
        "PYTHONPATH": os.pathsep.join(
            [str(repository / "tests/slurm/hook"), os.environ.get("PYTHONPATH", "")]
        ),
        "SPD_TEST_STEPS": str(steps),
        "SPD_TEST_ONCE": f"{copied.folder / 'failed'}=raise",
    }
    target = str(link.relative_to(copied.folder))

    # A training of another eta fails half-way, and one that cannot run at all: the file stays and is linked.
    each_step = {**other, "recipes": {"simsiam": {"checkpoint_minutes": 0}}}
    done = copied.snakemake(target, config=each_step, environment=at_step_3)
    assert done.returncode != 0 and "a failure on request" in done.stdout + done.stderr
    done = copied.snakemake(target, config={**other, "recipes": {"simsiam": {"batch": 4096}}})
    assert done.returncode != 0 and "more than the 28 training images" in done.stdout + done.stderr
    assert link.resolve() == first and first.read_bytes() == weights
    assert copied.planned() == {"mlflow_sync": 1}, "the first eta is as it was; a copy's store lies elsewhere"

    # The other eta goes on where it was; a file where its link is to be is moved, not deleted.
    link.unlink()
    link.write_bytes(b"of an older version")
    done = copied.snakemake(target, config=other, environment=at_step_3)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[2] for line in steps.read_text().splitlines()] == ["0", "1", "2", "3", "3"]
    assert (row / "earlier1/seed0.safetensors").read_bytes() == b"of an older version"
    assert "earlier1/" in done.stderr
    assert link.resolve() != first and link.read_bytes() != weights

    # Snakemake deletes the outputs of a job that it runs again, whatever for: the weights are none of them.
    second, made = link.resolve(), link.stat().st_mtime_ns
    done = copied.snakemake(target, "--forcerun", "pretrain", config=other)
    assert done.returncode == 0 and "is trained already" in done.stdout + done.stderr
    assert link.resolve() == second and link.stat().st_mtime_ns == made

    # Back: nothing is trained, what is cheap is made again, with the same bytes.
    assert copied.planned("custom") == {"link_backbone": 1, "features": 1, "detect": 1, "custom": 1}
    done = copied.snakemake("custom")
    assert done.returncode == 0, done.stdout + done.stderr
    assert link.resolve() == first and table.read_bytes() == before

    # What nothing uses is listed, and deleted when that is asked for.
    monkeypatch.chdir(copied.folder)
    asked = ["--config", str(repository / "config.yaml"), "--configfile", "mine.yaml", "--preset", "tiny"]
    used = {path.parent for path in row.parent.glob("*/*/seed0.json") if path.parent.parent != row}
    assert verify.main(["results/tiny"]) == 0, capsys.readouterr().out
    assert kept.main([*asked, "--delete"]) == 0
    assert "eta 0.2" in capsys.readouterr().out
    assert {path for path in row.parent.glob("*/*") if path.is_dir()} == {first.parent, *used}
    assert verify.main(["results/tiny"]) == 0, capsys.readouterr().out
    assert copied.planned("custom") == {}

    # A folder that was deleted by hand leaves links to nothing, which are in nobody's way.
    shutil.rmtree(first.parent)
    by_size = ["--default-resources", "mem_mb=max(2*input.size_mb, 1000)"]  # as on Slurm
    assert copied.planned(*by_size)["mlflow_sync"] == 1


def test_names_labels_and_licences_rebuild_what_shows_them_and_compute_nothing(built, overlay):
    changed = overlay(
        pretrainings={"simsiam": {"label": "SimSiam, ours", "labels": None}},
        datasets__visa={"name": "Visible", "licence": "mine", "notice": "Ask first."},
        datasets__mvtec={"licence": "mine"},
    )
    assert built.planned(config=changed) == {
        "dataset_overview": 1,
        "padim_1class": 1,
        "qualitative": 1,
        **AFTER_A_TABLE,
    }


def test_changed_caption_rebuilds_that_table(built, overlay):
    assert built.planned(config=overlay(tables__padim_1class={"caption": "Other words."})) == {
        "padim_1class": 1,
        **AFTER_A_TABLE,
    }


def test_changed_detector_option_refits_and_extracts_nothing(built, overlay):
    changed = overlay(detectors__padim={"demo": {"options": {"epsilon": 0.02}}})
    assert built.planned(config=changed) == {
        "detect": 6,
        "padim_1class": 1,
        "custom": 1,
        "qualitative": 1,
        **AFTER_A_TABLE,
    }


def test_features_are_deleted_once_they_are_read_where_the_config_says_so(copied, overlay):
    results = copied.folder / "results" / "tiny"
    features = next((results / "features" / "mine").rglob("lite0_random-seed0.safetensors"))
    cell = next((results / "cells" / "mine").rglob("lite0_random-seed0.json"))
    before = {key: value for key, value in json.loads(cell.read_text()).items() if key != "provenance"}
    features.unlink()
    cell.unlink()
    target = str(cell.relative_to(copied.folder))
    done = copied.snakemake(target, config=overlay(compute={"keep_features": False}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not features.exists()
    after = json.loads(cell.read_text())
    assert {key: value for key, value in after.items() if key != "provenance"} == before


def test_a_finished_linear_protocol_rebuilds_what_shows_it_and_is_no_job_of_the_default_target(copied):
    result = "results/tiny/linear/simsiam-seed0.json"
    done = copied.snakemake(result)
    assert done.returncode == 0, done.stdout + done.stderr
    found = read_json(copied.folder / result)
    assert found["checkpoint"] == file_sha256(
        copied.folder / "results/tiny/backbones/simsiam/seed0.safetensors"
    )
    assert (found["trained_on"], found["judged"], found["protocol"]) == (28, 4, "linear")
    assert found["published"] is None and found["not_compared"] == "preset tiny"
    assert sorted(path.name for path in (copied.folder / "results/tiny/linear").iterdir()) == [
        Path(result).name
    ]
    write_json(copied.folder / result, {**found, "top1": 60.0, "published": 68.1, "source": "README"})
    os.utime(copied.folder / result, (0, 0))  # older than its backbone: judging it again is nobody's business
    assert copied.planned() == {"padim_1class": 1, **AFTER_A_TABLE}
    done = copied.snakemake("padim_1class")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("padim_1class", "padim_1class_objects"):
        text = (copied.folder / f"results/tiny/tables/{name}.md").read_text().replace("\\", "")
        assert "simsiam, seed 0: by the linear protocol it is right in 60.0 %" in text
    done = copied.snakemake("results/tiny/mlflow/synced.json")
    assert done.returncode == 0, done.stdout + done.stderr
    with sqlite3.connect(copied.folder / "results/tiny/mlflow/mlflow.db") as database:
        value = database.execute(
            "select value from latest_metrics where key = 'linear_protocol/top1'"
        ).fetchone()
    assert value == (60.0,), "a result is its own run record"


def test_one_table_alone(built):
    one = built.copy("one")
    shutil.rmtree(one.folder / "results/tiny/tables")
    assert one.planned("padim_1class") == {"padim_1class": 1}


def test_replaced_image_rebuilds_its_data_sets_chain(built, photograph):
    photographs = built.folder / "photographs"
    image = photographs / "nut/train/good/000.png"
    before, stat = image.read_bytes(), image.stat()
    try:
        photograph(image, 99)
        assert built.planned() == {
            "examine": 1,
            "manifest": 1,
            "images": 1,
            "features": 2,  # two backbones
            "detect": 2,
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
    failing = built.copy("failing")
    image = failing.folder / "photographs/nut/train/good/001.png"
    image.write_bytes(image.read_bytes()[:200])
    manifest = "results/tiny/manifests/mine/1cls.csv"
    done = failing.snakemake(manifest)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "001.png" in output
    assert "results/tiny/logs/manifest/mine-1cls.log" in output
    assert f"snakemake --cores all {manifest}" in output
    assert "CalledProcessError" not in output and "Traceback" not in output  # the job has said it
    assert list((failing.folder / "results/tiny/manifests").glob("mine/*")) == []
    assert failing.temporary_files() == []


def test_progress_is_visible_with_the_flags_of_make_demo(built):
    steps = [int(percent) for percent in re.findall(r"steps \((\d+)%\) done", built.output)]
    assert steps == sorted(steps) and steps[-1] == 100 and len(steps) > 10
    line = r"\] \d+ of \d+ steps \(\d+%\) done, .*left \| pretrain simsiam_spd 0, \d+ "
    assert re.search(line, built.output)
    assert "Finished jobid" not in built.output and "Select jobs" not in built.output


def test_progress_bars_of_archives_and_checks_are_in_the_logs(built):
    logs = built.folder / "results/tiny/logs"
    assert "100%" in (logs / "unpack/data/demo/tiny/unpacked/visa.log").read_text()
    assert re.search(r"check mine: +100%", (logs / "examine/mine.log").read_text())
    assert re.search(r"images: +100%", (logs / "images/mine-1cls-demo128-all.log").read_text())
    assert re.search(r"decode: +100%", (logs / "corpus.log").read_text())


STAGES = {
    *("demo_archive", "unpack", "examine", "manifest", "images", "corpus", "backbone", "features", "cell"),
    *("views", "table", "qualitative", "site"),
}


def test_every_stage_writes_records_and_each_is_one_run(built):
    synced = read_json(built.folder / "results/tiny/mlflow/synced.json")
    files = [
        *built.folder.glob("results/tiny/records/**/*.json"),
        *built.folder.glob("results/tiny/cells/**/*.json"),
        *built.folder.glob("data/demo/tiny/[!.]*.json"),  # hidden: lists of hashes
    ]
    files += built.folder.glob("data/demo/tiny/unpacked/*.json")
    records = [record for _, record in read_runs(files)]
    assert {record["key"].split("/")[0] for record in records} == STAGES
    assert all(record["provenance"]["code"] for record in records)
    assert synced["runs"] == len(records) == len({record["key"] for record in records})
    with sqlite3.connect(built.folder / "results/tiny/mlflow/mlflow.db") as database:
        keys = database.execute(
            "select value from tags join runs using (run_uuid) "
            "where key = 'spd.run_key' and lifecycle_stage = 'active'"
        ).fetchall()
        labels = database.execute("select distinct value from params where key = 'method'").fetchall()
    assert sorted(key for (key,) in keys) == sorted(record["key"] for record in records)
    assert set(labels) == {("SimSiam",), ("random (lite0)",)}  # keys in records, names in MLflow


def test_a_cell_names_the_code_of_every_stage_before_it(built, repository):
    cell = read_json(built.folder / "results/tiny/cells/mine/1cls/padim-demo/all/simsiam_eta0.5-seed0.json")
    sources = {**cell["provenance"]["sources"], "detect": cell["provenance"]["code"]}
    sources["pretrain"] = cell["provenance"]["pretraining_code"]
    manifest = sources.pop("corpus manifest")
    assert manifest == sources["manifest"]
    classes = {"pretrain": ["spd.methods.simsiam:SimSiam"], "detect": ["spd.detectors.padim:PaDiM"]}
    assert sources == {
        stage: source_hash(repository / f"workflow_scripts/{stage}.py", *classes.get(stage, []))
        for stage in ("manifest", "images", "corpus", "pretrain", "features", "detect")
    }
    other = read_json(built.folder / "results/tiny/cells/mine/1cls/padim-demo/all/lite0_random-seed0.json")
    assert set(other["provenance"]["sources"]) == {"manifest", "images", "import_backbone", "features"}
