"""What a data set's images were: a hash that changes when they do."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from spd.data.csv_file import named_paths
from spd.data.image_files import as_on_disk, is_file, is_image, walk
from spd.files import atomic_write, file_sha256


def folder_fingerprint(root: str | os.PathLike[str], csvs: Iterable[str | os.PathLike[str]] = ()) -> str:
    """SHA-256 over (relative path, size, mtime_ns) of each image and CSV file below `root`, of every other
    path that `csvs` name, whatever its extension, and of those of `csvs` that lie elsewhere (by their own
    path). Of all of them nothing but the CSVs is read; a missing file counts by its name.

    csvs: split CSVs, relative to `root` unless absolute. Files that no reader uses (READMEs, hidden files,
    caches) do not count. Links to folders are followed once each.
    Raises ValueError where there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    files = {
        path: (entry.stat().st_size, entry.stat().st_mtime_ns)
        for path, entry in walk(root)
        if (is_image(entry.name) or entry.name.lower().endswith(".csv")) and is_file(entry)
    }
    named = [root / csv for csv in csvs]
    elsewhere = [csv for csv in named if not csv.resolve().is_relative_to(root.resolve())]
    others = {as_on_disk(root, path) for csv in named for path in named_paths(csv)} - files.keys()
    digest = hashlib.sha256()
    states = [*sorted(files.items()), *((path, _state(root / path)) for path in sorted(others))]
    states += [(str(csv), _state(csv)) for csv in sorted(elsewhere)]
    for path, (size, mtime_ns) in states:
        digest.update(f"{path}\0{size}\0{mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _state(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except (OSError, ValueError):  # ValueError: a zero byte, which the reader refuses
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


def archive_fingerprint(path: str | os.PathLike[str]) -> str:
    """SHA-256 of an archive.

    It is kept in `.<name>.sha256.json` beside the archive and taken from there while size and time are the
    same.
    """
    path = Path(path)
    try:
        known = json.loads(_sidecar(path).read_text())
        if known["size"] == path.stat().st_size and known["mtime_ns"] == path.stat().st_mtime_ns:
            return known["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none yet, or not readable
    digest = file_sha256(path)
    remember_fingerprint(path, digest)
    return digest


def remember_fingerprint(path: Path, sha256: str) -> None:
    """Keeps an archive's SHA-256 for `archive_fingerprint`, if its folder can be written to."""
    stat = path.stat()
    state = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256}
    with contextlib.suppress(OSError):
        atomic_write(_sidecar(path), json.dumps(state))


def _sidecar(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256.json")
