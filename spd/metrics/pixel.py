"""Pixel-level metrics from anomaly maps and masks."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from spd.metrics import kernels
from spd.metrics.sweep import Sweep, metrics_of

COUNTERS_PER_SCORE = 16
"""Counters laid out for each distinct positive score: more settle more pixels, fewer stay in cache."""
MOST_COUNTERS = 1 << 25
"""Bound on the counters in all (4 bytes each), held by giving up resolution, never exactness."""


def pixel_metrics(
    maps: np.ndarray | Iterable[np.ndarray],
    masks: np.ndarray | Iterable[np.ndarray],
    *,
    pro: bool = True,
    fpr_limit: float = 0.3,
    names: Sequence[str] | None = None,
) -> dict[str, float | str | None]:
    """AU-ROC, AU-PR (trapezoid), AP, F1-max and (with `pro`) AU-PRO over all pixels of all images, exact.

    `maps`: (N, H, W) float32, or anything that can be iterated twice over float32 (H, W) or (n, H, W)
    arrays; images may differ in size; any range, +-inf allowed. `masks`: uint8 {0, 1} or bool, arranged as
    `maps`. `fpr_limit`: share of normal pixels up to which the PRO curve is integrated. `names`: one name an
    image, for error messages.

    Normal images take part with masks of zeros. Values are in [0, 1]; with one class of pixels only every
    value is None and `note` gives the reason. Memory beyond the input: 16 bytes a positive pixel,
    at most 128 MiB of counters, and some 100 bytes a distinct positive score.

    Raises ValueError for NaN (naming the image), maps that are not float32, masks with values other than 0
    and 1, unequal shapes or numbers of images, and one-shot iterators.
    """
    return metrics_of(pixel_sweep(maps, masks, pro=pro, names=names), fpr_limit=fpr_limit)


def pixel_sweep(
    maps: np.ndarray | Iterable[np.ndarray],
    masks: np.ndarray | Iterable[np.ndarray],
    *,
    pro: bool = True,
    names: Sequence[str] | None = None,
) -> Sweep:
    """The sweep behind `pixel_metrics`, for its curves (spd.metrics.curves); arguments and errors as there.

    Two passes: the first gathers the positive pixels, to sort them alone; the second counts all pixels
    between them.
    """
    for name, walked in (("maps", maps), ("masks", masks)):
        if isinstance(walked, Iterator):
            raise ValueError(
                f"{name} can be walked once only; two passes are needed: give a list or an array"
            )
    gathered, regions, pixels = [np.empty(0, np.uint64)], 0, 0
    for bits, mask in _pairs(maps, masks, names):
        packed, found = kernels.region_pixels(bits, mask)
        gathered.append(packed)
        regions += found
        pixels += bits.size
    packed = np.concatenate(gathered)
    del gathered
    # By key, then area: sums over regions do not depend on the order of images.
    packed.sort()
    keys, counts, shares = kernels.group_positives(packed)
    positives = packed.size
    del packed
    above, from_ = _count(maps, names, keys, pixels)
    true_positives = np.cumsum(counts[::-1])
    return Sweep(
        scores=kernels.scores_of_keys(keys[::-1]),
        true_positives=true_positives,
        false_above=above[::-1] - (true_positives - counts[::-1]),
        false_from=from_[::-1] - true_positives,
        positives=positives,
        negatives=pixels - positives,
        region_overlap=np.minimum(np.cumsum(shares[::-1]) / max(regions, 1), 1.0) if pro else None,
    )


def _count(maps, names: Sequence[str] | None, keys: np.ndarray, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of either class above and from each of `keys`, (k,) uint32 ascending; both (k,) int64."""
    cells = keys >> kernels.CELL_BITS
    held = np.bincount(cells, minlength=1 << kernels.CELL_BITS)  # distinct positive scores a cell
    spread = _resolution(held)
    base = np.r_[0, np.cumsum(1 << spread)]
    shift = kernels.CELL_BITS - spread
    index = base[cells] + ((keys & kernels.LOW) >> shift[cells])
    exact = shift[cells] == 0
    counters = np.zeros(base[-1], np.uint32)
    counters[index[~exact]] = kernels.FLAG
    base, shift = base[:-1].astype(np.uint32), shift.astype(np.uint32)
    first = np.r_[0, np.cumsum(held)]
    below, equal = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    totals = None
    since, seen = 0, 0
    for number, bits in enumerate(_bits(maps, names)):
        if since + bits.size > kernels.COUNT_LIMIT:
            totals = (counters & ~kernels.FLAG) + (np.int64(0) if totals is None else totals)
            counters &= kernels.FLAG
            since = 0
        if kernels.count_pixels(bits.reshape(-1), base, shift, first, keys, counters, below, equal):
            raise ValueError(f"the map of image {_name(names, number)} holds NaN")
        since += bits.size
        seen += bits.size
    if seen != pixels:
        raise ValueError(f"maps changed between the two passes: {pixels} pixels, then {seen}")
    counters &= ~kernels.FLAG
    return kernels.count_above(counters if totals is None else totals + counters, index, exact, below, equal)


def _resolution(held: np.ndarray) -> np.ndarray:
    """log2 of the counters of each cell, in 0..16, from its number of distinct positive scores."""
    wanted = np.zeros(len(held), np.int64)
    some = held > 0
    wanted[some] = np.ceil(np.log2(COUNTERS_PER_SCORE * held[some])).astype(np.int64)
    while True:
        spread = np.clip(wanted, 0, kernels.CELL_BITS)
        if (1 << spread).sum() <= MOST_COUNTERS:
            return spread
        wanted -= 1


def _pairs(maps, masks, names: Sequence[str] | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(score bits, mask) of every image, both (H, W) and contiguous, checked."""
    bits, ends = _bits(maps, names), object()
    all_masks = _images(masks)
    number = 0
    while True:
        score, mask = next(bits, ends), next(all_masks, ends)
        if score is ends and mask is ends:
            return
        if score is ends or mask is ends:
            raise ValueError(f"maps and masks differ in number: only one of them has an image {number}")
        if mask.dtype not in (np.uint8, np.bool_):
            name = _name(names, number)
            raise ValueError(f"the mask of image {name} is {mask.dtype}; masks are uint8 or bool")
        if mask.shape != score.shape:
            raise ValueError(
                f"the mask of image {_name(names, number)} is {mask.shape}, its map {score.shape}; "
                "resize the mask (nearest)"
            )
        mask = np.ascontiguousarray(mask).view(np.uint8)
        if kernels.mask_bits(mask) > 1:
            raise ValueError(
                f"the mask of image {_name(names, number)} holds values other than 0 and 1; "
                "apply the data set's mask threshold first"
            )
        yield score, mask
        number += 1


def _bits(maps, names: Sequence[str] | None) -> Iterator[np.ndarray]:
    """The bits of every map, (H, W) uint32, contiguous."""
    for number, one in enumerate(_images(maps)):
        if one.dtype != np.float32:
            # A silent cast from float64 would merge scores that differ.
            raise ValueError(f"the map of image {_name(names, number)} is {one.dtype}; maps are float32")
        yield np.ascontiguousarray(one).view(np.uint32)


def _images(stacks) -> Iterator[np.ndarray]:
    for stack in stacks:
        stack = np.asarray(stack)
        if stack.ndim == 2:
            yield stack
        elif stack.ndim == 3:
            yield from stack
        else:
            raise ValueError(f"maps and masks consist of (H, W) or (n, H, W) arrays, got {stack.shape}")


def _name(names: Sequence[str] | None, number: int) -> str:
    return names[number] if names is not None else str(number)
