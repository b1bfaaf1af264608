"""How far does another number of threads move a table? As far as another seed, or less?

    python tests/drills/threads.py --preset demo --seeds 3

Trains rows of `padim_1class` from several seeds and judges them, with 1 thread and then with 2, and imports
the backbones of `custom`, in one clone: archives and images are made once. Prints by how many points each
object's metrics move between the thread counts at one seed, and between seeds at one thread count. Ends with
status 1 where imported backbones gave other bytes, or where threads move metrics further than seeds do.
"""

import argparse
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import yaml
from runs import clone, publish, start

THREADS = (1, 2)
BOUND = 1.25  # times as far as seeds, by the root mean square: two draws of one spread differ by less
FORCED = ("pretrain", "import_backbone", "features", "detect")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="+", default=["simsiam"])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="write the figures into docs/trust.md")
    parser.add_argument("--work", type=Path, default=Path("build/threads"))
    options = parser.parse_args()
    work = options.work.resolve() / options.preset
    folder = work / "clone"
    commit = clone(folder)
    config = {
        "pretrainings": {row: {"seeds": list(range(options.seeds))} for row in options.rows},
        "tables": {"padim_1class": {"rows": options.rows}},
    }
    for threads in THREADS:
        if (work / f"cells{threads}").exists():
            continue
        (folder / "mine.yaml").write_text(yaml.safe_dump(config | {"compute": {"threads": threads}}))
        log = work / f"{threads}.log"
        arguments = ["padim_1class", "custom", "--configfile", "mine.yaml", "--forcerun", *FORCED]
        process = start(folder, folder, options.preset, *arguments, cores=options.cores, log=log)
        if process.wait():
            raise SystemExit(f"a run ended with status {process.returncode}: {log}")
        shutil.copytree(folder / "results" / options.preset / "cells", work / f"cells{threads}")
    status, text = compared(*(work / f"cells{threads}" for threads in THREADS), options.rows)
    head = f"preset {options.preset}, commit {commit}, {options.seeds} seeds of {', '.join(options.rows)}"
    command = f"python tests/drills/threads.py --preset {options.preset} --seeds {options.seeds}"
    command += f" --rows {' '.join(options.rows)}"
    publish(f"threads {options.preset}", "\n".join([head, *text]), command, options.write)
    return status


def compared(one: Path, two: Path, rows: list[str]) -> tuple[int, list[str]]:
    """(1 where a promise is broken, else 0; lines that say what was found)."""
    paths = sorted(path.relative_to(one) for path in one.rglob("*.json"))
    imported = [path for path in paths if path.stem.rpartition("-seed")[0] not in rows]
    different = [path for path in imported if (one / path).read_bytes() != (two / path).read_bytes()]
    text = [f"  {len(imported)} cells of imported backbones, {len(different)} differ with the threads"]
    trained = [path for path in paths if path not in imported]
    values = {(path, folder): points(folder / path) for path in trained for folder in (one, two)}
    by_threads = [
        values[path, one][key] - values[path, two][key] for path in trained for key in values[path, one]
    ]
    by_seeds = [
        values[a, one][key] - values[b, one][key]
        for a, b in itertools.combinations(trained, 2)
        if _without_seed(a) == _without_seed(b)
        for key in values[a, one]
    ]
    spread = []
    for name, differences in (("1 against 2 threads", by_threads), ("one seed against another", by_seeds)):
        sizes = np.abs(differences)
        spread.append(np.sqrt(np.mean(sizes**2)))
        text.append(
            f"  {name}: {len(sizes)} values, median {np.median(sizes):.2f} points, 95 % below "
            f"{np.quantile(sizes, 0.95):.2f}, largest {sizes.max():.2f}, root mean square {spread[-1]:.2f}"
        )
    ratio = spread[0] / spread[1]
    text.append(f"  threads move metrics {ratio:.2f} times as far as seeds do; bound {BOUND:g}")
    return int(bool(different) or not imported or not ratio <= BOUND), text


def points(cell: Path) -> dict[tuple[str, str, str], float]:
    """(object, task, metric) -> per cent."""
    found = {}
    for name, about in json.loads(cell.read_text())["objects"].items():
        for task in ("classification", "segmentation"):
            for metric, value in (about.get(task) or {}).items():
                if value is not None:
                    found[name, task, metric] = 100 * value
    return found


def _without_seed(path: Path) -> Path:
    return path.with_name(path.stem.rpartition("-seed")[0])


if __name__ == "__main__":
    raise SystemExit(main())
