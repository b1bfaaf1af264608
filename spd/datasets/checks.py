"""What can be wrong with a data set's files, found when the manifest is made and listed all together."""

import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from spd.datasets.manifest import Manifest, Row
from spd.datasets.masks import read_mask

THUMBNAIL = 64  # px
NEAR_DUPLICATE = 0.5  # correlation
PAIRS_LISTED = 20  # per object, strongest first


class Finding(NamedTuple):
    """kind: a short name of what was found; object: whose image it is; paths: as in the manifest."""

    kind: str
    object: str
    paths: tuple[str, ...]
    detail: str = ""

    def __str__(self) -> str:
        paths = " = ".join(self.paths) or self.object
        return f"{self.kind}: {paths}" + (f" ({self.detail})" if self.detail else "")


class DatasetError(ValueError):
    """A data set's files are not fit for use; the message lists every problem."""


@dataclass(frozen=True)
class Report:
    """problems: results would be wrong; warnings: to be looked at."""

    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...]

    def text(self) -> str:
        """Every finding on a line of its own, problems first; '' where there is none."""
        lines = []
        for title, findings in (("problem", self.problems), ("warning", self.warnings)):
            if findings:
                lines.append(f"{len(findings)} {title}{'s' * (len(findings) > 1)}:")
                lines += [f"  {finding}" for finding in findings]
        return "\n".join(lines)

    def require_sound(self, name: str) -> None:
        """Raises DatasetError that lists all problems, if there are any. `name` says of what."""
        if self.problems:
            raise DatasetError(f"{name}: {Report(self.problems, ()).text()}")


class _Image(NamedTuple):
    """What one row's files showed."""

    findings: list[Finding]
    digest: bytes
    thumbnail: np.ndarray | None  # float32 (64 * 64,)


def check(manifest: Manifest, *, workers: int | None = None, progress: bool = True) -> Report:
    """Decodes every image and mask once and compares the images across the splits.

    Problems: `missing` files; `unreadable` (damaged or truncated) images and masks; `mask size` other than
    the image's; `empty mask` of an anomaly; `marked normal` (a mask with anomalous pixels on a normal image);
    `exact duplicate` (the same bytes in train and test, or labelled both normal and anomalous).
    Warnings: `no mask` (an anomaly without one, though others of its object have one: the object's
    segmentation is then not measured); `near duplicates` (how many pairs of an object lie across train and
    test), followed by the 20 strongest as `near duplicate`; by 3 where more than half of the test images are
    concerned, which aligned parts that look alike cause.

    Near duplicates (ours) are images of an object whose 64 px grey thumbnails correlate above 0.5, after a
    high-pass (sigma 1), division by the local contrast (sigma 4) and, where the object has enough images to
    tell, removal of what all its images share. This finds the same part under another exposure, and parts so
    alike that testing on one after training on the other proves little; it does not find rotated copies.

    workers: threads (None: one per usable core; decoding runs outside the interpreter's lock).
    """
    rows = list(manifest)
    compared = _objects_in_both_splits(rows)
    workers = workers or len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(workers) as pool:
        seen = list(
            tqdm(
                _bounded_map(
                    pool, lambda row: _look_at(manifest, row, row.object in compared), rows, 8 * workers
                ),
                total=len(rows),
                desc=f"check {manifest.meta.get('dataset', manifest.root.name)}",
                unit="image",
                disable=not progress,
            )
        )
    problems = [finding for image in seen for finding in image.findings]
    problems += _exact_duplicates(rows, seen)
    warnings = _missing_masks(rows) + [
        pair for name in sorted(compared) for pair in _near_duplicates(name, rows, seen)
    ]
    return Report(tuple(problems), tuple(warnings))


def _objects_in_both_splits(rows: Sequence[Row]) -> set[str]:
    return {r.object for r in rows if r.split == "train"} & {r.object for r in rows if r.split == "test"}


def _bounded_map(pool: ThreadPoolExecutor, function, items: Sequence, block: int) -> Iterator:
    for start in range(0, len(items), block):
        yield from pool.map(function, items[start : start + block])


def _look_at(manifest: Manifest, row: Row, with_thumbnail: bool) -> _Image:
    findings: list[Finding] = []
    size, digest, thumbnail = None, b"", None
    try:
        data = manifest.image_path(row).read_bytes()
        digest = hashlib.sha256(data).digest()
        size, thumbnail = _decode(data, with_thumbnail)
    except FileNotFoundError:
        findings.append(Finding("missing", row.object, (row.image,)))
    except Exception as error:  # Pillow raises whatever the damage leads to
        findings.append(Finding("unreadable", row.object, (row.image,), _reason(error)))
    if row.mask:
        findings += _look_at_mask(manifest, row, size)
    return _Image(findings, digest, thumbnail)


