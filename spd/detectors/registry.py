"""Detectors by the name that config.yaml gives them. Imports neither torch nor numba."""

from typing import Any

from spd.detectors.finetuned.options import ClassifierOptions, UNetOptions
from spd.detectors.options import PaDiMOptions, PatchCoreOptions
from spd.options import Options
from spd.registry import Entry, Registry

BOTH = ("classification", "segmentation")

DETECTORS = Registry(
    "detector",
    ("spd.detectors.base:Detector", "spd.detectors.finetuned.base:FineTuned"),
    {
        "padim": Entry(
            "spd.detectors.padim:PaDiM",
            PaDiMOptions,
            "PaDiM",
            "1cls",
            BOTH,
            profiles={
                **{name: {} for name in ("official", "paper", "full")},
                "anomalib": {"epsilon": 0.01001, "blur_border": "mirror"},
            },
        ),
        "patchcore": Entry(
            "spd.detectors.patchcore:PatchCore",
            PatchCoreOptions,
            "PatchCore",
            "1cls",
            BOTH,
            profiles={
                **{name: {} for name in ("official", "paper", "full")},
                "anomalib": {
                    **{"embedding": "avgpool", "projection": "sparse", "greedy_start": "random"},
                    **{"projection_dim": "johnson-lindenstrauss", "reweighting": 9, "squared": False},
                    **{"upsampling": "nearest", "blur_border": "mirror"},
                },
            },
        ),
        "classifier": Entry(
            "spd.detectors.finetuned.classifier:Classifier",
            ClassifierOptions,
            "classifier",
            "2cls",
            ("classification",),
            profiles={"paper": {"batch_norm": "frozen", "precision": "bfloat16"}},
        ),
        "unet": Entry(
            "spd.detectors.finetuned.unet:UNet",
            UNetOptions,
            "U-Net",
            "2cls",
            ("segmentation",),
            profiles={"paper": {"precision": "bfloat16"}},
        ),
    },
)
"""Every detector."""

TWO_CLASS = tuple(name for name, entry in DETECTORS.items() if entry.setup == "2cls")
"""Those that share a row of a 2-class table which names no detector."""


def build(name: str, options: Options | None = None, device: str = "cpu") -> Any:
    """An unfitted 1-class detector. `name`: as in config.yaml; `options`: None for the defaults.

    Raises ValueError for an unknown name, TypeError for another detector's options.
    """
    entry = DETECTORS[name]
    options = entry.options() if options is None else options
    if not isinstance(options, entry.options):
        raise TypeError(f"detector {name!r} takes {entry.options.__name__}, got {type(options).__name__}")
    return entry.load()(options, device)
