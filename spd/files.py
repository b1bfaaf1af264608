"""Files that are written whole or not at all, and their hashes."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_json(path: str | Path, content: Any) -> None:
    """Writes `content` as JSON with sorted keys, through a temporary name in the same folder.

    Raises ValueError for NaN or infinity: JSON has neither, and a record must be readable everywhere.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: str | Path) -> Any:
    """Reads a JSON file; ValueError names the file when it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: not a JSON file ({error}); delete it and run the workflow again"
        ) from error


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits. Raises OSError when it cannot be read."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_sha256(paths: Iterable[Path]) -> str:
    """SHA-256 of some files' names and contents, whatever folder and order they come in."""
    named = sorted((path.name, file_sha256(path)) for path in paths)
    return hashlib.sha256("".join(f"{name} {content}\n" for name, content in named).encode()).hexdigest()
