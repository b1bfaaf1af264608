"""All objects of the demo by name."""

from spd.datasets.demo import biscuit, board, gear, gelcaps, weave
from spd.datasets.demo.part import Part

PARTS: dict[str, Part] = {module.PART.name: module.PART for module in (gelcaps, biscuit, board, weave, gear)}
