"""Detectors by the name that config.yaml gives them."""

from spd.detectors.options import PaDiMOptions, PatchCoreOptions

OPTIONS = {"padim": PaDiMOptions, "patchcore": PatchCoreOptions}


def build(name: str, options=None, device: str = "cpu"):
    """An unfitted detector. `name`: padim | patchcore; `options`: its options model, or None for the
    defaults.

    Raises ValueError for another name, TypeError for another detector's options.
    """
    if name not in OPTIONS:
        raise ValueError(f"unknown detector {name!r}; known: {', '.join(OPTIONS)}")
    options = OPTIONS[name]() if options is None else options
    if not isinstance(options, OPTIONS[name]):
        raise TypeError(f"detector {name!r} takes {OPTIONS[name].__name__}, got {type(options).__name__}")
    if name == "padim":
        from spd.detectors.padim import PaDiM

        return PaDiM(options, device)
    from spd.detectors.patchcore import PatchCore

    return PatchCore(options, device)
