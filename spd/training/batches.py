"""Whether a batch fits the images, the ranks and the groups of BatchNorm: one rule for all that ask it.

The configuration asks before any job, the corpus before it is packed, a training when it starts. Imports
nothing, so that no stage's version hangs on another's options.
"""

from collections.abc import Iterator, Mapping


def misfits(
    batch: int, *, ranks: int = 1, group: int | None = None, images: int | None = None
) -> Iterator[str]:
    """A line for each thing that a batch does not fit: key, numbers, way out.

    ranks: processes that share it, one a GPU. group: images a group of ghost BatchNorm; None: it takes the
    statistics of the whole batch. images: those trained on; None: nobody knows yet.
    """
    if images is not None and images < batch:
        yield f"batch: {batch} is more than the {images} training images; choose a smaller batch"
    if batch % ranks:
        yield f"batch: {batch} does not divide among {ranks} ranks; choose a multiple"
    elif group is not None and batch // ranks % min(batch, group):
        yield (
            f"batch_norm_group: {group} does not divide the {batch // ranks} images "
            f"of each of {ranks} ranks; use fewer ranks or smaller groups"
        )


def trained_on(counts: Mapping[str, Mapping[str, int]], held_out: float) -> int:
    """Images that a training takes of a corpus, without the corpus itself (spd.data.corpus.Corpus.split).

    counts: a manifest's, class -> {train_normal, test_normal, ...}. held_out: the recipe's key.
    """
    classes = [one for one in counts.values() if one["train_normal"]]
    images = sum(one["train_normal"] for one in classes)
    if held_out == 0 or any(one["test_normal"] for one in classes):
        return images
    share = held_out if held_out < 1 else held_out / images
    return images - sum(max(1, round(share * one["train_normal"])) for one in classes)


def too_large(
    asked: Mapping[str, tuple[int, float]], counts: Mapping[str, Mapping[str, int]]
) -> Iterator[str]:
    """A line for each training whose batch is larger than what it is trained on.

    asked: training -> (batch, held_out); counts: as for `trained_on`.
    """
    for name, (batch, held_out) in asked.items():
        for line in misfits(batch, images=trained_on(counts, held_out)):
            yield f"pre-training {name}: {line}"
