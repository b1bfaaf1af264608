"""Lists the licence of every locked package, from its own metadata, in requirements/licences.md.

    python requirements/licences.py         (make licences)

Packages that are not installed here, those of the documentation and of the peers, are installed beside, into
build/licences, to be read there.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

HERE = Path(__file__).resolve().parent
BESIDE = HERE.parent / "build/licences"
LOCKS = ("demo.txt", "test.txt", "docs.txt", "parity.txt")


def locked() -> dict[tuple[str, str], tuple[str, str]]:
    """(name, version) -> (first lock file that holds it, its line there), in the order of names."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for lock in LOCKS:
        for line in (HERE / lock).read_text().splitlines():
            if "==" in line:
                name, version = line.split()[0].split("==")
                found.setdefault((name, version), (lock, line))
    return dict(sorted(found.items(), key=lambda item: (item[0][0].lower(), item[0][1])))


def installed(path: list[str] | None = None) -> dict[tuple[str, str], Distribution]:
    """(normalised name, version) -> package."""
    found = distributions() if path is None else distributions(path=path)
    return {(_normal(one.name), one.version): one for one in found}


def install_beside(lines: Iterable[str]) -> None:
    BESIDE.mkdir(parents=True, exist_ok=True)
    wanted = BESIDE / "wanted.txt"
    wanted.write_text("\n".join(lines) + "\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--upgrade",
    ]
    subprocess.run([*command, "--target", str(BESIDE), "-r", str(wanted)], check=True)


def licence(package: Distribution) -> str:
    """SPDX expression, else the classifiers, else the first line of the licence's text, else `not stated`."""
    about = package.metadata
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
    return ", ".join(classifiers) or first[:80] or _first_line(package) or "not stated"


def _first_line(package: Distribution) -> str:
    """What the licence file in the wheel begins with."""
    for path in package.files or []:
        if path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            lines = (line.strip() for line in path.locate().read_text(errors="replace").splitlines())
            return f"{next((line for line in lines if line), '')[:80]} (its {path.name} file)"
    return ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def table() -> str:
    """Raises KeyError for a package that is neither here nor beside."""
    packages = locked()
    here = installed()
    missing = [
        line for (name, version), (_, line) in packages.items() if (_normal(name), version) not in here
    ]
    if missing:
        install_beside(missing)
        here = installed([str(BESIDE)]) | here
    rows = [
        (name, version, re.sub(r"\s+", " ", licence(here[_normal(name), version])).replace("|", "/"), lock)
        for (name, version), (lock, _) in packages.items()
    ]
    counts = Counter(text for _, _, text, _ in rows)
    lines = [
        "# Licences of the dependencies",
        "",
        "Written by requirements/licences.py from each package's own metadata. `lock`: the first of the lock",
        "files that holds it; test.txt holds all of demo.txt, docs.txt and parity.txt hold all of test.txt.",
        "None of the packages is part of this repository.",
        "",
        "| package | version | licence | lock |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "| licence | packages |",
        "|---|---|",
        *(f"| {text} | {count} |" for text, count in counts.most_common()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (HERE / "licences.md").write_text(table(), encoding="utf-8")
    print(f"{HERE / 'licences.md'}: {len(locked())} packages")
