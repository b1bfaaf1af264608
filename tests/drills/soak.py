"""Soak: random edits of the configuration, each run on top of the last; the result equals a run from scratch.

    python tests/drills/soak.py --minutes 30 --work build/soak

A round makes one to four edits, running the workflow after each in one and the same folder, then runs the
final configuration in an empty folder: tables, cells, backbones and figures that it asks for must be the same
bytes. Each line of <work>/soak.jsonl is a round, with the most memory and open files of its runs in that
folder (Snakemake's and a job's, looked at twice a second), so that a stopped soak goes on where it was;
`--report` prints what is there, and fits lines through them over the rounds.
"""

import argparse
import json
import random
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import yaml
from runs import clone, contents, mlflow_runs, publish, start, started, use

EDITS = {  # what a user might change: a path into the configuration and the values it takes
    "spd.spd.eta": [0.05, 0.1, 0.3],
    "recipes.simsiam.steps": [3, 4, 5],
    "recipes.simsiam.weight_decay": [1e-4, 5e-4],
    "pretrainings.simsiam.seeds": [[0], [0, 1], [1]],
    "tables.padim_1class.rows": [["simsiam", "simsiam_spd"], ["simsiam"], ["simsiam", "moco"]],
    "tables.padim_1class.datasets": [["visa", "mvtec"], ["mvtec"]],
    "tables.padim_1class.caption": ["One.", "Two."],
    "detectors.padim.demo.options.dim": [8, 16],
    "detectors.padim.demo.options.epsilon": [0.01, 0.02],
    "geometries.demo128.resize": [64, 48],
    "features.batch": [32, 8],
    "datasets.visa.objects": [["gelcaps", "board"], ["board"]],
    "demo_data.seed": [0, 1],
    "compute.objects_per_job": ["all", "one"],
}
OURS = ("tables/", "cells/", "backbones/", "figures/", "manifests/", "index.html")

# Units a round beyond which memory or files are said to grow. A job's memory depends on the edits drawn.
GROWTH = {"snakemake_megabytes": 2, "snakemake_files": 1, "job_megabytes": 50, "job_files": 1}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("build/soak"))
    parser.add_argument("--report", action="store_true", help="only print what is recorded")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/trust.md")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    record = work / "soak.jsonl"
    if not options.report:
        soak(work, record, options)
    return report(record, options)


def soak(work: Path, record: Path, options: argparse.Namespace) -> None:
    end = time.monotonic() + 60 * options.minutes
    commit = clone(work / "source")
    done = len(record.read_text().splitlines()) if record.exists() else 0
    while time.monotonic() < end:
        draw = random.Random(f"{options.seed} {done}")
        config: dict = {}
        edits, jobs = [], 0
        most: dict[str, float] = {}
        folder, fresh = work / "edited", work / "fresh"
        began = time.monotonic()
        for _ in range(draw.randint(1, 4)):
            key = draw.choice(sorted(EDITS))
            value = draw.choice(EDITS[key])
            put(config, key, value)
            edits.append(f"{key}={json.dumps(value)}")
            jobs += run(work, folder, config, options, most)
        shutil.rmtree(fresh, ignore_errors=True)
        from_scratch = run(work, fresh, config, options, {})
        different = compare(folder / "results/tiny", fresh / "results/tiny")
        line = {
            "round": done,
            "commit": commit,
            "edits": edits,
            "jobs": jobs,
            "jobs_from_scratch": from_scratch,
            "different": different,
            "mlflow_runs": [mlflow_runs(f / "results/tiny") for f in (folder, fresh)],
            "minutes": round((time.monotonic() - began) / 60, 2),
            **{key: round(value) for key, value in most.items()},
            "undeleted_files": len(list(folder.rglob("*"))),
        }
        with record.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
        done += 1


def put(config: dict, key: str, value) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        config = config.setdefault(parent, {})
    config[last] = value


def run(work: Path, folder: Path, config: dict, options: argparse.Namespace, most: dict) -> int:
    """Runs the workflow; returns how many jobs it started. most: raised to what this run used."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    log = work / "soak.log"
    process = start(
        work / "source", folder, "tiny", "--configfile", "mine.yaml", cores=options.cores, log=log
    )
    while True:
        try:
            process.wait(0.5)
            break
        except subprocess.TimeoutExpired:
            most |= {key: max(value, most.get(key, 0)) for key, value in use(process).items()}
    if process.returncode:
        raise SystemExit(f"a run ended with status {process.returncode}: {log}\n{yaml.safe_dump(config)}")
    return len(started(log)[0])


def compare(edited: Path, fresh: Path) -> list[str]:
    """Files of a run from scratch that differ or are missing after edits; what edits left over may stay."""
    ours, theirs = contents(edited), contents(fresh)
    return sorted(path for path in theirs if path.startswith(OURS) and ours.get(path) != theirs[path])


def report(record: Path, options: argparse.Namespace) -> int:
    lines = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    if not lines:
        print("nothing recorded")
        return 1
    edits = sum(len(line["edits"]) for line in lines)
    jobs, scratch = (sum(line[key] for line in lines) for key in ("jobs", "jobs_from_scratch"))
    bad = [line for line in lines if line["different"]]
    text = [
        f"{len(lines)} rounds, {edits} edits in {sum(line['minutes'] for line in lines):.0f} minutes, commit "
        f"{', '.join(dict.fromkeys(line['commit'] for line in lines))}: {jobs} jobs "
        f"after edits, {scratch} from scratch",
        f"  {len(bad)} rounds whose files differ from those of a run from scratch",
    ]
    growing = []
    for key in ("snakemake_megabytes", "snakemake_files", "job_megabytes", "job_files", "undeleted_files"):
        values = np.array([line[key] for line in lines], float)
        slope = np.polyfit(np.arange(len(values)), values, 1)[0] if len(values) > 2 else float("nan")
        if slope > GROWTH.get(key, np.inf):
            growing.append(key.replace("_", " "))
        ends = f"{values[0]:.0f} in the first round, {values[-1]:.0f} in the last, at most {values.max():.0f}"
        text.append(f"  {key.replace('_', ' ')}: {ends}; {slope:+.2f} a round")
    for line in bad:
        text.append(f"  round {line['round']}: {line['edits']}: {line['different'][:5]}")
    command = f"python tests/drills/soak.py --minutes {options.minutes:g}"
    text.append(f"  grows beyond its bound: {', '.join(growing) or 'nothing'}")
    publish("soak", "\n".join(text), command, options.write)
    return int(bool(bad or growing))


if __name__ == "__main__":
    raise SystemExit(main())
