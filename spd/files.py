"""Files that are either whole or absent, and their hashes."""

import contextlib
import glob
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Hands out a temporary path beside `path`, whose folder is made where it is missing, for a `with` block.

    Where the block ends without an exception, the file takes the name `path` at once; otherwise `path` stays
    as it was, and nothing else is left. What a killed process left is removed by the next one that writes
    `path`. One process at a time may write it; of two, one raises FileNotFoundError.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for killed in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        killed.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Writes `content` (text as UTF-8, newlines as they are) at once, and returns the path."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Writes `content` as JSON with sorted keys, at once.

    Raises ValueError for NaN or infinity: JSON has neither, and a record must be readable everywhere.
    """
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    atomic_write(path, text + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file; ValueError names the file when it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: not a JSON file ({error}); delete it and run the workflow again"
        ) from error


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits. Raises OSError when it cannot be read."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
