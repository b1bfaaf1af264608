"""Settings of the study "when does SPD help?": data alone.

The rule of choice, written down before the first run of this grid: for each method and start (random or
ImageNet weights) the SPD setting whose mean gain over seeds 0 - 9 is largest is chosen, on the photographs.
Gain: image AU-ROC with SPD minus without, paired by seed, averaged over both detectors and `TARGETS`; over
the seeds that all settings of the method have; a setting under which a network could not be judged (it
collapsed) is none to choose. A tie goes to the smaller eta. The choice is then run anew on
seeds 10 - 19, where nothing is chosen any more: that table is the conclusion.
"""

CHOICE_SEEDS = range(10)
"""Seeds to choose on; later ones confirm."""
TARGETS = ("tiles@96", "elpv/mono@128", "elpv/poly@128")
"""What the choice is by, as far as it is there: the real sets that are large enough to tell anything."""

SCALES = {  # a GPU: ten times the steps, a wider network
    "cpu": {"architecture": "resnet10_w16", "times": 1},
    "gpu": {"architecture": "resnet18", "times": 10},
}
CORPORA = {  # name -> where it is below SPD_DATA; none: generated
    "photographs": "caltech101_128px/101_ObjectCategories",
    "generated": None,
}

# fmt: off
WEAK = {
    "scale": (0.9, 1.0), "ratio": (0.95, 1.05), "grayscale": 0.0, "blur": {"sigma": (0.1, 1.0), "p": 0.5},
    "jitter": {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.02, "p": 1.0},
}
STRONG = {
    "scale": (0.5, 1.0), "blur": {"sigma": (0.1, 0.8), "p": 0.2},
    "jitter": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.05},
}
STARTS = {
    None: {  # from scratch: recipes like preset demo's, which these networks and steps can learn from
        "canvas": 48,  # pixels of the images, of which the views are crops
        "stages": ("layer1", "layer2", "layer3"),
        "common": {
            "batch": 64, "steps": 300, "held_out": 0.2, "probe_neighbours": 20, "log_interval": 25,
            "views": {"strong": {"size": 32, **STRONG}, "weak": {"size": 32, **WEAK}},
        },
        "simclr": {"lr": 4.0, "warmup_epochs": 1, "zero_init_residual": False, "projector": (128, 64)},
        "moco": {"schedule_by": "step", "key_momentum": 0.99, "queue": 512, "projector": (128, 64)},
        "simsiam": {"schedule": "constant", "lr": 0.8, "weight_decay": 5e-4, "projector": (128, 128, 128),
                    "predictor": 32},
        "supervised": {"lr": 0.8, "schedule": "cosine", "schedule_by": "step"},
    },
    "lite0": {  # EfficientNet-Lite0's ImageNet weights, continued
        "architecture": "timm:tf_efficientnet_lite0",
        "canvas": 72,
        "stages": ("blocks.1", "blocks.2", "blocks.4"),
        "common": {
            "batch": 32, "steps": 100, "held_out": 0.1, "probe_neighbours": 20, "log_interval": 25,
            "optimiser": "sgd", "weight_decay": 1e-4, "schedule": "cosine", "schedule_by": "step",
            "lr": 0.003,  # x batch / 256; 0.01 costs three points of image AU-ROC, 0.03 the features
            "frozen_norm": True, "batch_norm": "global",  # free statistics cost five points
            "views": {"strong": {"size": 48, "scale": (0.3, 1.0)}, "weak": {"size": 48, **WEAK},
                      "mean": (0.498,) * 3, "std": (0.502,) * 3},  # what lite0 was trained with
        },
        "simclr": {"projector": (256, 128), "warmup_epochs": 0.2},
        "simsiam": {"projector": (256, 256, 256), "predictor": 64},
        "supervised": {},
    },
}
# fmt: on

