"""Lists the trained backbones that a preset keeps and what uses each; deletes the others when asked.

`make kept`, or `python -m workflow_scripts.common.kept --preset demo`.

A changed recipe trains into a folder of its own, `backbones/<row>/<hash>/`
(workflow_scripts.common.backbone_hash), and leaves the earlier ones, finished or half trained. Nothing
deletes them but this command, when it is told to.
"""

import argparse
import functools
import itertools
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spd.config.design import Design
from spd.config.model import Config, ConfigError, load, merge, read_yaml
from spd.data.fingerprint import folder_fingerprint
from spd.data.options import expand, located
from workflow_scripts.common import locks
from workflow_scripts.common.backbone_hash import backbone_hash
from workflow_scripts.common.provenance import source_hash
from workflow_scripts.common.verify import LISTS, hash_list, read_or_empty, write_hashes

EARLIER = "earlier"
"""Folder, with a number, of files that lay under a row's own name."""


@dataclass(frozen=True)
class Kept:
    """One backbone: its row, its seed and its folder, with everything of that seed in it."""

    folder: Path
    seed: int
    files: tuple[Path, ...]

    @property
    def record(self) -> Path:
        """What the workflow calls this backbone."""
        return self.folder / f"seed{self.seed}.json"

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum(path.stat().st_size for path in self.files)

    @property
    def traces(self) -> list[Path]:
        """What its job left elsewhere: log, benchmark, list of hashes."""
        row = self.folder.parent
        name = f"pretrain/{row.name}-seed{self.seed}-{self.folder.name}"
        return [
            path for kind in ("logs", "benchmarks", LISTS) for path in row.parents[1].glob(f"{kind}/{name}.*")
        ]

    def what(self) -> str:
        """Method, eta and steps in words, and whether it is half trained."""
        half = not self.record.with_suffix(".safetensors").exists()
        params = (
            read_or_empty(self.record.with_suffix(".checkpoint.json"))
            if half
            else read_or_empty(self.record).get("params", {})
        )
        history = self.record.with_suffix(f".{'checkpoint.' * half}history.jsonl")
        eta = f"eta {params['eta']:g}" if "eta" in params else "eta unknown"
        text = f"{params.get('method', 'method unknown')}, {eta}, {_steps(history)}"
        saved = self.record.with_suffix(".checkpoint") in self.files
        return f"{'half trained' if saved else 'begun, nothing saved'}: {text}" if half else text


def kept(results: Path) -> list[Kept]:
    """Every backbone that was trained in a results folder, by row, folder and seed."""
    found: dict[tuple[Path, int], list[Path]] = {}
    for path in sorted((results / "backbones").glob("*/*/*")):
        seed = re.match(r"\.?seed(\d+)\.", path.name)
        if seed and path.is_file():
            found.setdefault((path.parent, int(seed[1])), []).append(path)
    return [Kept(folder, seed, tuple(files)) for (folder, seed), files in sorted(found.items())]


def uses(experiment: Config, results: Path, code: Any) -> dict[Path, list[str]]:
    """Record of a backbone, as an absolute path -> what asks for it: rows of the config, rows that start from
    it or name its file, and what the last run left linked under the row's name."""

    @functools.cache
    def images(dataset: str) -> str:
        entry = experiment.datasets[dataset]
        if entry.root is None:
            return str(None)
        root = expand(entry.root, f"datasets.{dataset}.root")
        return str(folder_fingerprint(root, entry.split_files()) if root.is_dir() else "absent")

    def record(name: str, seed: int) -> Path:
        made = backbone_hash(experiment, name, seed, images=images, code=code)
        return (results / "backbones" / name / made / f"seed{seed}.json").resolve()

    found, design = {}, Design(experiment)
    for name, row in experiment.pretrainings.items():
        tables = [table for table, options in experiment.tables.items() if name in options.rows]
        asked = f"row {name} ({', '.join(tables) or 'in no table'})"
        if row.recipe is None:
            if row.source.checkpoint is not None:
                file = Path(located(row.source.checkpoint)).resolve()
                found.setdefault(file.with_suffix(".json"), []).append(asked)
            continue
        for seed in row.seeds:
            found.setdefault(record(name, seed), []).append(asked)
            for start, at in design.start_of(name, seed):
                if design.trains(start):
                    found.setdefault(record(start, at), []).append(f"init of {name}")
    for link in sorted((results / "backbones").glob("*/seed*.safetensors")):
        if link.is_symlink():
            target = link.resolve().with_suffix(".json")
            found.setdefault(target, [f"the last run, as {link.parent.name}"])
    return found


def remove_dangling_links(results: Path) -> None:
    """Removes links under the rows' own names to backbones that were deleted by hand."""
    for link in [*results.glob("backbones/*/seed*"), *results.glob("records/backbones/*")]:
        if link.is_symlink() and not link.exists():
            link.unlink()


