"""The named profiles: every choice in which the originals, anomalib and our two settings differ.

Plain data: `config.yaml` spells them out, and a test compares the two. Where a key is left out, the
default of the options model holds. `geometry` is applied to images by `spd.images`; masks follow it with
`nearest`.

official  xiahaifeng's PaDiM, the authors' PatchCore (sources in docs/detectors.md).
anomalib  anomalib 2.7 (its backbone weights differ too: they are a matter of `backbones`).
paper     what SPD most likely ran, to stand beside published numbers; the paper does not say, so all of it
is ours:
          256 -> 224 crop, coreset 10 %, one geometry for both detectors so that they share features.
full      as paper, but the whole image at 256 x 256: the crop throws away defects at the border. Ours.
"""

_CROPPED = {"resize": 256, "mode": "short", "crop": 224, "interpolation": "bilinear", "antialias": True}
_WHOLE = {"resize": 256, "mode": "square", "crop": None, "interpolation": "bilinear", "antialias": True}

_PADIM = {
    "dim": 550,
    "channel_seed": 1024,
    "epsilon": 0.01,
    "extra_epsilon": 0.0,
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

PROFILES: dict[str, dict[str, dict[str, dict]]] = {
    "padim": {
        "official": {"geometry": {**_CROPPED, "interpolation": "lanczos"}, "options": _PADIM},
        "anomalib": {
            "geometry": _WHOLE,
            "options": {**_PADIM, "extra_epsilon": 1e-5, "blur_border": "mirror"},
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
}
