"""Whether a recipe's batch fits the images, the ranks and the groups of BatchNorm. Imports no torch.

The configuration is asked before any job, the training again when it starts.
"""

from collections.abc import Iterator

from spd.methods.options import Recipe


def misfits(recipe: Recipe, *, ranks: int, images: int | None = None) -> Iterator[str]:
    """A line for each thing that a batch does not fit: key, numbers, way out.

    ranks: processes that share a batch, one a GPU. images: those trained on, 1 or more; None: not known yet.
    """
    if images is not None and images < recipe.batch:
        yield f"batch: {recipe.batch} is more than the {images} training images; choose a smaller batch"
    if recipe.batch % ranks:
        yield f"batch: {recipe.batch} does not divide among {ranks} ranks; choose a multiple"
    elif recipe.batch_norm == "ghost":
        share = recipe.batch // ranks
        if share % min(recipe.batch, recipe.batch_norm_group):
            yield (
                f"batch_norm_group: {recipe.batch_norm_group} does not divide the {share} images "
                f"of each of {ranks} ranks; use fewer ranks or smaller groups"
            )