def set_aside(results: Path, name: str, seed: int) -> str | None:
    """Moves files that lie under a row's own name (an older version put them there) into a folder next
    to them, before a link takes their place; a line that says so, None where there are none."""
    row, record = results / "backbones" / name, results / f"records/backbones/{name}-seed{seed}.json"
    files = [path for path in sorted(row.glob(f"seed{seed}.*")) if path.is_file() and not path.is_symlink()]
    if not files:
        return None
    folders = (row / f"{EARLIER}{number}" for number in itertools.count(1))
    folder = next(one for one in folders if not any(one.glob(f"seed{seed}.*")))
    folder.mkdir(exist_ok=True)
    moved = [path.rename(folder / path.name) for path in files]
    if record.is_file() and not record.is_symlink():
        moved.append(record.rename(folder / f"seed{seed}.json"))
    for rule in ("pretrain", "import_backbone"):
        hash_list(results / f"logs/{rule}/{name}-seed{seed}.log").unlink(missing_ok=True)
    log = results / f"logs/pretrain/{name}-seed{seed}-{folder.name}.log"
    write_hashes(hash_list(log), rule="pretrain", outputs=map(str, moved), inputs=[])
    return (
        f"{files[0]} was a file, where there is a link now to what this config asks for; it was moved to "
        f"{folder}/. A row with `source: {{source: file, checkpoint: ...}}` uses it"
    )


def listing(backbones: list[Kept], used: Mapping[Path, list[str]], now: float) -> str:
    """A line a backbone: folder, what it is, size, when a run last asked for it, and by what it is used."""
    rows = [("backbone", "what", "MB", "last asked for", "used by")]
    for one in backbones:
        days = (now - one.folder.stat().st_mtime) / 86_400
        rows.append(
            (
                f"{one.folder.parent.name}/{one.folder.name}/seed{one.seed}",
                one.what(),
                f"{one.bytes / 1e6:,.1f}",
                "today" if days < 1 else f"{days:.0f} days ago",
                "; ".join(used.get(one.record.resolve(), [])) or "nothing",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def delete(backbones: list[Kept]) -> None:
    """Deletes them with the traces of their jobs, and the folders that are empty then."""
    for one in backbones:
        for path in (*one.files, *one.traces):
            path.unlink()
        if not any(one.folder.iterdir()):
            one.folder.rmdir()


def running(preset: str) -> str | None:
    """Why nothing may be deleted here now; None where no run is going on or has left jobs behind."""
    owner = locks.owner(Path(".snakemake/spd") / f"{preset}.run")
    if owner is not None and owner[1]:
        return f"{locks.name(owner[0])} is making it; wait for it"
    if any(Path(".snakemake/locks").glob("*.lock")):
        return "a run holds this folder or was killed in it, and its jobs may live: start it again first"
    return None


def main(arguments: list[str] | None = None) -> int:
    """Prints the list, deletes when told to; 0, or 2 where the config or a run forbids it."""
    parser = argparse.ArgumentParser(
        prog="python -m workflow_scripts.common.kept",
        description="List the trained backbones that a preset keeps: sizes, what made them, what uses each. "
        "Used is what a row of the config asks for or starts from, and what the last run left linked.",
    )
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="default: %(default)s")
    parser.add_argument("--configfile", type=Path, action="append", default=[], help="as given to snakemake")
    parser.add_argument("--preset", help="default: that of the config")
    parser.add_argument(
        "--delete", action="store_true", help="delete what nothing uses, finished or half trained"
    )
    given = parser.parse_args(arguments)
    try:
        overrides: dict[str, Any] = {"preset": given.preset} if given.preset else {}
        for file in reversed(given.configfile):
            overrides = merge(read_yaml(file), overrides)
        experiment = load(given.config, overrides)
        scripts = given.config.resolve().parent / "workflow_scripts"
        warn = experiment.compute.stale_code == "warn"
        results = Path("results") / experiment.preset

        def code(stage: str, *classes: str) -> str:
            return "any" if warn else source_hash(scripts / f"{stage}.py", *classes)

        used = uses(experiment, results, code)
    except (ConfigError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    found = kept(results)
    unused = [one for one in found if one.record.resolve() not in used]
    print(listing(found, used, time.time()) if found else f"{results}/backbones: nothing was trained here")
    if not unused:
        print(f"{len(found)} kept, each of them used")
        return 0
    size = f"{len(unused)} of {len(found)} used by nothing, {sum(one.bytes for one in unused) / 1e6:,.1f} MB"
    if not given.delete:
        print(f"{size}; --delete deletes them")
        return 0
    if why := running(experiment.preset):
        print(f"{results}: nothing is deleted: {why}", file=sys.stderr)
        return 2
    delete(unused)
    print(f"{size}: deleted")
    return 0


def _steps(history: Path) -> str:
    """The last step of a history, as `120 steps`."""
    try:
        steps = re.findall(r'"step": (\d+)', history.read_text(encoding="utf-8"))
    except OSError:
        steps = []
    return f"{steps[-1]} steps" if steps else "steps unknown"


if __name__ == "__main__":
    raise SystemExit(main())
