"""Runs a preset twice, each in a fresh clone, and compares what came out, file by file.

    python tests/drills/compare.py --preset demo

--first names a clone in which a run has ended already, such as the undisturbed one of a crash drill: one run
less. Ends with status 1 where a file differs.
"""

import argparse
import shutil
from pathlib import Path

from runs import clone, contents, publish, start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--first", type=Path, help="a clone with the first run's results")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="write the figures into docs/trust.md")
    parser.add_argument("--work", type=Path, default=Path("build/compare"))
    options = parser.parse_args()
    work = options.work.resolve() / options.preset
    shutil.rmtree(work, ignore_errors=True)
    folders = [work / "first", work / "second"]
    commit = clone(folders[1], *([options.first.resolve()] if options.first else []))
    if options.first:
        folders[0] = options.first.resolve()
    for folder in folders[1:] if options.first else folders:
        clone(folder, folders[1])
        log = work / f"{folder.name}.log"
        process = start(folder, folder, options.preset, cores=options.cores, log=log)
        if process.wait():
            raise SystemExit(f"a run ended with status {process.returncode}: {log}")
    status, text = compared(*(folder / "results" / options.preset for folder in folders))
    text = [f"preset {options.preset}, commit {commit}, two fresh clones", *text]
    command = f"python tests/drills/compare.py --preset {options.preset}"
    publish(f"twice {options.preset}", "\n".join(text), command, options.write)
    return status


def compared(first: Path, second: Path) -> tuple[int, list[str]]:
    """(0 where all files are the same, else 1; lines that say how many are)."""
    ours, theirs = contents(first), contents(second)
    paths = {*ours, *theirs}
    different = sorted(path for path in paths if ours.get(path) != theirs.get(path))
    text = []
    for kind in sorted({path.split("/")[0] for path in paths}):
        of_kind = [path for path in paths if path.split("/")[0] == kind]
        text.append(f"  {kind}: {len(of_kind)} files, {len({*of_kind} & {*different})} differ")
    tables = [path for path in paths if path.startswith("tables/") and path.endswith(".csv")]
    text.append(f"  {len(paths)} files, {len(tables)} of them tables' CSVs; {len(different)} differ")
    text += [f"  differs: {path}" for path in different[:20]]
    return int(bool(different) or not tables), text


if __name__ == "__main__":
    raise SystemExit(main())
