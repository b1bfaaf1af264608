"""Lists the licence of every locked package, from its own metadata, in requirements/licences.md.

python requirements/licences.py         (make licences; run where the packages are installed)
"""

import re
from collections import Counter
from importlib.metadata import PackageNotFoundError, files, metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent


def packages(lock: str = "test.txt") -> list[tuple[str, str]]:
    """(name, version) of each line of a lock file."""
    lines = (HERE / lock).read_text().splitlines()
    return [tuple(line.split()[0].split("==")) for line in lines if "==" in line]


def licence(name: str) -> str:
    """SPDX expression, else the classifiers, else the first line of the licence's text, else `not stated`."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return "not installed here"
    if about.get("License-Expression"):
        return about["License-Expression"]
    classifiers = [
        text.rpartition("::")[2].strip()
        for text in about.get_all("Classifier") or []
        if text.startswith("License ::") and not text.endswith("OSI Approved")
    ]
    first = next((line.strip() for line in (about.get("License") or "").splitlines() if line.strip()), "")
    if first == "UNKNOWN":
        first = ""
    return ", ".join(classifiers) or first[:80] or _first_line(name) or "not stated"


def _first_line(name: str) -> str:
    """What the licence file in the wheel begins with."""
    for path in files(name) or []:
        if path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            lines = (line.strip() for line in path.locate().read_text(errors="replace").splitlines())
            return f"{next((line for line in lines if line), '')[:80]} (its {path.name} file)"
    return ""


def table() -> str:
    rows = [(name, version, licence(name)) for name, version in packages()]
    counts = Counter(re.sub(r"\s+", " ", text) for _, _, text in rows)
    lines = [
        "# Licences of the dependencies",
        "",
        "Written by requirements/licences.py from each package's own metadata. The packages are those of the",
        "lock file test.txt, which holds all of demo.txt; none of them is part of this repository.",
        "",
        "| package | version | licence |",
        "|---|---|---|",
        *(f"| {name} | {version} | {text.replace('|', '/')} |" for name, version, text in rows),
        "",
        "| licence | packages |",
        "|---|---|",
        *(f"| {text.replace('|', '/')} | {count} |" for text, count in counts.most_common()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (HERE / "licences.md").write_text(table(), encoding="utf-8")
    print(f"{HERE / 'licences.md'}: {len(packages())} packages")
