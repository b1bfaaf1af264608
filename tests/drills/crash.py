"""Crash drill: kill -9 of a whole run at random moments, then the same command again.

    python tests/drills/crash.py --preset tiny --kills 100 --work build/drill

Each build starts in a fresh clone and is killed again and again until one start gets through; then its files
must be those of an undisturbed run in a clone of its own. A moment is drawn in processor time, since a
clock would make it depend on what else runs: uniform from a start's beginning to --window of what the
undisturbed run took, so that a build has many kills in all its stages. Each line of <work>/<preset>.jsonl is
one kill or one finished build, so that a stopped drill goes on where it was; `--report` prints what is there.
"""

import argparse
import json
import random
import resource
import shutil
import time
from pathlib import Path

from runs import (
    clone,
    contents,
    kill,
    leftovers,
    mlflow_runs,
    processor_seconds,
    publish,
    recorded_as_finished,
    start,
    started,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--window", type=float, default=0.2, help="latest moment, as a share of a whole run")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no new build after these")
    parser.add_argument("--work", type=Path, default=Path("build/drill"))
    parser.add_argument("--report", action="store_true", help="only print what is recorded")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/trust.md")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    record = work / f"{options.preset}.jsonl"
    if not options.report:
        drill(work, record, options)
    return report(record, options)


def drill(work: Path, record: Path, options: argparse.Namespace) -> None:
    end = time.monotonic() + 60 * options.minutes
    source, results = work / "source", f"results/{options.preset}"
    commit = clone(source)
    log = work / f"{options.preset}.log"
    reference, seconds = undisturbed(work, source, options, log)
    expected = mlflow_runs(work / f"{options.preset}-undisturbed" / results)
    lines = read(record)
    kills = sum(line["what"] == "kill" for line in lines)
    build = max((line["build"] for line in lines if line["what"] == "build"), default=-1)
    while kills < options.kills and time.monotonic() < end:
        build += 1
        folder = work / f"{options.preset}-run"
        shutil.rmtree(folder, ignore_errors=True)
        clone(folder, source)
        finished: set[str] = set()
        while True:
            draw = random.Random(f"{options.seed} {build} {kills}").uniform(0, options.window * seconds)
            process = start(folder, folder, options.preset, cores=options.cores, log=log)
            status = wait(process, draw if kills < options.kills else None)
            if status is None:
                kill(process, folder)
            rules, outputs = started(log)
            again = sorted(finished & outputs)
            if status is not None:
                break
            finished = recorded_as_finished(folder)
            kills += 1
            write(record, what="kill", kill=kills, build=build, commit=commit, seconds=round(draw, 1),
                  running=rules[-1:], finished=len(finished), ran_again=again)  # fmt: skip
        made = contents(folder / results) if status == 0 else {}
        different = sorted(path for path in {*made, *reference} if made.get(path) != reference.get(path))
        write(record, what="build", build=build, commit=commit, status=status, ran_again=again,
              tables=sum(path.startswith("tables/") for path in made), different=different,
              leftovers=leftovers(folder), mlflow_runs=mlflow_runs(folder / results) if status == 0 else None,
              mlflow_runs_undisturbed=expected)  # fmt: skip
        if status != 0:
            kept = work / f"{options.preset}-failed-{build}.log"
            shutil.copy(log, kept)
            print(f"build {build} ended with status {status}: {kept}", flush=True)


def undisturbed(work: Path, source: Path, options: argparse.Namespace, log: Path) -> tuple[dict, float]:
    """(contents, processor seconds) of a run that nobody kills, in a fresh clone; made once."""
    folder, known = work / f"{options.preset}-undisturbed", work / f"{options.preset}-undisturbed.json"
    if not known.exists():
        shutil.rmtree(folder, ignore_errors=True)
        clone(folder, source)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        status = start(folder, folder, options.preset, cores=options.cores, log=log).wait()
        if status:
            raise SystemExit(f"the undisturbed run ended with status {status}: {log}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        known.write_text(json.dumps(round(seconds, 1)))
    return contents(folder / f"results/{options.preset}"), json.loads(known.read_text())


def wait(process, seconds: float | None) -> int | None:
    """The status of a run that ended, or None once it has used so much processor time."""
    while process.poll() is None:
        if seconds is not None and processor_seconds(process) >= seconds:
            return None
        time.sleep(0.1)
    return process.returncode


def read(record: Path) -> list[dict]:
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def write(record: Path, **line) -> None:
    with record.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def report(record: Path, options: argparse.Namespace) -> int:
    lines = read(record)
    kills = [line for line in lines if line["what"] == "kill"]
    builds = [line for line in lines if line["what"] == "build"]
    bad = {
        "builds that failed": sum(line["status"] != 0 for line in builds),
        "builds whose files are not the undisturbed run's": sum(bool(line["different"]) for line in builds),
        "reruns that ran a job again that Snakemake had recorded as finished": sum(
            bool(line["ran_again"]) for line in lines
        ),
        "builds that left temporary files": sum(bool(line["leftovers"]) for line in builds),
        "builds with other runs in MLflow": sum(
            line["mlflow_runs"] not in (None, line["mlflow_runs_undisturbed"]) for line in builds
        ),
    }
    commits = ", ".join(dict.fromkeys(line["commit"] for line in lines))
    text = [f"preset {options.preset}, commit {commits}: {len(kills)} kills -9 in {len(builds)} builds"]
    draws = sorted(line["seconds"] for line in kills) or [0.0]
    median = draws[len(draws) // 2]
    text.append(f"  killed after {draws[0]:g} to {draws[-1]:g} s of processor time, median {median:g} s")
    done = sorted(line["finished"] for line in kills) or [0]
    text.append(
        f"  outputs recorded as finished at a kill: {done[0]} to {done[-1]}, median {done[len(done) // 2]}"
    )
    for what, count in bad.items():
        text.append(f"  {count} {what}")
    hit = sorted({rule for line in kills for rule in line["running"]})
    text.append(f"  last job started before a kill: {', '.join(hit)}")
    command = f"python tests/drills/crash.py --preset {options.preset} --kills {options.kills}"
    command += f" --window {options.window:g}"
    publish(f"drill {options.preset}", "\n".join(text), command, options.write)
    return int(any(bad.values()) or not builds)


if __name__ == "__main__":
    raise SystemExit(main())
