"""Which k images of each class a few-shot run trains on."""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from spd.data.manifest import LABELS, Manifest
from spd.files import atomic_write

COLUMNS = ("object", "shots", "draw", "label", "image")


def draw(pool: Iterable[str], *, object: str, shots: int, draw: int) -> list[str]:
    """`shots` of the images `pool`, sorted: those with the least SHA-256 of `object/shots/draw/image`. (ours)

    A function of its arguments alone: neither the pool's order nor a library's generator matters. Draws are
    independent of one another. Raises ValueError for a pool that is too small.
    """
    pool = list(pool)
    if len(pool) < shots:
        raise ValueError(
            f"object {object}: {shots} images of each class are wanted, the pool has {len(pool)}; "
            "take fewer shots"
        )

    def key(image: str) -> bytes:
        return hashlib.sha256(f"{object}/{shots}/{draw}/{image}".encode()).digest()

    return sorted(sorted(pool, key=key)[:shots])


def write_draws(manifest: Manifest, shots: Sequence[int], draws: int, path: str | os.PathLike[str]) -> None:
    """Writes every draw of every object of a 2cls_fewshot manifest as CSV with the columns `COLUMNS`.

    Only the manifest's training images (VisA's 20 % pool) are drawn from. Raises ValueError for an object
    with fewer than k training images of a class.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name in manifest.objects:
        rows = [row for row in manifest.part([name]) if row.split == "train"]
        for k in shots:
            for number in range(draws):
                for label in LABELS:
                    pool = [row.image for row in rows if row.label == label]
                    try:
                        images = draw(pool, object=name, shots=k, draw=number)
                    except ValueError as error:
                        raise ValueError(f"{error} (class {label})") from None
                    writer.writerows((name, k, number, label, image) for image in images)
    atomic_write(path, text.getvalue())


def read_draws(path: str | os.PathLike[str]) -> dict[tuple[str, int, int], list[str]]:
    """(object, shots, draw) -> images of both classes, from what `write_draws` wrote."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path}: columns are {reader.fieldnames}; expected {', '.join(COLUMNS)}")
        drawn: dict[tuple[str, int, int], list[str]] = {}
        for row in reader:
            key = row["object"], int(row["shots"]), int(row["draw"])
            drawn.setdefault(key, []).append(row["image"])
    return drawn
