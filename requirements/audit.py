"""Asks the OSV database for known vulnerabilities of every locked package.

    python requirements/audit.py            (make audit)

Ends with 0 where none is known, 1 where some are, and 2, with the reason, where the database could not be
asked: an audit that did not take place is no pass.
"""

import json
import os
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATABASE = "https://api.osv.dev/v1/querybatch"
SECONDS = 30
AT_ONCE = 500


def locked() -> list[tuple[str, str]]:
    """(name, version) of each package of the lock files, sorted."""
    lines = [line for path in HERE.glob("*.txt") for line in path.read_text().splitlines() if "==" in line]
    return sorted({tuple(line.split()[0].split("==")) for line in lines})


def ask(packages: list[tuple[str, str]], database: str) -> dict[tuple[str, str], list[str]]:
    """Package -> ids of its known vulnerabilities, where there are any.

    Raises OSError where the database cannot be reached, ValueError where its answer is no answer.
    """
    known: dict[tuple[str, str], list[str]] = {}
    for start in range(0, len(packages), AT_ONCE):
        asked = packages[start : start + AT_ONCE]
        queries = [
            {"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in asked
        ]
        request = urllib.request.Request(
            database, json.dumps({"queries": queries}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:
            results = json.loads(reply.read())["results"]
        if len(results) != len(asked):
            raise ValueError(f"{len(results)} answers to {len(asked)} questions")
        for package, result in zip(asked, results, strict=True):
            if result.get("vulns"):
                known[package] = sorted(one["id"] for one in result["vulns"])
    return known


def main() -> int:
    packages, database = locked(), os.environ.get("OSV_URL", DATABASE)
    try:
        known = ask(packages, database)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(
            f"NOT AUDITED: {database} could not be asked ({error}); nothing is known of the "
            f"{len(packages)} packages"
        )
        return 2
    for (name, version), ids in known.items():
        print(f"{name} {version}: {', '.join(f'https://osv.dev/{one}' for one in ids)}")
    print(f"{len(packages)} packages asked for, {len(known)} with known vulnerabilities")
    return int(bool(known))


if __name__ == "__main__":
    sys.exit(main())
