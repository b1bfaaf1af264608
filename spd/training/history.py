"""The history of a training: one JSON line a logged step, the same bytes for the same run, interrupted or
not."""

import json
import math
from pathlib import Path
from typing import Any

from spd.files import atomic_write

PASSING = ("images_per_second",)
"""Values that are only in the file in the making: a clock's, which differ between equal runs."""


class History:
    """Lines in the making lie in the file `path`, to be followed while training goes on; `finish` moves them
    to their place, without the values that are `PASSING`.

    With `writes` False (ranks other than 0) nothing is kept or written.
    """

    def __init__(self, path: Path, writes: bool = True):
        self.path, self.writes = path, writes
        self.lines: dict[int, dict[str, Any]] = {}

    def start(self, done: int) -> None:
        """Keeps the lines of the first `done` steps; later ones, written after the last checkpoint, will be
        written again."""
        if not self.writes:
            return
        if done and self.path.exists():
            for text in self.path.read_text().splitlines():
                try:
                    line = json.loads(text)
                except json.JSONDecodeError:  # the last one, cut short by a kill
                    break
                if line["step"] <= done:
                    self._merge(line)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self._text())

    def add(self, **values: Any) -> None:
        """Adds values to the line of `step` (counted from 1); a number that is not finite becomes null."""
        if not self.writes:
            return
        line = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        self._merge(line)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    @property
    def first(self) -> dict[str, Any]:
        """The first line, {} before there is one."""
        return next(iter(self.lines.values()), {})

    @property
    def last(self) -> dict[str, Any]:
        """The last line, {} before there is one."""
        return next(reversed(self.lines.values()), {})

    def finish(self, path: Path) -> None:
        """Writes the lines to `path`, which appears whole or not at all, and removes the file in the
        making."""
        atomic_write(path, self._text())
        self.path.unlink()

    def _merge(self, line: dict[str, Any]) -> None:
        lasting = {key: value for key, value in line.items() if key not in PASSING}
        self.lines.setdefault(line["step"], {}).update(lasting)

    def _text(self) -> str:
        return "".join(json.dumps(line) + "\n" for line in self.lines.values())
