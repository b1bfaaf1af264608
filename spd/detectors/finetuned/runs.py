"""The runs of one 2-class training job, by name. Imports neither torch nor numba."""

from collections.abc import Sequence
from typing import NamedTuple


class Run(NamedTuple):
    """One training set of each object: a draw of `shots` images a class; (None, None) is the whole split."""

    shots: int | None = None
    draw: int | None = None

    def __str__(self) -> str:
        return "all" if self.shots is None else f"{self.shots}shot-draw{self.draw}"


def runs(shots: Sequence[int], draws: int) -> list[Run]:
    """Every draw of every k, in the order in which they are trained."""
    return [Run(k, number) for k in shots for number in range(draws)]
