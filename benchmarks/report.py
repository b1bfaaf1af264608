"""Writes a benchmark's own section of docs/performance.md: each figure is put there by its command."""

import os
import platform
import re
import sys
from pathlib import Path

from spd.files import atomic_write

DOCS = Path(__file__).resolve().parent.parent / "docs"


def machine() -> str:
    """One line that names the processor, the usable cores and the versions that matter for speed."""
    model = (
        next(
            (
                line.split(":", 1)[1].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")
            ),
            platform.processor() or "unknown CPU",
        )
        if Path("/proc/cpuinfo").exists()
        else platform.processor()
    )
    versions = []
    for name in ("torch", "numpy", "numba"):
        module = sys.modules.get(name)
        if module is not None:
            versions.append(f"{name} {module.__version__}")
    cores = f"{len(os.sched_getaffinity(0))} usable cores"
    return ", ".join([model, cores, f"Python {platform.python_version()}", *versions])


def write_section(name: str, markdown: str, document: str = "performance.md") -> None:
    """Replaces (or appends) the section `name` of docs/`document` with `markdown`.

    The section lies between `<!-- begin name -->` and `<!-- end name -->`; the rest of the file is kept.
    """
    path = DOCS / document
    text = path.read_text() if path.exists() else "# Performance\n"
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    section = f"{begin}\n{markdown.strip()}\n{end}"
    if begin in text:
        text = re.sub(re.escape(begin) + r".*?" + re.escape(end), lambda _: section, text, flags=re.DOTALL)
    else:
        text = text.rstrip() + "\n\n" + section + "\n"
    atomic_write(path, text)
