"""Does SPD help a detector? Continued pre-training of EfficientNet-Lite0, judged by PaDiM on magnetic tiles.

    SPD_DATA=/your/folder OMP_NUM_THREADS=1 python -m studies.continued      # 50 minutes; resumable
    python -m studies.continued --report                                     # docs/mechanism.md from its runs

From ImageNet weights, 100 steps on Caltech-101's photographs at 48 pixels: a CPU's scale. Runs that share a
seed share the order of images, the strong views and the heads' initial weights. Needs SPD_DATA and the extra
`demo`.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from spd.backbones.imports import import_backbone
from spd.backbones.options import BackboneOptions
from spd.corpus import Corpus
from spd.datasets import split_csv
from spd.detectors.options import PaDiMOptions
from spd.evaluation import evaluate
from spd.features.extraction import extract
from spd.images.cache import write_cache
from spd.images.options import GeometryOptions
from spd.methods.options import SPDOptions, parse_recipe
from spd.pretrain import pretrain
from studies import runs
from studies.localisation import localisation
from studies.pictures import pictures

RESULTS = Path("results/studies/continued.jsonl")
ARCHITECTURE = "timm:tf_efficientnet_lite0"
STAGES = ("blocks.1", "blocks.2", "blocks.4")  # what PaDiM reads
GEOMETRY = GeometryOptions(resize=96, mode="square")
PADIM = PaDiMOptions(dim=100)
SIZE, CANVAS, SEEDS = 48, 72, 3
MEAN, STD = (0.498,) * 3, (0.502,) * 3  # what lite0 was trained with

COMMON = {
    "batch": 32,
    "steps": 100,
    "optimiser": "sgd",
    "lr": 0.003,  # x batch / 256; 0.01 costs three points of image AU-ROC, 0.03 the features
    "frozen_norm": True,
    "weight_decay": 1e-4,
    "schedule": "cosine",
    "schedule_by": "step",
    "held_out": 0.1,
    "probe_neighbours": 20,
    "log_interval": 25,
    "batch_norm": "global",
}
RECIPES = {
    "simsiam": {"projector": (256, 256, 256), "predictor": 64},
    "simclr": {"projector": (256, 128), "warmup_epochs": 0.2},
    "supervised": {},
}
SPD = {"eta": 0.1}
PAIRS = [  # name, method, SPD's options
    ("SimSiam", "simsiam", {"eta": 0.0}),
    ("SimSiam + SPD", "simsiam", SPD),
    ("SimCLR", "simclr", {"eta": 0.0}),
    ("SimCLR + SPD", "simclr", SPD),
    ("Sup", "supervised", {"eta": 0.0}),
    ("Sup + SPD", "supervised", SPD),
]
GRID = [  # name, method, SPD's options, changes of the recipe; no method: the ImageNet weights as they are
    ("ImageNet weights", None, {}, {}),
    *((*pair, {}) for pair in PAIRS),
]
WHY = [  # the order of their running
    ("SimCLR + SPD, eta 1", "simclr", {"eta": 1.0}, {}),
    ("SimCLR, free BN", "simclr", {"eta": 0.0}, {"frozen_norm": False}),
    ("SimCLR + SPD, free BN", "simclr", SPD, {"frozen_norm": False}),
    ("SimCLR, lr x 3", "simclr", {"eta": 0.0}, {"lr": 0.01}),
    ("SimCLR + SPD, lr x 3", "simclr", SPD, {"lr": 0.01}),
    ("SimCLR + SPD, shared draws", "simclr", {**SPD, "weak_draws": "shared"}, {}),
    ("SimCLR + SPD, large patch", "simclr", SPD, {"local": {"area": (0.02, 0.15)}}),
    (
        "SimCLR + SPD, small sharp patch",
        "simclr",
        SPD,
        {"local": {"area": (0.002, 0.01), "sigma": (0.01, 0.02)}},
    ),
]
RATES = [  # one run each without SPD: how the learning rate was chosen, with rows of the above
    ("SimCLR, lr x 3, free BN", "simclr", {"eta": 0.0}, {"lr": 0.01, "frozen_norm": False}),
    ("SimCLR, lr x 10", "simclr", {"eta": 0.0}, {"lr": 0.03}),
]
RATES_WITH = ("ImageNet weights", "SimCLR", "SimCLR, lr x 3")


def recipe_of(method: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The recipe's values for a method; `local` among the changes is the patch's."""
    changes = dict(changes)
    views = {
        "strong": {"size": SIZE, "scale": (0.3, 1.0)},
        "weak": {"size": SIZE, "scale": (0.9, 1.0), "ratio": (0.95, 1.05), "grayscale": 0.0,
                 "jitter": {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.02, "p": 1.0},
                 "blur": {"sigma": (0.1, 1.0), "p": 0.5}},
        "local": changes.pop("local", {}),
        "mean": MEAN,
        "std": STD,
    }  # fmt: skip
    return {"method": method, **COMMON, **RECIPES[method], "views": views, **changes}


