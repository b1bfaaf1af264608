"""From one entry of `datasets:` to its manifest."""

import os
from pathlib import Path
from typing import Any

from spd.data.fingerprint import archive_fingerprint, folder_fingerprint
from spd.data.limits import MAX_PIXELS
from spd.data.manifest import Manifest
from spd.data.options import DatasetOptions, expand
from spd.data.readers import class_folders, elpv, mvtec, split_csv, visa

READERS = {
    module.__name__.rpartition(".")[2]: module for module in (visa, mvtec, class_folders, split_csv, elpv)
}


LAYOUTS = {
    "visa": "it must hold <object>/Data/ and split_csv/",
    "mvtec": "it must hold <object>/train/good, <object>/test/<defect> and <object>/ground_truth",
    "class_folders": "put the images there as train/<class>/*.JPEG (ImageNet: train/<wnid>/), "
    "or replace `root` by `archive` with its tar of tars and `nested: true` (docs/data.md)",
    "split_csv": "it must hold the files of `csv` and the images they list",
}
"""What a user's folder must hold, by reader; said when the folder is missing."""


def read_dataset(reader: str, root: str | os.PathLike[str] | None, setup: str, **options: Any) -> Manifest:
    """Calls a reader by its name. root may be None for elpv (the installed wheel).

    options: objects, mask_threshold; csv and defect_component for split_csv; seed for elpv.
    Raises ValueError for an unknown reader or a layout that is not the reader's.
    """
    if reader not in READERS:
        raise ValueError(f"reader {reader!r} is unknown; there are {', '.join(READERS)}")
    return READERS[reader].read(root, setup, **options)


def images_root(dataset: DatasetOptions, unpacked: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the images: the user's root, the wheel's data, or `unpacked` for an archive."""
    if dataset.root is not None:
        root = expand(dataset.root, f"datasets: {dataset.name}: root")
        if not root.is_dir():
            raise ValueError(
                f"datasets: {dataset.name}: root: {root}: no such folder; {LAYOUTS[dataset.reader]}"
            )
        return root
    if dataset.reader == "elpv":
        return elpv.packaged_root()
    if unpacked is None:
        raise ValueError(f"datasets: {dataset.name}: comes from an archive, which must be unpacked first")
    return Path(unpacked)


def fingerprint(dataset: DatasetOptions) -> str:
    """What the images were: the archive's SHA-256, the wheel's version, or a hash of the user's folder."""
    if dataset.archive is not None:
        return archive_fingerprint(expand(dataset.archive.file, f"datasets: {dataset.name}: archive: file"))
    if dataset.root is None:
        return elpv.fingerprint()
    root = images_root(dataset)
    return folder_fingerprint(root, dataset.split_files())


def make_manifest(
    dataset: DatasetOptions, setup: str, unpacked: str | os.PathLike[str] | None = None
) -> Manifest:
    """Reads one setup of a data set; `unpacked` is the folder its archive was unpacked to.

    `meta` gains dataset and fingerprint, and where there are any licence, notice, max_pixels other than the
    default, and csv, the files of a folder of yours that name its images.
    """
    options: dict[str, Any] = {"objects": dataset.objects}
    if dataset.mask_threshold is not None:
        options["mask_threshold"] = dataset.mask_threshold
    if dataset.reader == "split_csv":
        if setup not in dataset.csv:
            raise ValueError(f"datasets: {dataset.name}: csv: no file for the setup {setup}")
        options |= {"csv": dataset.lists()[setup], "defect_component": dataset.defect_component}
    if dataset.reader == "elpv":
        options["seed"] = dataset.seed
    manifest = read_dataset(dataset.reader, images_root(dataset, unpacked), setup, **options)
    said = {"licence": dataset.licence, "notice": dataset.notice}
    manifest.meta.update(
        dataset=dataset.name,
        fingerprint=fingerprint(dataset),
        **{key: text for key, text in said.items() if text},
    )
    if dataset.root is not None and dataset.split_files():
        manifest.meta["csv"] = dataset.split_files()
    if dataset.max_pixels != MAX_PIXELS:
        manifest.meta["max_pixels"] = dataset.max_pixels
    return manifest
