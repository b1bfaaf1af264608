"""Checks a results folder against what its jobs said they wrote.

`make verify`, or `python -m workflow_scripts.common.verify results/demo`.

Each job leaves a list of the SHA-256 of its outputs and inputs (`write_hashes`); manifests, cells and records
carry hashes of what they were made of. Whatever does not agree is named. This finds accidents and edits;
it is no signature: who rewrites a file and its list is not found.
"""

import argparse
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from spd.data.fingerprint import folder_fingerprint
from spd.files import file_sha256, read_json, write_json
from workflow_scripts.common.provenance import PACKAGE

LISTS = "hashes"
LARGEST_INPUT = 64 << 20  # bytes; larger inputs are covered by the list of the job that made them
VERIFIED = ".verified"
"""Ending of the record that a download was checked, next to what was downloaded."""
UNLISTED = ("logs", "benchmarks", "mlflow", LISTS)
"""Folders of a results folder whose files hold clock times."""
EARLIER = ("records/cells", "records/finetune", "records/linear")
"""Folders where earlier versions kept records of results that are their own records now."""


class Altered(NamedTuple):
    """One thing that does not agree: the file, and what is wrong with it."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def hash_list(log: str | os.PathLike[str]) -> Path:
    """Where a job with this log keeps its hashes: `hashes/` next to `logs/`, under the same name."""
    log = Path(log)
    parts = list(log.parts)
    parts[parts.index("logs")] = LISTS
    return Path(*parts).with_suffix(".json")


def write_hashes(
    path: str | os.PathLike[str], *, rule: str, outputs: Iterable[str], inputs: Iterable[str]
) -> None:
    """Writes the SHA-256 of a job's outputs (folders file by file) and of its inputs up to LARGEST_INPUT.

    Inputs that are part of this package (the page's templates) are left out: their paths name the checkout,
    and equal runs in two checkouts are to give equal lists.
    """
    data = [name for name in _files(inputs) if not Path(name).resolve().is_relative_to(PACKAGE)]
    small = [name for name in data if Path(name).stat().st_size <= LARGEST_INPUT]
    content = {
        "rule": rule,
        "outputs": {name: file_sha256(name) for name in _files(outputs)},
        "inputs": {name: file_sha256(name) for name in small},
    }
    write_json(path, content)


class _Now(dict[str, str | None]):
    """SHA-256 of each file that is asked for, None where there is none."""

    def __missing__(self, name: str) -> str | None:
        self[name] = file_sha256(name) if Path(name).is_file() else None
        return self[name]


def verify(results: str | os.PathLike[str]) -> tuple[list[Altered], int]:
    """(what was altered, number of files that were hashed). Paths in the lists are relative to the working
    folder. Raises ValueError where there are no lists."""
    results, now, altered = Path(results), _Now(), []
    lists = sorted((results / LISTS).rglob("*.json"))
    if not lists:
        raise ValueError(f"{results / LISTS}: no lists of hashes; run the workflow first")
    listed: set[str] = set()
    inputs: list[tuple[str, str, str]] = []  # (file, its hash, by which rule and list) as they were read
    linked = {path.resolve() for path in (results / "backbones").glob("*/seed*.safetensors")}
    for path in lists:
        try:
            content = read_json(path)
            rule, outputs, read = (content[key] for key in ("rule", "outputs", "inputs"))
        except (ValueError, KeyError, TypeError) as error:
            altered.append(Altered(str(path), f"is no list of hashes any more ({error!r:.100})"))
            continue
        listed.update(outputs)
        if rule != "pretrain" or not linked.isdisjoint(Path(name).resolve() for name in outputs):
            # A backbone that is kept and not in use may have been trained on other data than are here now.
            inputs += [(*item, f"{rule} ({path.relative_to(results / LISTS)})") for item in read.items()]
        for name, digest in outputs.items():
            if now[name] is None and "features" not in Path(name).parts:  # temporary unless keep_features
                altered.append(Altered(name, f"is gone; rule {rule} wrote it"))
            elif now[name] not in (digest, None):
                hashes = f"SHA-256 {now[name][:12]}, was {digest[:12]}"
                altered.append(Altered(name, f"is not what rule {rule} wrote ({hashes})"))
    known = {path for path, _ in altered}
    for name, digest, reader in inputs:
        if name not in known and now[name] not in (digest, None):
            altered.append(Altered(name, f"has changed since {reader} read it (was {digest[:12]})"))
    altered += [Altered(name, "was made by no job") for name in _strangers(results, listed)]
    altered += _downloads(listed, now)
    altered += _provenance(results, now)
    return altered, sum(digest is not None for digest in now.values())


def _files(names: Iterable[str]) -> Iterator[str]:
    for name in dict.fromkeys(map(str, names)):
        path = Path(name)
        if path.suffix == ".db":
            continue  # MLflow's store changes when it is looked at
        if path.is_dir():
            yield from sorted(
                inner.as_posix()
                for inner in path.rglob("*")
                if inner.is_file() and inner.name != ".snakemake_timestamp"
            )
        elif path.is_file():
            yield path.as_posix()


def _strangers(results: Path, listed: set[str]) -> list[str]:
    """Files of a results folder that no list names: put there by hand, or by a job that did not end."""
    return [
        path.as_posix()
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and path.as_posix() not in listed
        and path.relative_to(results).parts[0] not in UNLISTED
        and not any(path.is_relative_to(results / folder) for folder in EARLIER)
        and path.name != ".snakemake_timestamp"
        and ".checkpoint" not in path.suffixes  # a training that goes on
    ]


def _downloads(listed: set[str], now: _Now) -> Iterator[Altered]:
    """Archives and weights against the hash that was right when they came; they are outputs of no job. One
    that was deleted since is no matter."""
    for name in sorted(name for name in listed if name.endswith(VERIFIED)):
        archive, stated = (
            name.removesuffix(VERIFIED),
            (read_or_empty(Path(name)).get("params") or {}).get("sha256"),
        )
        if stated is not None and now[archive] not in (stated, None):
            yield Altered(
                archive, f"is not what was downloaded (SHA-256 {now[archive][:12]}, was {stated[:12]})"
            )


def _provenance(results: Path, now: _Now) -> Iterator[Altered]:
    """What manifests, records and cells say of the files they were made of."""
    sidecars = {}
    for path in sorted((results / "manifests").glob("*/*.csv")):
        sidecar = read_or_empty(path.with_suffix(".json"))
        sidecars[path.parent.name, path.stem] = sidecar
        if now[path.as_posix()] != sidecar.get("split_hash"):
            yield Altered(str(path), "its rows are not those its sidecar was written for (split_hash)")
        yield from _data(path, sidecar)
    for path in sorted((results / "records/backbones").glob("*.json")):
        name, _, seed = path.stem.rpartition("-seed")
        yield from _checkpoint(path, read_or_empty(path), results, name, seed, now)
    for path in sorted((results / "cells").rglob("*.json")):
        cell = read_or_empty(path)
        provenance = cell.get("provenance") or {}
        dataset, setup = path.relative_to(results / "cells").parts[:2]
        sidecar = sidecars.get((dataset, setup))
        if sidecar is not None:
            for mine, theirs in (("split_hash", "split_hash"), ("data_fingerprint", "fingerprint")):
                if provenance.get(mine) != sidecar.get(theirs):
                    yield Altered(
                        str(path), f"was measured on another manifest than {dataset} {setup} ({mine})"
                    )
        pretraining = cell.get("pretraining") or {}
        yield from _checkpoint(path, cell, results, pretraining.get("name"), pretraining.get("seed"), now)


def _checkpoint(
    path: Path, content: dict, results: Path, name: Any, seed: Any, now: _Now
) -> Iterator[Altered]:
    backbone = results / f"backbones/{name}/seed{seed}.safetensors"
    stated = (content.get("provenance") or {}).get("checkpoint")
    if stated is not None and now[backbone.as_posix()] not in (stated, None):
        yield Altered(str(backbone), f"is not the checkpoint of {path} (SHA-256 {stated[:12]})")


def _data(path: Path, sidecar: dict) -> Iterator[Altered]:
    """A data set's folder against the fingerprint that its manifest carries."""
    root, stated = Path(sidecar.get("root", "")), sidecar.get("fingerprint")
    inventory = read_or_empty(root / ".unpacked.json")
    if inventory:
        files = [p for p in root.rglob("*") if p.is_file() and p.name != ".unpacked.json"]
        count, size = len(files), sum(p.stat().st_size for p in files)
        if inventory.get("archive") != stated:
            yield Altered(str(root), f"was unpacked from another archive than that of {path}")
        if (count, size) != (inventory.get("files"), inventory.get("bytes")):
            yield Altered(
                str(root),
                f"holds {count:,} files of {size:,} bytes, unpacked were {inventory.get('files'):,} of "
                f"{inventory.get('bytes'):,}",
            )
    elif (
        root.is_dir()
        and len(str(stated)) == 64
        and folder_fingerprint(root, sidecar.get("csv", ())) != stated
    ):
        yield Altered(str(root), f"its images are not those of {path} (paths, sizes or times)")


def read_or_empty(path: Path) -> dict[str, Any]:
    """A JSON object; {} where the file is not there or holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}


def main(arguments: list[str] | None = None) -> int:
    """Prints what was altered and returns 1, or 0 where nothing was; 2 where nothing can be checked."""
    parser = argparse.ArgumentParser(description="Check a results folder against its own provenance.")
    parser.add_argument("results", help="such as results/demo")
    try:
        found, count = verify(parser.parse_args(arguments).results)
    except ValueError as error:
        print(error)
        return 2
    for one in found:
        print(f"altered: {one}")
    print(
        f"{count} files hashed, " + (f"{len(found)} do not agree" if found else "all as their jobs left them")
    )
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
