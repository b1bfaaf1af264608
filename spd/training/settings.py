"""What is trained and where its results go."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spd.data.corpus import Corpus
from spd.files import file_sha256
from spd.methods.options import Recipe, SPDOptions, digest
from spd.views.options import ViewsOptions


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that decides the weights of a pre-training, but for its images and its code.

    spd: None or eta 0 is the base method, and is kept as None. seed: of weights, order and views, 0 or more.
    init: a backbone file to start from (continued pre-training).
    """

    architecture: str
    recipe: Recipe
    spd: SPDOptions | None = None
    seed: int
    init: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.spd is not None and self.spd.eta == 0:
            object.__setattr__(self, "spd", None)

    @property
    def views(self) -> ViewsOptions:
        """The recipe's views, with SPD's changes."""
        return self.spd.views(self.recipe.views) if self.spd else self.recipe.views

    def identity(self, images: Corpus) -> dict[str, Any]:
        """What makes a run this run: a checkpoint continues it only if all of this is equal. How often it
        saves does not count."""
        neutral = self.recipe.model_copy(update={"checkpoint_minutes": 0.0})
        return {
            "architecture": self.architecture,
            "recipe": digest(neutral),
            "spd": digest(self.spd) if self.spd else None,
            "seed": self.seed,
            "data": images.digest,
            "init": file_sha256(self.init) if self.init is not None else None,
        }


@dataclass(frozen=True)
class Outputs:
    """The files of a pre-training.

    backbone: weights (safetensors). history: JSON lines. checkpoint: continued from where it exists, removed
    on success; the history so far lies next to it, in `<checkpoint>.history.jsonl`.
    """

    backbone: Path
    history: Path
    checkpoint: Path

    @classmethod
    def in_folder(cls, folder: Path) -> "Outputs":
        """`backbone.safetensors`, `history.jsonl` and `checkpoint.pt` in one folder."""
        return cls(folder / "backbone.safetensors", folder / "history.jsonl", folder / "checkpoint.pt")
