"""What a data set's images were: a hash that changes when they do."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from spd.datasets.image_files import is_image
from spd.provenance import file_sha256


def folder_fingerprint(root: str | os.PathLike[str], files: Iterable[str | os.PathLike[str]] = ()) -> str:
    """SHA-256 over (relative path, size, mtime_ns) of each image and CSV file below `root`, without reading
    them, and of `files` that lie elsewhere (by their own path; a missing one counts by its name).

    Files that no reader uses (READMEs, hidden files, caches) do not count. Links to folders are followed once
    each.
    Raises ValueError where there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    digest = hashlib.sha256()
    for path, size, mtime_ns in sorted(_walk(str(root), "")):
        digest.update(f"{path}\0{size}\0{mtime_ns}\n".encode("utf-8", "surrogateescape"))
    for file in sorted(Path(file) for file in files):
        if not file.resolve().is_relative_to(root.resolve()):
            size, mtime_ns = (file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else (-1, -1)
            digest.update(f"{file}\0{size}\0{mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


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
    temporary = path.with_name(f".{path.name}.sha256.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(state))
        temporary.replace(_sidecar(path))


def _sidecar(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256.json")


def _walk(
    folder: str, prefix: str, seen: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[str, int, int]]:
    stat = os.stat(folder)  # noqa: PTH116
    here = (stat.st_dev, stat.st_ino)
    if here in seen:
        return  # a link to a folder above
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(entry.path, f"{prefix}{entry.name}/", seen | {here})
            elif (is_image(entry.name) or entry.name.lower().endswith(".csv")) and entry.is_file():
                status = entry.stat()
                yield f"{prefix}{entry.name}", status.st_size, status.st_mtime_ns
