"""Does the SPD term do what it says? Local against global sensitivity of small networks, paired by seed.

    SPD_DATA=/your/folder OMP_NUM_THREADS=1 python -m studies.mechanism    # an hour; resumable
    python -m studies.mechanism --report                                   # docs/mechanism.md from its runs

Runs that share a seed share the initial weights, the order of images, the strong views and the held-out
images; they differ in the term alone. Runs go seed by seed, so that whenever the study stops all
configurations have (nearly) the same seeds. Without SPD_DATA the images are generated ones.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from spd.corpus import Corpus
from spd.methods.options import SPDOptions, parse_recipe
from spd.pretrain import pretrain
from studies import runs
from studies.localisation import localisation
from studies.pictures import pictures

RESULTS = Path("results/studies/mechanism.jsonl")
ARCHITECTURE = "resnet10_w16"
STAGES = ("layer1", "layer2", "layer3")  # what PaDiM reads
SIZE = 32
CANVAS = 48
SEEDS = 5

VIEWS = {
    "strong": {
        "size": SIZE,
        "scale": (0.5, 1.0),
        "jitter": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.05},
        "blur": {"sigma": (0.1, 0.8), "p": 0.2},
    },
    "weak": {
        "size": SIZE,
        "scale": (0.9, 1.0),
        "ratio": (0.95, 1.05),
        "jitter": {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.02, "p": 1.0},
        "grayscale": 0.0,
        "blur": {"sigma": (0.1, 1.0), "p": 0.5},
    },
}
COMMON = {
    "batch": 64,
    "steps": 300,
    "held_out": 0.2,
    "probe_neighbours": 20,
    "log_interval": 25,
    "views": VIEWS,
}
RECIPES = {  # preset demo's, which these networks and steps can learn from
    "simclr": {"lr": 4.0, "warmup_epochs": 1, "zero_init_residual": False, "projector": (128, 64)},
    "moco": {"schedule_by": "step", "key_momentum": 0.99, "queue": 512, "projector": (128, 64)},
    "simsiam": {
        "schedule": "constant",
        "lr": 0.8,
        "weight_decay": 5e-4,
        "projector": (128, 128, 128),
        "predictor": 32,
    },
}
GRID = [  # method, SPD's options; the first of a method is what the others are compared with
    *(("simclr", {"eta": eta}) for eta in (0.0, 0.1, 1.0)),
    *(("moco", {"eta": eta}) for eta in (0.0, 0.1, 1.0)),
    ("simsiam", {"eta": 0.0}),
    *(("simsiam", {"eta": eta, "stop_gradient": stop}) for stop in ("none", "both") for eta in (0.1, 1.0)),
]
SHARED = [  # z+ and z- from one weak augmentation: the local change is all that tells them apart
    *(("simsiam", {"eta": eta, "weak_draws": "shared"}) for eta in (0.1, 1.0)),
    *((method, {"eta": 1.0, "weak_draws": "shared"}) for method in ("simclr", "moco")),
]
WHY = [  # what the parts of the term do to SimSiam, and the anchor and the patch
    *(("simsiam", {"eta": 1.0, "cosines": cosines}) for cosines in ("plus", "minus")),
    *(("simsiam", {"eta": 1.0, "anchor": "image", "stop_gradient": stop}) for stop in ("none", "both")),
]


def recipe_of(method: str) -> dict[str, Any]:
    """The recipe's values for a method."""
    return {"method": method, **COMMON, **RECIPES[method]}


def run(images: Corpus, method: str, spd: dict[str, Any], seed: int, device: str = "cpu") -> dict[str, Any]:
    """Trains and measures one configuration: the history's last line, AU-ROCs, and how the spread went."""
    recipe, options = parse_recipe(recipe_of(method)), SPDOptions(**spd)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        summary = pretrain(
            images,
            architecture=ARCHITECTURE,
            recipe=recipe,
            spd=options,
            seed=seed,
            backbone_path=folder / "backbone.safetensors",
            history_path=folder / "history.jsonl",
            checkpoint_path=folder / "checkpoint.pt",
            device=device,
            progress=False,
        )
        steps = runs.load(folder / "history.jsonl")
        _, held_out = images.split(recipe.held_out, seed)
        found = localisation(folder / "backbone.safetensors", images, held_out, recipe.views, STAGES, seed)
    course = {
        name: [[line["step"], round(line[name], 4)] for line in steps if name in line]
        for name in ("embedding_std", "cos_plus", "cos_minus")
    }
    measured = {name: value for name, value in summary["last"].items() if name != "step"}
    measured |= {f"localisation_{name}": value for name, value in found.items()}
    return {"measured": measured, "course": course, "seconds": round(time.monotonic() - began, 1)}


def told(method: str, spd: dict[str, Any]) -> dict[str, Any]:
    """What a run is told beside its seed and its images."""
    return {"method": method, "spd": spd, "recipe": recipe_of(method), "architecture": ARCHITECTURE}


def configurations(images: Corpus, seeds: int) -> list[dict[str, Any]]:
    """Every run of the study in the order of running, seed by seed, each with its `key`."""
    listed = []
    for seed in range(seeds):
        for study, grid in (("grid", GRID), ("shared", SHARED), ("why", WHY)):
            for method, spd in grid:
                identity = {**told(method, spd), "seed": seed, "data": images.digest}
                listed.append({**identity, "study": study, "key": runs.key_of(identity)})
    order = ("grid", "shared", "why")  # the question first, then the reasons
    return sorted(listed, key=lambda c: order.index(c["study"]))


def main() -> None:
    arguments = runs.options(__doc__.splitlines()[0], SEEDS, RESULTS).parse_args()
    if arguments.report:
        from studies.mechanism_report import report

        report(arguments.results)
        return
    torch.set_num_threads(1)
    images, words = pictures(CANVAS)
    print(words, flush=True)
    ran_by = {"device": runs.device_name(arguments.device), **runs.code_of(__file__)}
    for configuration in runs.waiting(configurations(images, arguments.seeds), arguments):
        told = (configuration[name] for name in ("method", "spd", "seed"))
        result = run(images, *told, arguments.device)
        runs.add(arguments.results, {**configuration, "images": words, **ran_by, **result})
        brief = {
            k: round(result["measured"][f"sensitivity_z_{k}"], 3) for k in ("ratio", "ratio_local", "std")
        }
        print(
            configuration["method"],
            configuration["spd"],
            configuration["seed"],
            brief,
            result["seconds"],
            flush=True,
        )


if __name__ == "__main__":
    main()
