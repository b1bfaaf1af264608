"""One entry of `datasets:` in config.yaml."""

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from spd.data.limits import MAX_PIXELS, RESERVED_OBJECTS
from spd.options import Options

# `mean` is the row of averages in every table, `all` the job that handles all objects; jobs have folders.
Setup = Literal["1cls", "2cls_highshot", "2cls_fewshot"]

ELPV_NOTICE = (
    "The solar-cell images (elpv-dataset; Buerhop-Lutz et al. 2018, Deitsch et al. 2019 and 2021) are "
    "licensed under CC BY-NC-SA 4.0: use them for non-commercial purposes only, and cite these papers."
)
"""Said whenever these images are used, as their licence asks."""


class UnpackLimits(Options):
    """Bounds on what an archive may unpack to; more is refused before it fills the disk."""

    max_files: int | None = Field(None, ge=1)
    """Largest number of files and folders; null: 200,000, or 1,500,000 for a nested archive. VisA has about
    12,000, MVTec-AD about 6,600, ImageNet 1,281,167 in 1,000 folders."""

    max_bytes: int | None = Field(None, ge=1)
    """Largest sum of the unpacked sizes in bytes; null: 50,000,000,000, or 250,000,000,000 for a nested
    archive. ImageNet has about 148,000,000,000."""


class ArchiveOptions(Options):
    """Where an archive lies, where it can be had, and what it must be."""

    file: str = Field(min_length=1)
    """Path of the archive, relative to the working folder; `~` and environment variables such as $IMAGENET
    are expanded. A file placed there by hand is accepted if its hash is right."""

    url: str | None = None
    """http(s) address to download from; null where the archive is made here or comes from you."""

    bytes: int | None = Field(None, ge=1)
    """Exact size."""

    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """SHA-256; required with `url`."""

    nested: bool = False
    """The archive holds one tar a class (ImageNet's ILSVRC2012_img_train.tar): each becomes a folder."""

    unpack_to: str | None = Field(None, min_length=1)
    """Folder for what is unpacked, which gets a folder of the data set's key in it; environment variables are
    expanded; null: `unpacked/` next to the archive. For an archive on a share that cannot be written to."""

    limits: UnpackLimits = UnpackLimits()
    """Bounds on what it may unpack to."""

    def bounds(self) -> tuple[int, int]:
        """Largest number of files and of unpacked bytes."""
        files, size = (1_500_000, 250_000_000_000) if self.nested else (200_000, 50_000_000_000)
        return self.limits.max_files or files, self.limits.max_bytes or size

    @property
    def generated(self) -> bool:
        """Whether this project draws the images itself (presets demo and tiny)."""
        return self.file.startswith("data/demo/")

    @model_validator(mode="after")
    def _hash_with_url(self) -> "ArchiveOptions":
        if self.url is not None and self.sha256 is None:
            raise ValueError("sha256 is required where url is given")
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise ValueError("url must begin with http:// or https://")
        return self


