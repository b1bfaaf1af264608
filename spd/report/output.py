"""Files that are either whole or absent."""

import os
from pathlib import Path


def replace_file(path: str | Path, content: str | bytes) -> Path:
    """Writes `content` (text as UTF-8, newlines as they are) through a temporary name in the same folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
