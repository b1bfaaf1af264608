"""Real solar cells from the wheel `elpv-dataset` (grey electroluminescence images), its code not imported."""

import hashlib
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from spd.data.manifest import Manifest, make
from spd.data.options import ELPV_NOTICE

TRAIN_SHARE = 0.8


def packaged_root() -> Path:
    """The wheel's data folder, relative to the working folder where it lies below it.

    Raises ValueError that names the extra to install.
    """
    try:
        folder = Path(str(distribution("elpv-dataset").locate_file("elpv_dataset/data")))
    except PackageNotFoundError:
        raise ValueError("the wheel elpv-dataset is not installed; pip install -e '.[demo]'") from None
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def fingerprint() -> str:
    """The wheel's name and version, which fix its images."""
    return f"elpv-dataset {distribution('elpv-dataset').version}"


def read(
    root: str | os.PathLike[str] | None = None,
    setup: str = "1cls",
    *,
    objects: Sequence[str] | None = None,
    mask_threshold: int = 127,
    seed: int = 0,
) -> Manifest:
    """Reads labels.csv: defect probability 0 is normal, 1 is an anomaly, values between are left out (ours).

    Objects are the module types mono and poly. Of each object's normal images 80 % train and 20 % test
    (ours), in the order of SHA-256(seed:image), which depends on no library's random numbers; all anomalies
    test. There are no masks.
    """
    if setup != "1cls":
        raise ValueError(f"setup {setup!r}: elpv is read as 1cls alone")
    root = packaged_root() if root is None else Path(root)
    labels = root / "labels.csv"
    if not labels.is_file():
        raise ValueError(f"{labels}: not found; it is part of the wheel elpv-dataset")
    normal: dict[str, list[str]] = {}
    rows, uncertain = [], []
    for line in labels.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        try:
            image, probability, kind = line.split()
            probability = float(probability)
        except ValueError:
            raise ValueError(f"{labels}: expected `image probability type`, found {line!r}") from None
        if probability == 0:
            normal.setdefault(kind, []).append(image)
        elif probability == 1:
            rows.append((kind, "test", "anomaly", "", image, ""))
        else:
            uncertain.append(image)
    for kind, images in normal.items():
        images.sort(key=lambda image: hashlib.sha256(f"{seed}:{image}".encode()).hexdigest())
        n_train = round(TRAIN_SHARE * len(images))
        rows += [
            (kind, "train" if i < n_train else "test", "normal", "", image, "")
            for i, image in enumerate(images)
        ]
    return make(
        rows,
        root,
        mask_threshold,
        objects=objects,
        where=str(labels),
        left_out=[labels.name, *uncertain],
        reader="elpv",
        setup=setup,
        notice=ELPV_NOTICE,
    )
