"""What can be wrong with a data set's files, found when the manifest is made and listed all together."""

import difflib
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

import cv2
import numpy as np

from spd.data.examine import MISSING, UPRIGHT, Examined, ImageFile, examine, objects_in_both_splits
from spd.data.manifest import FEWEST, Manifest, Row

NEAR_DUPLICATE = 0.5  # correlation
PAIRS_LISTED = 20  # per object, strongest first
MOST_COMPARED = 20_000  # paths, for a hint
MOST_MARKED = 0.5  # of an image; defects are small (ours)
FEW_BITS = 14  # of 16; what uses no more leaves a quarter of the grey levels (ours)
NORMAL = {"good", "ok", "okay", "normal", "pass", "passed", "nodefect", "defectfree", "healthy"}
"""What people call the folder of normal images: letters alone, in lower case."""
FATAL = ("missing", "unreadable", "mask size")
"""Problems that stop the next stage in any case, so `accept` does not let them through."""


ALPHA = "; its transparency shows something, and is ignored: draw the mask in grey"


class Finding(NamedTuple):
    """kind: a short name of what was found; object: whose image it is; paths: as in the manifest."""

    kind: str
    object: str
    paths: tuple[str, ...]
    detail: str = ""

    def named_by(self, path: str) -> bool:
        """Whether a path of `accept` means this finding."""
        path = path.rstrip("/")
        below = self.kind == "unused" and any(own.startswith(f"{path}/") for own in self.paths)
        return below or path in [own.rstrip("/") for own in self.paths]

    def __str__(self) -> str:
        paths = " = ".join(self.paths) or self.object
        return f"{self.kind}: {paths}" + (f" ({self.detail})" if self.detail else "")


class DatasetError(ValueError):
    """A data set's files are not fit for use; the message lists every problem."""


@dataclass(frozen=True)
class Report:
    """problems: results would be wrong; accepted: problems that the config accepts; warnings: to be looked
    at."""

    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    accepted: tuple[Finding, ...] = ()

    def text(self) -> str:
        """Every finding on a line of its own, problems first; '' where there is none."""
        lines = []
        titles = ("problem", self.problems), ("accepted problem", self.accepted), ("warning", self.warnings)
        for title, findings in titles:
            if findings:
                lines.append(f"{len(findings)} {title}{'s' * (len(findings) > 1)}:")
                lines += [f"  {finding}" for finding in findings]
        return "\n".join(lines)

    def accepting(self, checks: Literal["stop", "warn"], accept: Sequence[str]) -> "Report":
        """With the findings that a data set's keys `checks` and `accept` tolerate moved to `accepted`.

        `warn` tolerates all problems but `FATAL` ones, a path in `accept` those problems and warnings that
        name it; a folder also what is unused below it. A path in `accept` that no finding names becomes the
        warning `nothing to accept`.
        """
        idle = [
            Finding("nothing to accept", "", (path,), "`accept` names it, and no finding of this setup does")
            for path in dict.fromkeys(accept)
            if not any(finding.named_by(path) for finding in self.problems + self.warnings)
        ]

        def known(finding: Finding) -> bool:
            return any(finding.named_by(path) for path in accept)

        tolerated = [p for p in self.problems if p.kind not in FATAL and (checks == "warn" or known(p))]
        tolerated += [w for w in self.warnings if known(w)]
        return Report(
            tuple(p for p in self.problems if p not in tolerated),
            tuple(w for w in self.warnings if w not in tolerated) + tuple(idle),
            self.accepted + tuple(tolerated),
        )

    def let_through(self) -> str:
        """The accepted findings counted by kind, with their objects, in one line; '' where there is none.
        Files that no row uses are not among them: no number hangs on these."""
        objects = defaultdict(list)
        for finding in self.accepted:
            if finding.kind == "unused":
                continue
            duplicate = finding.kind == "exact duplicate"
            objects[f"{finding.kind} ({finding.detail})" if duplicate else finding.kind].append(
                finding.object
            )
        return "; ".join(
            f"{len(found)} {kind} in {', '.join(sorted(set(found)))}" for kind, found in objects.items()
        )

    def counts(self) -> dict[str, int]:
        """Findings that stop nothing, accepted or warned of, by kind; a list of pairs counts once."""
        kinds = Counter(finding.kind for finding in self.warnings + self.accepted)
        return {kind: count for kind, count in sorted(kinds.items()) if kind != "near duplicate"}

    def require_sound(self, name: str, key: str = "datasets.<name>") -> None:
        """Raises DatasetError that lists all problems, if there are any, and the way out.

        name: of what; key: the data set's place in config.yaml.
        """
        if not self.problems:
            return
        text = f"{name}: {Report(self.problems, ()).text()}"
        ways = []
        if any(problem.kind not in FATAL for problem in self.problems):
            ways.append(
                f"mend the files, or accept what is known: list paths under `{key}.accept`, "
                f"or all of it with `{key}.checks: warn`"
            )
        if any(problem.kind in FATAL for problem in self.problems):
            ways.append(f"{', '.join(FATAL)}: mend the files or leave them out; these cannot be accepted")
        raise DatasetError("\n".join([text, *ways]))


