"""The images that the study's networks are trained on."""

import os
import tarfile
import tempfile
from pathlib import Path

from demo_data.archives import write_classes
from spd.data import corpus
from spd.data.demo_options import DemoOptions
from spd.data.readers import class_folders
from studies.settings import CORPORA


def data() -> Path | None:
    """The folder SPD_DATA, where it is set and there."""
    folder = Path(os.environ.get("SPD_DATA", ""))
    return folder if os.environ.get("SPD_DATA") and folder.is_dir() else None


def load(name: str, size: int) -> tuple[corpus.Corpus, str] | None:
    """A corpus of `CORPORA`, squashed to `size` pixels, and what it is in words; None where its folder is not
    below SPD_DATA. `generated`: the demo's 1,280 images of 20 classes."""
    if CORPORA[name] is not None:
        folder = (data() or Path("/nowhere")) / CORPORA[name]
        if not folder.is_dir():
            return None
        images = corpus.load(class_folders.read(folder), size)
        return images, f"{len(images):,} photographs of {len(images.classes)} classes (Caltech-101)"
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "classes.tar"
        write_classes(archive, DemoOptions())
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        images = corpus.load(class_folders.read(scratch), size)
    return images, f"{len(images):,} generated images of {len(images.classes)} classes"