DETECTORS = {"padim": {"dim": 100}, "patchcore": {"coreset_share": 0.01}}
JUDGES = {  # name -> set -> image sizes in pixels, squashed to a square
    "all": {
        "tiles": (64, 96, 128),
        "elpv": (64, 128),
        "hazelnut_toy": (64, 128),
        "aws_cookie": (64, 128),
        "grid": (64, 128),
        "generated": (64, 128),
    },
    "quick": {"tiles": (96,)},
}
KINDS = {
    **dict.fromkeys(("tiles", "grid", "generated/weave"), "texture"),
    **dict.fromkeys(("elpv/mono", "elpv/poly"), "grid of cells"),
    **dict.fromkeys(("hazelnut_toy", "aws_cookie", "generated/gelcaps", "generated/board"), "object"),
}
GENERATED: dict[str, float] = {}
"""Options of the generated objects that are not the demo's."""

METHODS = {"simsiam": "SimSiam", "moco": "MoCo", "simclr": "SimCLR", "supervised": "Sup"}
SELF_SUPERVISED = ("simsiam", "moco", "simclr")
ETAS = (0.1, 0.3, 1.0, 3.0, 5.0, 10.0, 20.0)
MAIN = {"simsiam": 1.0, "moco": 20.0, "simclr": 20.0}
"""The eta at which parts of the term, patches and corpora are compared: the largest blend's share of a
pilot."""
AREAS = {"small": (0.002, 0.01), "large": (0.02, 0.15)}


def _spd(eta: float, draws: str = "shared", **more) -> dict:
    return {"eta": eta, "weak_draws": draws, **more}


def _variants(method: str) -> list[dict]:
    main = MAIN[method]
    return [
        _spd(0.1, "independent"),  # the poster's
        *(_spd(eta) for eta in sorted({1.0, 5.0, main})),
        _spd(main, "independent"),
        *(_spd(main, cosines=cosines) for cosines in ("plus", "minus")),
        _spd(main, local="cutpaste"),
        *(_spd(main, strengths={"local": {"area": area}}) for area in AREAS.values()),
    ]


NONE = {"eta": 0.0}
Row = tuple[str, str | None, str | None, dict]
GRIDS: dict[str, list[Row]] = {  # corpus, start, method, SPD's options
    "dose": [
        *(("photographs", None, method, NONE) for method in METHODS),
        *(
            ("photographs", None, method, _spd(eta, draws))
            for eta in ETAS
            for draws in ("independent", "shared")
            for method in SELF_SUPERVISED
        ),
        *(
            ("photographs", None, method, _spd(eta, draws, statistics="shared"))
            for eta in (1.0, 20.0)
            for draws in ("independent", "shared")
            for method in SELF_SUPERVISED
        ),
        *(("photographs", None, "supervised", {"eta": eta}) for eta in (0.1, 1.0, 10.0)),
    ],
    "detectors": [
        *(("photographs", None, method, NONE) for method in METHODS),
        *(("photographs", None, method, spd) for method in SELF_SUPERVISED for spd in _variants(method)),
        *(("photographs", None, "supervised", {"eta": eta}) for eta in (0.1, 1.0, 10.0)),
        *(
            ("generated", None, method, spd)
            for method in SELF_SUPERVISED
            for spd in (NONE, _spd(MAIN[method]))
        ),
        *(("generated", None, "supervised", spd) for spd in (NONE, {"eta": 1.0})),
    ],
    "continued": [  # no method: the weights as they are
        ("photographs", "lite0", None, NONE),
        *(("photographs", "lite0", method, NONE) for method in ("simsiam", "simclr", "supervised")),
        ("photographs", "lite0", "simsiam", _spd(1.0)),
        *(("photographs", "lite0", "simclr", _spd(eta)) for eta in (1.0, 20.0)),
        ("photographs", "lite0", "supervised", {"eta": 1.0}),
    ],
}
QUICK: list[Row] = [
    ("photographs", None, "simclr", spd) for spd in (NONE, _spd(20.0), _spd(20.0, "independent"))
]
"""A pilot's largest effect, judged on tiles at 96 pixels alone, and how much of it is the draws."""