def _decode(data: bytes, with_thumbnail: bool) -> tuple[tuple[int, int], np.ndarray | None]:
    with Image.open(io.BytesIO(data)) as image:
        size = image.size
        if image.mode in ("I", "F"):
            raise ValueError("32-bit pixels have no defined range; convert it to 8- or 16-bit")
        # JPEG: all data are read, but only the coefficients are decoded that a small image needs.
        image.draft("L", (THUMBNAIL, THUMBNAIL))
        image.load()
        return size, _thumbnail(image) if with_thumbnail else None


def _thumbnail(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    grey = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, reducing_gap=2.0)
    pixels = np.asarray(grey, np.float32)
    detail = pixels - cv2.GaussianBlur(pixels, (0, 0), 1)
    # One strong edge must not decide the correlation; + 1 grey level squared keeps flat areas flat.
    detail /= np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 4) + 1)
    return detail.ravel()


def _look_at_mask(manifest: Manifest, row: Row, size: tuple[int, int] | None) -> Iterable[Finding]:
    try:
        mask = read_mask(manifest.mask_path(row), manifest.mask_threshold)
    except FileNotFoundError:
        yield Finding("missing", row.object, (row.mask,), f"mask of {row.image}")
        return
    except Exception as error:
        yield Finding("unreadable", row.object, (row.mask,), _reason(error))
        return
    width, height = mask.shape[1], mask.shape[0]
    if size is not None and (width, height) != size:
        detail = f"mask is {width} x {height} pixels, its image {size[0]} x {size[1]}"
        yield Finding("mask size", row.object, (row.mask, row.image), detail)
    if row.label == "anomaly" and not mask.any():
        yield Finding("empty mask", row.object, (row.mask,), f"no pixel above {manifest.mask_threshold}")
    if row.label == "normal" and mask.any():
        yield Finding("marked normal", row.object, (row.mask,), f"{int(mask.sum())} pixels of a normal image")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _exact_duplicates(rows: Sequence[Row], seen: Sequence[_Image]) -> list[Finding]:
    same = defaultdict(list)
    for row, image in zip(rows, seen, strict=True):
        if image.digest:
            same[image.digest].append(row)
    findings = []
    for group in same.values():
        splits, labels = {r.split for r in group}, {r.label for r in group}
        reason = [" and ".join(sorted(words)) for words in (splits, labels) if len(words) > 1]
        if reason:
            paths = tuple(r.image for r in group)
            findings.append(Finding("exact duplicate", group[0].object, paths, ", ".join(reason)))
    return findings


def _missing_masks(rows: Sequence[Row]) -> list[Finding]:
    with_mask = {r.object for r in rows if r.label == "anomaly" and r.mask}
    return [
        Finding("no mask", r.object, (r.image,), "others of its object have one")
        for r in rows
        if r.label == "anomaly" and not r.mask and r.object in with_mask
    ]


def _near_duplicates(name: str, rows: Sequence[Row], seen: Sequence[_Image]) -> list[Finding]:
    chosen = [
        (row, image)
        for row, image in zip(rows, seen, strict=True)
        if row.object == name and image.thumbnail is not None
    ]
    if not chosen:
        return []
    vectors = _standardised(np.stack([image.thumbnail for _, image in chosen]))  # (N, 4096)
    train = np.array([row.split == "train" for row, _ in chosen])
    indices, tests = np.flatnonzero(train), np.flatnonzero(~train)
    digests = np.array([image.digest for _, image in chosen])
    pairs, affected = 0, 0
    strongest: list[tuple[float, int, int]] = []
    for start in range(0, len(tests), 1024):
        block = tests[start : start + 1024]
        correlation = vectors[block] @ vectors[indices].T  # (block, train)
        correlation[digests[block][:, None] == digests[indices]] = 0  # exact duplicates are listed as such
        above = correlation > NEAR_DUPLICATE
        pairs += int(above.sum())
        affected += int(above.any(axis=1).sum())
        # Of perhaps millions of pairs only the few that are listed are looked at one by one.
        best = np.argpartition(-correlation, min(PAIRS_LISTED, correlation.size - 1), axis=None)[
            :PAIRS_LISTED
        ]
        for i, j in zip(*np.unravel_index(best, correlation.shape), strict=True):
            if above[i, j]:
                strongest.append((-float(correlation[i, j]), int(indices[j]), int(block[i])))
    if not pairs:
        return []
    detail = f"{pairs:,} pairs across train and test, {affected:,} of {len(tests):,} test images"
    listed = PAIRS_LISTED
    if affected > len(tests) / 2:
        detail += "; so many come from parts that look alike and lie aligned, look at a few"
        listed = 3
    return [Finding("near duplicates", name, (), detail)] + [
        Finding("near duplicate", name, (chosen[a][0].image, chosen[b][0].image), f"correlation {-minus:.2f}")
        for minus, a, b in sorted(strongest)[:listed]
    ]


def _standardised(vectors: np.ndarray) -> np.ndarray:
    # What all images of an aligned part share says nothing; among few images it may be the duplicates' own.
    if len(vectors) >= 32:
        vectors = vectors - vectors.mean(axis=0)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(norm, 1e-6)
