"""What lies in a data set's folder and no row uses: by folder and kind, with the likely reason."""

import os
import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from spd.data.image_files import EXTENSIONS, extension, is_file, is_image, walk

MOST_FOLDERS = 20  # of one kind and reason; more are counted together in the folder above
SPLIT_FILES = ("visa", "split_csv")  # readers of files that name each path
VALIDATION = {"val", "valid", "validation"}
MASK = re.compile(
    r"(?:^|[\W_])(?:masks?|gt|ground_?truths?|annotations?|labels?|segmentations?)(?:$|[\W_])", re.IGNORECASE
)
# What belongs to a folder and never to its data.
NO_DATA = re.compile(r"(?:thumbs\.db|desktop\.ini|(?:readme|licen[sc]e|citation|changelog).*)", re.IGNORECASE)
READ = {
    "mvtec": "read are <object>/train/good/*, <object>/test/<defect>/* and their masks",
    "class_folders": "read are the images directly in train/<class>/ and val/<class>/, or in <class>/ if "
    "there is no train/",
    "visa": "read is what split_csv/<setup>.csv names",
    "split_csv": "read is what the files of `csv` name",
    "elpv": "read is what labels.csv names",
}
MASKS = {
    "mvtec": "looked for is ground_truth/<defect>/<image>.* or <image>_mask.*, one file an image: is the "
    "name right, or is the image missing?",
    "class_folders": "no masks are looked for among class folders",
    "visa": "no row of split_csv/<setup>.csv names them as its mask",
    "split_csv": "no row of the files of `csv` names them as its mask",
}


class Unused(NamedTuple):
    """Files of one kind that no row uses. path: the file, or where there are several their folder with a `/`
    at the end (`./`: the root); files, folders: how many, in how many folders; example: the first of them."""

    path: str
    files: int
    folders: int
    kind: str
    example: str
    reason: str

    def __str__(self) -> str:
        among = f" in {self.folders:,} folders" if self.folders > 1 else ""
        example = f", such as {self.example}" if self.files > 1 else ""
        return f"{self.files:,} {self.kind}{'s' * (self.files > 1)}{among}{example}: {self.reason}"


def unused(
    root: str | os.PathLike[str], used: Collection[str], left_out: Collection[str], reader: str
) -> list[Unused]:
    """Walks a data set's folder once.

    used: paths of images and masks below `root`; left_out: as in `Manifest`; reader: its name. Hidden files,
    READMEs, licences and what systems leave behind (Thumbs.db) are not listed, nor are CSVs where the reader
    takes its paths from CSVs.
    """
    used = set(used)
    with_used = {str(PurePosixPath(path).parent) for path in used}
    groups: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, entry in walk(root, left_out):
        if path in used or NO_DATA.fullmatch(entry.name):
            continue
        if not is_file(entry):
            kind, reason = _no_file(Path(entry.path))
        elif is_image(entry.name):
            kind, reason = "image", _reason(path, with_used, reader)
        elif reader in SPLIT_FILES and entry.name.lower().endswith(".csv"):
            continue
        else:
            kind, reason = f"{extension(entry.name)} file", f"read are {', '.join(EXTENSIONS)}"
        groups[kind, reason][path[: -len(entry.name)]].append(path)
    return sorted(
        Unused(
            files[0] if len(files) == 1 else folder or "./",
            len(files),
            len({path.rpartition("/")[0] for path in files}),
            kind,
            min(files),
            reason,
        )
        for (kind, reason), folders in groups.items()
        for folder, files in _merged(folders).items()
    )


def _no_file(path: Path) -> tuple[str, str]:
    if path.is_symlink():
        return "link", "links to nothing"
    return "special file", "neither a file nor a folder"


def _reason(path: str, with_used: Collection[str], reader: str) -> str:
    """The likely reason why an image is in no row."""
    pure = PurePosixPath(path)
    folders = pure.parts[:-1]
    by_folder = reader in ("mvtec", "class_folders")
    if reader == "class_folders" and folders[:1] == ("val",):
        return (
            "read is val/<class>/ of the classes in train/; sort them by class, or pre-trainings are judged "
            "on images held out of training"
        )
    if by_folder and VALIDATION & {part.lower() for part in folders}:
        return "a part for validation, which this reader makes no row of"
    if reader in MASKS and any(MASK.search(part) for part in (*folders, pure.stem)):
        return f"masks, by their name: {MASKS[reader]}"
    if by_folder and any(str(above) in with_used for above in pure.parent.parents):
        return "in a sub-folder of images: only those directly in the folder itself are read"
    return READ.get(reader, "the reader made no row of them")


def _merged(folders: dict[str, list[str]]) -> dict[str, list[str]]:
    """Few folders (`a/b/`) with their files: while there are more than `MOST_FOLDERS`, the deepest are taken
    together in those above."""
    while len(folders) > MOST_FOLDERS:
        deepest = max(folder.count("/") for folder in folders)
        merged = defaultdict(list)
        for folder, files in folders.items():
            above = folder.split("/")[:-2] if folder.count("/") == deepest else folder.split("/")[:-1]
            merged["".join(f"{part}/" for part in above)] += files
        folders = merged
    return folders