class DatasetOptions(Options):
    """A data set: exactly one of `archive`, `root` or the reader elpv says where its images come from."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name in tables and paths."""

    reader: Literal["visa", "mvtec", "class_folders", "split_csv", "elpv"]
    """Layout: VisA's, MVTec-AD's, class folders, a CSV in VisA's split format, or the wheel elpv-dataset."""

    archive: ArchiveOptions | None = None
    """The archive that is unpacked, for published and generated data sets."""

    root: str | None = Field(None, min_length=1)
    """A folder of yours; `~` and environment variables such as $SPD_DATA are expanded."""

    csv: dict[Setup, str] = Field(default_factory=dict)
    """For split_csv: the CSV of each setup, relative to the root; `~` and variables are expanded."""

    defect_component: int | None = None
    """For split_csv without a column `defect`: which part of the path it is (0 = first); null: none."""

    setups: list[Setup] = Field(["1cls"], min_length=1)
    """Setups to evaluate."""

    objects: list[str] | None = None
    """Objects to evaluate; null: all."""

    mask_threshold: int | None = Field(None, ge=0, le=254)
    """A mask pixel above it is anomalous: 0 for class ids, 127 for grey masks; null: 0 for visa, else 127."""

    max_pixels: int = Field(MAX_PIXELS, ge=1)
    """Pixels of an image above which it is refused as a decompression bomb; raise it for line scans that are
    meant to be so large. Decoding takes 3 to 9 bytes of memory a pixel."""

    seed: int = Field(0, ge=0)
    """For elpv: seed of its 80/20 split of the normal images."""

    licence: str = ""
    """Licence of the images, shown in dataset_overview."""

    notice: str = ""
    """A sentence printed whenever the data set is used; the reader elpv brings its own."""

    checks: Literal["stop", "warn"] = "stop"
    """What problems of the files do (docs/data.md): `stop` the run, or be noted as accepted. Files that are
    missing or unreadable and masks of another size always stop it, since nothing can be made of them."""

    accept: list[str] = Field(default_factory=list)
    """Paths, as the checks list them, whose problems are known and accepted."""

    facts: Literal["visa", "mvtec"] | None = None
    """Published counts that must be met exactly; null: none are known."""

    def lists(self) -> dict[Setup, Path]:
        """`csv` with `~` and variables expanded. Raises ValueError where one is not set."""
        return {at: expand(path, f"datasets: {self.name}: csv: {at}") for at, path in self.csv.items()}

    def split_files(self) -> list[str]:
        """The CSVs that name the images, relative to the root unless absolute: of `csv`, or of VisA's layout;
        else none. Raises ValueError as `lists` does."""
        if self.reader == "visa":
            return [f"split_csv/{setup}.csv" for setup in self.setups]
        return [str(path) for path in self.lists().values()]

    @model_validator(mode="before")
    @classmethod
    def _notice_of_elpv(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("reader") == "elpv" and not values.get("notice"):
            return {**values, "notice": ELPV_NOTICE}
        return values

    @field_validator("objects")
    @classmethod
    def _objects_become_folders(cls, objects: list[str] | None) -> list[str] | None:
        for name in objects or []:
            if name in RESERVED_OBJECTS or not name.isprintable() or len(name) > 100:
                raise ValueError(
                    f"{name!r:.120} cannot be an object's name: at most 100 printable characters, none of "
                    f"{', '.join(map(repr, RESERVED_OBJECTS))}"
                )
        return objects

    @model_validator(mode="after")
    def _one_source(self) -> "DatasetOptions":
        if self.reader == "elpv":
            if self.archive is not None:
                raise ValueError(
                    f"{self.name}: the reader elpv takes its images from the installed wheel, not an archive"
                )
        elif (self.archive is None) == (self.root is None):
            raise ValueError(f"{self.name}: give exactly one of archive and root")
        if self.reader == "split_csv":
            missing = [s for s in self.setups if s not in self.csv]
            if missing:
                raise ValueError(f"{self.name}: csv lacks {', '.join(missing)}")
        elif self.csv:
            raise ValueError(f"{self.name}: csv is for the reader split_csv alone")
        if self.reader in ("mvtec", "elpv") and self.setups != ["1cls"]:
            raise ValueError(f"{self.name}: the reader {self.reader} has the setup 1cls alone")
        return self


def expand(path: str, key: str) -> Path:
    """Expands ~ and environment variables in a path of the config: every one of them comes through here.

    Raises ValueError that names the config key, and the variable that is not set or the user who is unknown.
    """
    expanded = located(path)
    unset = re.search(r"\$\{?([A-Za-z_]\w*)", expanded)
    if unset:
        raise ValueError(
            f"{key}: {path}: the environment variable {unset[1]} is not set; export {unset[1]}=/your/folder"
        )
    if expanded.startswith("~"):
        raise ValueError(f"{key}: {path}: there is no such home folder; a file of that name is ./{path}")
    return Path(expanded)


def located(path: str) -> str:
    """`expand` for comparing paths that nothing may ask for: what cannot be expanded stays as it is."""
    return os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111
