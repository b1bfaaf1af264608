"""Runs a preset twice, each in a fresh clone, and compares what came out.

    python tests/drills/compare.py --preset demo                    the same twice: every file the same bytes
    python tests/drills/compare.py --preset tiny --threads 1 2      1 thread against 2: the largest difference

--first names a clone in which a run has ended already (the undisturbed run of a drill): one run less.

Ends with status 1 where equal settings gave other bytes, or where threads moved a table by more than --bound
points.
"""

import argparse
import csv
import shutil
from pathlib import Path

import yaml
from runs import clone, contents, start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--threads", type=int, nargs=2, default=[1, 1])
    parser.add_argument("--bound", type=float, default=5.0, help="points of per cent")
    parser.add_argument("--first", type=Path, help="a clone with the first run's results")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("build/compare"))
    options = parser.parse_args()
    work = options.work.resolve() / options.preset
    shutil.rmtree(work, ignore_errors=True)
    results = []
    for i, threads in enumerate(options.threads):
        if i == 0 and options.first is not None:
            results.append(options.first / "results" / options.preset)
            continue
        source = work / f"clone{i}"
        commit = clone(source)
        (source / "mine.yaml").write_text(yaml.safe_dump({"compute": {"threads": threads}}))
        log = work / f"{i}.log"
        process = start(
            source, source, options.preset, "--configfile", "mine.yaml", cores=options.cores, log=log
        )
        if process.wait():
            raise SystemExit(f"run {i} ended with status {process.returncode}: {log}")
        results.append(source / "results" / options.preset)
    print(f"preset {options.preset}, commit {commit}, threads {options.threads[0]} and {options.threads[1]}")
    return report(*results, same=options.threads[0] == options.threads[1], bound=options.bound)


def report(first: Path, second: Path, *, same: bool, bound: float) -> int:
    ours, theirs = contents(first), contents(second)
    kinds = sorted({path.split("/")[0] for path in {*ours, *theirs}})
    for kind in kinds:
        paths = {path for path in {*ours, *theirs} if path.split("/")[0] == kind}
        different = [path for path in paths if ours.get(path) != theirs.get(path)]
        print(f"  {kind}: {len(paths)} files, {len(different)} differ")
    worst = 0.0
    for path in sorted(first.glob("tables/*.csv")):
        largest, where, cells = moved(path, second / "tables" / path.name)
        worst = max(worst, largest)
        print(f"  {path.name}: {cells} values, largest difference {largest:.3g} points {where}")
    if same:
        return int(ours != theirs)
    print(f"  bound {bound:g} points: {'kept' if worst <= bound else 'BROKEN'}")
    return int(worst > bound)


def moved(first: Path, second: Path) -> tuple[float, str, int]:
    """(largest difference of the column `value`, where, number of values) of two tables of the same rows."""
    largest, where, count = 0.0, "", 0
    with first.open(newline="") as one, second.open(newline="") as other:
        for a, b in zip(csv.DictReader(one), csv.DictReader(other), strict=True):
            if not a.get("value") or not b.get("value"):
                continue
            count += 1
            try:
                difference = abs(float(a["value"]) - float(b["value"]))
            except ValueError:
                continue
            if difference > largest:
                largest = difference
                where = (
                    f"({a.get('dataset')} {a.get('object')} {a.get('spd')} {a.get('task')} {a.get('metric')})"
                )
    return largest, where, count


if __name__ == "__main__":
    raise SystemExit(main())
