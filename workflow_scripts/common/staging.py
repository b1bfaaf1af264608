"""Copies a large file to a node's own disk while a job reads it."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from spd.data.options import expand

SPARE = 1.05  # share of the file's size that must be free


@contextlib.contextmanager
def staged(path: str | os.PathLike[str], scratch: str | None) -> Iterator[Path]:
    """The path of a copy in `scratch`, removed afterwards; `path` itself where there is no room.

    A memory-mapped file on a shared file system is read page by page over the network; a copy is read once,
    in order. scratch: a folder on each node; environment variables are those of the node.
    """
    path = Path(path)
    if not scratch:
        yield path
        return
    folder = expand(scratch, "compute.scratch")
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < SPARE * path.stat().st_size:
        print(f"{path} is read where it lies: {folder} has {free / 2**20:.0f} MiB free", file=sys.stderr)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="spd-", dir=folder) as own:
        print(f"{path} is copied to {own}", file=sys.stderr)
        yield Path(shutil.copyfile(path, Path(own) / path.name))
