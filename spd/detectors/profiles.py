"""The named profiles: every choice in which the originals, anomalib and our two settings differ.

Plain data: `config.yaml` spells them out, and a test compares the two. Where a key is left out, the
default of the options model holds. `geometry` is applied to images by `spd.data`; masks follow it with
`nearest`.

official  xiahaifeng's PaDiM, the authors' PatchCore (sources in docs/detectors.md).
anomalib  anomalib 2.7 (its backbone weights differ too: they are a matter of `backbones`), but for what
          `DEVIATIONS` says.
paper     what stands beside published numbers. The paper names no geometry, width or coreset, so all of it
          is ours: 256 -> 224 crop, coreset 10 %, one geometry for both detectors so that they share features.
          Of 2-class detectors the only one.
full      as paper, but the whole image at 256 x 256: the crop throws away defects at the border. Ours.
"""

import functools
from collections.abc import Mapping
from typing import Any

from spd.data.geometry_options import GeometryOptions
from spd.detectors.finetuned.options import ClassifierOptions, UNetOptions
from spd.detectors.options import PaDiMOptions, PatchCoreOptions

_CROPPED = {"resize": 256, "mode": "short", "crop": 224, "interpolation": "bilinear", "antialias": True}
_WHOLE = {"resize": 256, "mode": "square", "crop": None, "interpolation": "bilinear", "antialias": True}

_PADIM = {
    "dim": 550,
    "channel_seed": 1024,
    "epsilon": 0.01,
    "upsampling": "bilinear",
    "blur_sigma": 4.0,
    "blur_border": "reflect",
    "image_score": "map_max",
}
_PATCHCORE = {
    "patch_size": 3,
    "embedding": "official",
    "stage_dim": 1024,
    "dim": 1024,
    "projection": "gaussian",
    "projection_dim": 128,
    "coreset_share": 0.1,
    "greedy_start": "mean_of_10",
    "neighbours": 1,
    "reweighting": 0,
    "squared": True,
    "upsampling": "bilinear",
    "blur_sigma": 4.0,
    "blur_border": "reflect",
}

_TUNED = {
    "batch": 8,
    "flip": 0.5,
    "optimiser": "adamw",
    "lr": 3e-4,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "epochs": 20,
    "min_steps": 200,
    "precision": "bfloat16",
}
_LARGE = {**_WHOLE, "resize": 800}

PROFILES: dict[str, dict[str, dict[str, dict]]] = {
    "padim": {
        "official": {"geometry": {**_CROPPED, "interpolation": "lanczos"}, "options": _PADIM},
        "anomalib": {
            "geometry": _WHOLE,
            "options": {**_PADIM, "epsilon": 0.01001, "blur_border": "mirror"},
        },
        "paper": {"geometry": _CROPPED, "options": _PADIM},
        "full": {"geometry": _WHOLE, "options": _PADIM},
    },
    "patchcore": {
        "official": {"geometry": _CROPPED, "options": _PATCHCORE},
        "anomalib": {
            "geometry": _WHOLE,
            "options": {
                **_PATCHCORE,
                "embedding": "avgpool",
                "projection": "sparse",
                "projection_dim": "johnson-lindenstrauss",
                "projection_eps": 0.9,
                "greedy_start": "random",
                "reweighting": 9,
                "squared": False,
                "upsampling": "nearest",
                "blur_border": "mirror",
            },
        },
        "paper": {"geometry": _CROPPED, "options": _PATCHCORE},
        "full": {"geometry": _WHOLE, "options": _PATCHCORE},
    },
    "classifier": {
        "paper": {"geometry": _LARGE, "options": {**_TUNED, "batch_norm": "frozen", "gamma": 0}},
    },
    "unet": {
        "paper": {"geometry": _LARGE, "options": {**_TUNED, "batch_norm": "batch", "gamma": 2}},
    },
}

DEVIATIONS = {
    "anomalib": "Profile anomalib is not anomalib in two things: images are resized to 8 bits where anomalib "
    "resizes in float (median difference of maps 0.2 to 2 %, of an image's score up to 21 %), and where the "
    "sparse projection would be wider than the patch (152 to 301 channels, say) there is none.",
}
"""What a profile that bears the name of other code leaves out of it."""

_MODELS = {
    "padim": PaDiMOptions,
    "patchcore": PatchCoreOptions,
    "classifier": ClassifierOptions,
    "unet": UNetOptions,
}
SAME_NUMBERS = ("solver", "search", "filter", "memory_gib")
"""Options that say how a number is computed; the number is the same to rounding."""


def overlay(
    detector: str, profile: str, options: Mapping[str, Any], geometry: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """What was laid over a profile of `PROFILES`: key -> (value used, the profile's own).

    detector: as in config.yaml; options, geometry: those used, as JSON has them. Empty for a profile of
    another name: it means what its config says. `SAME_NUMBERS` are left out.
    """
    used = {**options, **geometry}
    return {
        key: (used[key], own)
        for key, own in _stated(detector, profile).items()
        if key in used and used[key] != own and key not in SAME_NUMBERS
    }


@functools.cache
def _stated(detector: str, profile: str) -> dict[str, Any]:
    stated = PROFILES.get(detector, {}).get(profile)
    if stated is None:
        return {}
    options = _MODELS[detector](**stated["options"]).model_dump(mode="json")
    return {**options, **GeometryOptions(**stated["geometry"]).model_dump(mode="json")}
