"""All objects of the demo by name."""

from demo_data import biscuit, board, gear, gelcaps, weave
from demo_data.part import Part

PARTS: dict[str, Part] = {module.PART.name: module.PART for module in (gelcaps, biscuit, board, weave, gear)}