def require_listed(accept: Sequence[str], examined: Examined, key: str = "datasets.<name>") -> None:
    """Raises DatasetError with each path of `accept` that is no image or mask of the data set, no folder of
    them and nothing unused, and the nearest that is.

    examined: the files of all setups; key: the data set's place in config.yaml.
    """
    files = examined.images.keys() | examined.masks.keys() | {rest.path for rest in examined.unused}
    lines = [
        f"  {path}{_nearest(path, files)}"
        for path in accept
        if path not in files and not any(file.startswith(f"{path.rstrip('/')}/") for file in files)
    ]
    if lines:
        head = f"{key}.accept: no image or mask in use has the path"
        raise DatasetError("\n".join([head, *lines, "give paths as the checks list them, below the root"]))


def _nearest(path: str, files: Collection[str]) -> str:
    # Comparing with a million paths takes a minute: those with the same file name or folder are tried first.
    pure = PurePosixPath(path)
    alike = [f for f in files if f.endswith(f"/{pure.name}") or f.startswith(f"{pure.parent}/")]
    among = alike if alike or len(files) > MOST_COMPARED else files
    found = difflib.get_close_matches(path, sorted(among)[:MOST_COMPARED], n=1, cutoff=0.5)
    return f" (did you mean {found[0]}?)" if found else ""


