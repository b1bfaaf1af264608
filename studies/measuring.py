"""One run of the study: a network is trained once, and all that is asked of it measured."""

import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from spd.backbones.imports import import_backbone
from spd.backbones.options import BackboneOptions
from spd.data.corpus import Corpus
from spd.methods.options import SPDOptions, parse_recipe
from spd.training.loop import pretrain
from spd.training.monitor import TrainingError
from spd.training.settings import Outputs, Settings
from studies import corpora
from studies.configurations import Run
from studies.judging import Sets
from studies.localisation import localisation
from studies.settings import STARTS

MEASURED = {  # value -> what the history's last line calls it, factor; SimSiam's z is the projector's output
    "r": ("sensitivity_z_ratio", 1),
    "blend": ("sensitivity_z_ratio_local", 1),
    "std": ("sensitivity_z_std", 1),
    "r of h": ("sensitivity_h_ratio", 1),
    "blend of h": ("sensitivity_h_ratio_local", 1),
    "kNN": ("knn", 100),
    "linear": ("linear", 100),
    "perturbed": ("perturbed_accuracy", 100),
    "loss": ("loss", 1),
}


class Study:
    """The images of a study, each prepared when a run first needs it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.corpus = cache(corpora.load)
        self.sets = cache(lambda judge: Sets(judge, folder / judge))
        self.start = cache(self._start)

    def _start(self, name: str) -> Path:
        path = self.folder / f"{name}.safetensors"
        import_backbone(BackboneOptions(source=name), path)
        return path

    def identity(self, c: Run, seed: int) -> dict[str, Any] | None:
        """What makes a run this run; None where its corpus is not at hand."""
        found = self.corpus(c["corpus"], STARTS[c["start"]]["canvas"])
        if found is None:
            return None
        judged = self.sets(c["judge"]).digests if c["judge"] else {}
        return {"told": c["told"], "seed": seed, "corpus": found[0].digest, "judged": judged}

    def run(self, c: Run, seed: int, device: str) -> dict[str, Any]:
        """Trains one configuration and measures all that is asked of it: `values`, `seconds`, and `failed`
        where the training or a detector gave up."""
        began, values, failed = time.monotonic(), {}, None
        images, words = self.corpus(c["corpus"], STARTS[c["start"]]["canvas"])
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            folder = Path(scratch)
            try:
                backbone, stages = folder / "backbone.safetensors", c["told"]["stages"]
                if c["method"] is None:
                    backbone = self.start(c["start"])
                else:
                    values |= self._train(c, seed, device, images, folder)
                if c["judge"]:
                    values |= self.sets(c["judge"]).judge(backbone, stages, folder, device)
            except (TrainingError, ValueError) as error:  # a collapsed network is a result of its own
                failed = str(error)[:300]
        seconds = round(time.monotonic() - began, 1)
        return {"images": words, "values": values, "failed": failed, "seconds": seconds}

    def _train(self, c: Run, seed: int, device: str, images: Corpus, folder: Path) -> dict[str, float]:
        recipe = parse_recipe(c["told"]["recipe"])
        settings = Settings(
            architecture=c["told"]["architecture"],
            recipe=recipe,
            spd=SPDOptions(**c["spd"]),
            seed=seed,
            init=self.start(c["start"]) if c["start"] else None,
        )
        outputs = Outputs.in_folder(folder)
        summary = pretrain(images, settings, outputs, device=device, progress=False)
        last = summary["last"]
        values = {name: factor * last[key] for name, (key, factor) in MEASURED.items() if key in last}
        _, held_out = images.split(recipe.held_out, seed)
        # The recipe's own patch for every setting, so that they can be compared.
        found = localisation(outputs.backbone, images, held_out, recipe.views, c["told"]["stages"], seed)
        return values | {
            "localisation": 100 * found["all"],
            "localisation, jitter": 100 * found["jitter_all"],
        }