def judged(backbone: Path, folder: Path) -> dict[str, Any]:
    """PaDiM's metrics on the cached tiles, of all stages and of each alone."""
    features = folder / "features.safetensors"
    extract(backbone, folder / "tiles.safetensors", STAGES, features, device="cpu", progress=False)
    found = {}
    for name, stages in (("all", STAGES), *((stage, (stage,)) for stage in STAGES)):
        options = PADIM.model_copy(update={"stages": stages, "dim": PADIM.dim if name == "all" else 20})
        objects = evaluate(
            "padim",
            options,
            folder / "tiles.safetensors",
            features,
            folder / "maps.safetensors",
            progress=False,
        )
        (result,) = objects.values()
        found[name] = {task: result[task] for task in ("classification", "segmentation")}
        if name == "all":
            found["by_defect"] = {k: v["AU-ROC"] for k, v in result["by_defect"].items()}
    return found


def run(images: Corpus, folder: Path, configuration: dict[str, Any], device: str = "cpu") -> dict[str, Any]:
    """Continues the pre-training, then judges it."""
    began = time.monotonic()
    start, backbone = folder / "lite0.safetensors", folder / "backbone.safetensors"
    measured: dict[str, Any] = {}
    if configuration["method"] is None:
        backbone = start
    else:
        recipe = parse_recipe(recipe_of(configuration["method"], configuration["changes"]))
        spd, seed = SPDOptions(**configuration["spd"]), configuration["seed"]
        summary = pretrain(
            images,
            architecture=ARCHITECTURE,
            recipe=recipe,
            spd=spd,
            seed=seed,
            init=start,
            backbone_path=backbone,
            history_path=folder / "history.jsonl",
            checkpoint_path=folder / "checkpoint.pt",
            device=device,
            progress=False,
        )
        measured = {name: value for name, value in summary["last"].items() if name != "step"}
        _, held_out = images.split(recipe.held_out, seed)
        found = localisation(backbone, images, held_out, spd.views(recipe.views), STAGES, seed)
        measured |= {f"localisation_{name}": value for name, value in found.items()}
    return {
        "measured": measured,
        "padim": judged(backbone, folder),
        "seconds": round(time.monotonic() - began, 1),
    }


def told(name: str, method: str | None, spd: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """What a run is told beside its seed and its images."""
    return {
        "name": name,
        "method": method,
        "spd": spd,
        "changes": changes,
        "recipe": recipe_of(method, changes) if method else None,
        "judge": [GEOMETRY.model_dump(mode="json"), PADIM.model_dump(mode="json"), STAGES],
    }


def without_spd(name: str) -> str:
    """The row that a row with SPD is compared with: the same training, or where SPD's own options are
    others, SimCLR."""
    method, _, rest = name.partition(" + SPD")
    names = [row[0] for row in (*GRID, *WHY)]
    return method + rest if method + rest in names else method


def configurations(images: Corpus, seeds: int) -> list[dict[str, Any]]:
    """Every run in the order of running, seed by seed, the question before the reasons, each with its
    `key`."""
    listed = []
    for study, grid in (("grid", GRID), ("why", WHY), ("rates", RATES)):
        for seed in range(seeds):
            for name, method, spd, changes in grid:
                if seed and (method is None or study == "rates"):
                    continue
                identity = {**told(name, method, spd, changes), "seed": seed, "data": images.digest}
                listed.append({**identity, "study": study, "key": runs.key_of(identity)})
    return listed


def main() -> None:
    arguments = runs.options(__doc__.splitlines()[0], SEEDS, RESULTS).parse_args()
    if arguments.report:
        from studies.mechanism_report import report

        report()
        return
    tiles = Path(os.environ.get("SPD_DATA", "")) / "magnetic_tile"
    if not os.environ.get("SPD_DATA") or not tiles.is_dir():
        raise SystemExit("magnetic_tile is not there: set SPD_DATA to the folder that holds it")
    torch.set_num_threads(1)
    images, words = pictures(CANVAS)
    print(words, flush=True)
    waiting = runs.waiting(configurations(images, arguments.seeds), arguments)
    ran_by = {"device": runs.device_name(arguments.device), **runs.code_of(__file__)}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        manifest = split_csv.read(tiles, csv="split_csv/1cls.csv", mask_threshold=127, defect_component=0)
        write_cache(manifest, None, GEOMETRY, folder / "tiles.safetensors", progress=False)
        import_backbone(BackboneOptions(source="lite0"), folder / "lite0.safetensors")
        for configuration in waiting:
            result = run(images, folder, configuration, arguments.device)
            runs.add(arguments.results, {**configuration, "images": words, **ran_by, **result})
            brief = {
                task: round(result["padim"]["all"][task]["AU-ROC"], 3)
                for task in ("classification", "segmentation")
            }
            print(configuration["name"], configuration["seed"], brief, result["seconds"], flush=True)


if __name__ == "__main__":
    main()
