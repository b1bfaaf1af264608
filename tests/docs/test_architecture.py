"""The two walks of docs/architecture.md: each stop is a function, and no room is entered twice."""

import re
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WALKS = (ROOT / "docs/architecture.md").read_text().split("\n## One ")[1:]


@pytest.mark.parametrize("walk", WALKS, ids=["image", "eta"])
def test_each_stop_is_there_and_no_room_is_entered_twice(walk):
    stops = re.findall(r"^\| \d+ \| `([\w/.]+):?(\w*)`", walk, re.MULTILINE)
    assert 5 < len(stops) <= 10
    for file, function in stops:
        assert not function or f"def {function}(" in (ROOT / file).read_text(), f"{file}: no {function}"
    rooms = [room for room, _ in groupby("/".join(file.split("/")[:2]) for file, _ in stops)]
    assert len(rooms) == len(set(rooms))