def check(
    manifest: Manifest,
    examined: Examined | None = None,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> Report:
    """Judges what the files of a manifest show, and compares the images across its split.

    examined: what `examine` saw of these files, for all setups at once (None: looks now, with `workers`
    threads).

    Problems: `missing` files; `unreadable` (damaged or truncated) images and masks; `mask size` other than
    the image's; `empty mask` of an anomaly; `marked normal` (a mask with anomalous pixels on a normal image);
    `exact duplicate` (the same bytes in train and test, or labelled both normal and anomalous); `normal as
    anomaly` (a defect that is called `Good`, `OK`, ...).
    Warnings: `unused` (files in the data set's folder that no row uses); `too few images` (an object that
    1-class tables are made without); `one class` (class folders with
    nothing to tell apart); `no mask` (an anomaly without one, though others of its object have one: the
    object's segmentation is then not measured); `large mask` (more than half of an image or all of its border
    is marked, as where a mask is inverted); `turned` (EXIF asks viewers to turn images, and not all of an
    object's alike or beside masks); `few grey levels` (16-bit files whose top two bits are empty); `near
    duplicates` (how many pairs of an object lie across train and test), followed by the 20 strongest as `near
    duplicate`; by 3 where more than half of the test images are concerned, which aligned parts that look
    alike cause.

    Near duplicates (ours) are images of an object whose 64 px grey thumbnails correlate above 0.5, after a
    high-pass (sigma 1), division by the local contrast (sigma 4) and, where the object has enough images to
    tell, removal of what all its images share. This finds the same part under another exposure, and parts so
    alike that testing on one after training on the other proves little; it does not find rotated copies.
    """
    examined = examined or examine([manifest], workers=workers, progress=progress)
    if examined.mask_threshold != manifest.mask_threshold:
        raise ValueError("the files were examined with another mask threshold; examine them again")
    rows = list(manifest)
    seen = [examined.images[row.image] for row in rows]
    problems = [
        finding for row, image in zip(rows, seen, strict=True) for finding in _of_files(row, image, examined)
    ]
    problems += _normal_as_anomaly(rows)
    duplicates = _exact_duplicates(rows, seen)
    warnings = [Finding("unused", "", (rest.path,), str(rest)) for rest in examined.unused]
    # Of a corpus, an image that it holds twice does not make a backbone wrong.
    (warnings if manifest.meta.get("reader") == "class_folders" else problems).extend(duplicates)
    warnings += _one_class(manifest, rows)
    warnings += _missing_masks(rows)
    warnings += _too_few_images(manifest)
    warnings += _large_masks(rows, examined)
    warnings += _turned(rows, examined)
    warnings += _few_levels(rows, examined)
    warnings += [
        pair
        for name in sorted(objects_in_both_splits(manifest))
        for pair in _near_duplicates(name, rows, seen, examined.thumbnails)
    ]
    return Report(tuple(problems), tuple(warnings))


def _of_files(row: Row, image: ImageFile, examined: Examined) -> Iterator[Finding]:
    if image.reason == MISSING:
        yield Finding("missing", row.object, (row.image,))
    elif image.reason:
        yield Finding("unreadable", row.object, (row.image,), image.reason)
    if not row.mask:
        return
    mask = examined.masks[row.mask]
    if mask.reason:
        missing = mask.reason == MISSING
        detail = f"mask of {row.image}" if missing else mask.reason
        yield Finding("missing" if missing else "unreadable", row.object, (row.mask,), detail)
        return
    if not image.reason and (mask.width, mask.height) != (image.width, image.height):
        detail = f"mask is {mask.width} x {mask.height} pixels, its image {image.width} x {image.height}"
        if image.orientation > 4:  # a quarter turn
            detail += (
                f" as stored; its EXIF orientation {image.orientation}, which turns it on a screen, is "
                "ignored: save it as it is seen, or draw the mask on the stored pixels"
            )
        yield Finding("mask size", row.object, (row.mask, row.image), detail)
    if row.label == "anomaly" and not mask.marked:
        detail = f"no pixel above {examined.mask_threshold}, its largest value is {mask.largest}"
        if mask.largest > 0:
            detail += "; where that is a mark, set `mask_threshold: 0`, which counts every pixel above 0"
        yield Finding("empty mask", row.object, (row.mask,), detail + ALPHA * mask.alpha)
    if row.label == "normal" and mask.marked:
        yield Finding("marked normal", row.object, (row.mask,), f"{mask.marked} pixels of a normal image")


def _normal_as_anomaly(rows: Sequence[Row]) -> Iterator[Finding]:
    found = defaultdict(list)
    for row in rows:
        if row.label == "anomaly" and re.sub(r"[\W_]", "", row.defect).lower() in NORMAL:
            found[row.object, row.defect, _folder(row.image)].append(row)
    for (name, defect, folder), images in found.items():
        detail = (
            f"{len(images):,} images of the defect {defect!r} count as anomalies; if they are normal, call "
            "the folder `good` or label them normal"
        )
        yield Finding("normal as anomaly", name, (folder,), detail)


def _one_class(manifest: Manifest, rows: Sequence[Row]) -> list[Finding]:
    if manifest.meta.get("reader") != "class_folders" or len(manifest.objects) > 1:
        return []
    detail = (
        f"all {len(rows):,} images are of one class: supervised pre-training on them stops, since its loss "
        "would be 0, and the kNN probe says nothing"
    )
    return [Finding("one class", rows[0].object, (_folder(rows[0].image),), detail)]


def _large_masks(rows: Sequence[Row], examined: Examined) -> Iterator[Finding]:
    """One finding for each folder with masks of anomalies that mark what a defect seldom is."""
    by_folder = defaultdict(list)
    for row in rows:
        if row.mask and row.label == "anomaly" and examined.masks[row.mask].marked:
            by_folder[row.object, _folder(row.mask)].append(row.mask)
    for (name, folder), paths in by_folder.items():
        share = {
            path: mask.marked / (mask.width * mask.height)
            for path, mask in ((path, examined.masks[path]) for path in paths)
        }
        framed = [path for path in paths if examined.masks[path].framed]
        large = [path for path in paths if share[path] > MOST_MARKED]
        worst = sorted({*framed, *large}, key=lambda path: (-share[path], path))
        if worst:
            detail = (
                f"of {len(paths):,} masks in it {len(large):,} mark more than half of their image and "
                f"{len(framed):,} all of its border, such as {posixpath.basename(worst[0])} "
                f"({100 * share[worst[0]]:.1f} %): inverted?"
            )
            alpha = any(examined.masks[path].alpha for path in worst)
            yield Finding("large mask", name, (folder,), detail + ALPHA * alpha)


def _turned(rows: Sequence[Row], examined: Examined) -> Iterator[Finding]:
    """One finding for each object whose images are stored otherwise than a screen shows them, where that can
    do harm: in part only, or beside masks."""
    for name, of_object in _by_object(rows).items():
        turned = [row for row in of_object if examined.images[row.image].orientation != UPRIGHT]
        counts = Counter(examined.images[row.image].orientation for row in of_object)
        masked = sum(bool(row.mask) for row in turned)
        if turned and (len(counts) > 1 or masked):
            said = ", ".join(f"{n:,} with {value}" for value, n in sorted(counts.items()) if value != UPRIGHT)
            detail = (
                f"of {len(of_object):,} images {len(turned):,} have an EXIF orientation ({said}), such as "
                f"{turned[0].image}; pixels are used as stored, not as a screen shows them, and their masks "
                f"({masked:,}) must be drawn on the stored pixels; save them upright"
            )
            yield Finding("turned", name, (_folder_of(row.image for row in turned),), detail)


def _few_levels(rows: Sequence[Row], examined: Examined) -> Iterator[Finding]:
    for name, of_object in _by_object(rows).items():
        deep = [row.image for row in of_object if examined.images[row.image].largest >= 0]
        largest = max((examined.images[path].largest for path in deep), default=-1)
        levels = (largest + 128) // 257 + 1  # as spd.data.decoding rounds
        bits = max(largest.bit_length(), 1)
        if deep and bits <= FEW_BITS:
            detail = (
                f"the largest value of {len(deep):,} 16-bit images is {largest:,} of 65,535, as where a "
                f"camera's {bits} bits are stored in 16: at most {levels} of 256 grey levels are left; "
                f"multiply their values by {2 ** (16 - bits):,}"
            )
            yield Finding("few grey levels", name, (_folder_of(deep),), detail)


def _by_object(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found = defaultdict(list)
    for row in rows:
        found[row.object].append(row)
    return found


def _folder(path: str) -> str:
    return f"{posixpath.dirname(path) or '.'}/"


def _folder_of(paths: Iterable[str]) -> str:
    """The folder that holds all of them."""
    return f"{posixpath.commonpath([posixpath.dirname(path) for path in paths]) or '.'}/"


def _exact_duplicates(rows: Sequence[Row], seen: Sequence[ImageFile]) -> list[Finding]:
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


TOO_FEW = "too few images"


def _too_few_images(manifest: Manifest) -> list[Finding]:
    """Objects that no 1-class detector can be fitted to or measured on."""
    if manifest.meta.get("setup") != "1cls" or manifest.meta.get("reader") == "class_folders":
        return []  # a corpus is trained on as a whole
    findings = []
    for row in manifest.counts().itertuples(index=False):
        train, test = row.train_normal + row.train_anomaly, row.test_normal + row.test_anomaly
        if train < FEWEST or not test:
            detail = f"{train} to train on and {test} to test; 1-class tables need {FEWEST} and 1"
            findings.append(Finding(TOO_FEW, row.object, (), f"{detail}, and are made without it"))
    return findings


def _near_duplicates(
    name: str, rows: Sequence[Row], seen: Sequence[ImageFile], thumbnails: np.ndarray
) -> list[Finding]:
    chosen = [
        (row, image)
        for row, image in zip(rows, seen, strict=True)
        if row.object == name and image.thumbnail >= 0
    ]
    if not chosen:
        return []
    details = np.stack([_detail(thumbnails[image.thumbnail]) for _, image in chosen])
    vectors = _standardised(details)  # (N, 4096)
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


def _detail(thumbnail: np.ndarray) -> np.ndarray:
    """What of a grey (64, 64) thumbnail is compared: float32 (4096,)."""
    pixels = thumbnail.astype(np.float32)
    detail = pixels - cv2.GaussianBlur(pixels, (0, 0), 1)
    # One strong edge must not decide the correlation; + 1 grey level squared keeps flat areas flat.
    detail /= np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 4) + 1)
    return detail.ravel()


def _standardised(vectors: np.ndarray) -> np.ndarray:
    # What all images of an aligned part share says nothing; among few images it may be the duplicates' own.
    if len(vectors) >= 32:
        vectors = vectors - vectors.mean(axis=0)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(norm, 1e-6)
