"""The images of the studies: real photographs where SPD_DATA has them, generated classes otherwise."""

import os
import tarfile
import tempfile
from pathlib import Path

from spd import corpus
from spd.datasets import class_folders
from spd.datasets.demo.archives import write_classes
from spd.datasets.demo.options import DemoOptions

PHOTOGRAPHS = "caltech101_128px/101_ObjectCategories"


def pictures(size: int) -> tuple[corpus.Corpus, str]:
    """Images squashed to `size` pixels, and what they are in words.

    `$SPD_DATA/caltech101_128px` (3,030 photographs of 101 classes, CC BY 4.0) where it is there, else the
    demo's 1,280 generated images of 20 classes.
    """
    folder = Path(os.environ.get("SPD_DATA", "")) / PHOTOGRAPHS
    if os.environ.get("SPD_DATA") and folder.is_dir():
        images = corpus.load(class_folders.read(folder), size)
        return images, f"{len(images):,} photographs of {len(images.classes)} classes (Caltech-101)"
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "classes.tar"
        write_classes(archive, DemoOptions())
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        images = corpus.load(class_folders.read(scratch), size)
    return images, f"{len(images):,} generated images of {len(images.classes)} classes"
