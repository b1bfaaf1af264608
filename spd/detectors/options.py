"""What a user may choose about the detectors. Imports neither torch nor numba."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spd.options import Options

StageNames = Annotated[tuple[str, ...], Field(min_length=1)] | Literal["default"]


class MapOptions(Options):
    """From one score per patch to one score per pixel."""

    upsampling: Literal["bilinear", "nearest"] = "bilinear"
    """Patch grid to pixels. anomalib's PatchCore alone uses `nearest`."""
    blur_sigma: float = Field(4.0, ge=0)
    """Gaussian blur of the map, standard deviation in pixels, cut off at 4 sigma; 0 = none."""
    blur_border: Literal["reflect", "mirror"] = "reflect"
    """`reflect` repeats the edge pixel (d c b a | a b c d, scipy's word, both originals); `mirror` does not
    (d c b | a b c d, anomalib). They differ by up to 1 % near borders."""


class PaDiMOptions(MapOptions):
    """PaDiM (Defard et al., 2021): one Gaussian per position over randomly chosen channels.

    The defaults are xiahaifeng's implementation, the one reference widely used; SPD's own choices are
    unpublished, so all of them are ours.
    """

    stages: StageNames = "default"
    """Stages whose channels are concatenated, shallow to deep. `default`: the first three extracted
    (`layer1, layer2, layer3` of a ResNet). Coarser stages are repeated (nearest) onto the finest grid."""
    dim: int = Field(550, ge=1)
    """Channels kept of the concatenation. 550 of 1792 for ResNet-50 and Wide ResNet-50, 100 of 448 for
    ResNet-18; all of them where there are fewer. Ours for ResNet-50."""
    channel_seed: int = Field(1024, ge=0)
    """Seed of the choice of channels. The choice depends on this, `dim` and the total width alone, so
    pre-trainings of one architecture are compared on the same channels."""
    epsilon: float = Field(0.01, gt=0)
    """Added to the diagonal of each covariance. anomalib: 0.01, and 1e-5 more before it inverts."""
    image_score: Literal["map_max", "patch_max"] = "map_max"
    """Largest value of the blurred map (both references), or of the patch distances before it."""
    solver: Literal["auto", "dual", "primal"] = "auto"
    """`dual`: an N x N system per position; `primal`: a d x d Cholesky factor per position; `auto`: the one
    with fewer operations. They agree to rounding."""
    tolerance: float = Field(1e-4, gt=0)
    """Largest relative error of a distance against float64. Blocks of positions whose float32 result may
    exceed it are computed again in float64, and the error measured on a sample is reported."""
    memory_gib: float | None = Field(None, gt=0)
    """Memory that fit and score may use together; none = what the machine has available."""


class PatchCoreOptions(MapOptions):
    """PatchCore (Roth et al., 2022): distance of each 3x3 patch to a coreset of normal patches.

    The defaults are the authors' code at 10 % coreset; SPD's own choices are unpublished, so all are ours.
    """

    stages: StageNames = "default"
    """Stages joined into a patch, shallow to deep. `default`: the second and third extracted (`layer2,
    layer3` of a ResNet), or all of two or fewer. Coarser stages are brought to the first one's grid,
    bilinear."""
    patch_size: int = Field(3, ge=1)
    """Side of the neighbourhood averaged around each position; odd."""
    embedding: Literal["official", "avgpool"] = "official"
    """`official`: the neighbourhood's channels pooled to `stage_dim` per stage, then all to `dim`;
    `avgpool`: the neighbourhood's mean, all channels kept (anomalib)."""
    stage_dim: int = Field(1024, ge=1)
    """Width after pooling one stage's neighbourhood. `official` embedding only."""
    dim: int = Field(1024, ge=1)
    """Width of a patch after pooling the stages together. `official` embedding only."""
    projection: Literal["gaussian", "sparse", "none"] = "gaussian"
    """Random projection in which the coreset is chosen. `gaussian`: the weights of a random linear layer
    (official); `sparse`: sparse random signs (anomalib)."""
    projection_dim: int | Literal["johnson-lindenstrauss"] = 128
    """Width after projection; `johnson-lindenstrauss` derives it from the number of patches and
    `projection_eps` (anomalib: 278 for 80,000 patches)."""
    projection_eps: float = Field(0.9, gt=0, lt=1)
    """Distortion allowed by `johnson-lindenstrauss`."""
    projection_seed: int = Field(0, ge=0)
    """Seed of the projection."""
    coreset_share: float = Field(0.1, gt=0, le=1)
    """Share of the training patches kept; 1 keeps all. The official results use 0.1 at 224 pixels, 0.01 at
    320."""
    coreset_size: int | None = Field(None, ge=1)
    """Number of patches kept, instead of a share."""
    greedy_start: Literal["mean_of_10", "random"] = "mean_of_10"
    """First distances of the greedy choice: the mean distance to ten random patches (official), or the
    distance to one random patch, which is chosen first (anomalib since 2026)."""
    coreset_seed: int = Field(0, ge=0)
    """Seed of the random patches that `greedy_start` needs."""
    neighbours: int = Field(1, ge=1)
    """Nearest neighbours whose distances are averaged into a patch's score."""
    reweighting: int = Field(0, ge=0)
    """b of the paper's image score, w = 1 - softmax over the distances to the b neighbours of the nearest
    memory patch (b = 9 in anomalib); 0 = none, as in the official code."""
    squared: bool = True
    """Squared distances as scores (official, faiss's IndexFlatL2) or their roots (anomalib)."""
    search: Literal["auto", "torch", "faiss"] = "auto"
    """Library of the nearest-neighbour search. Distances are recomputed exactly, so answers agree.
    `auto`: torch, but faiss on a CPU where it is installed and the filter is float32."""
    filter: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the products that rule candidates out; what is left is computed in float64, so results
    do not depend on it. `auto`: bfloat16 where the processor multiplies it natively and it was seen to
    pay."""
    memory_gib: float | None = Field(None, gt=0)
    """Memory that fit and score may use together; none = what the machine has available."""

    @model_validator(mode="after")
    def _consistent(self):
        if self.patch_size % 2 == 0:
            raise ValueError(f"patch_size must be odd, got {self.patch_size}")
        if isinstance(self.projection_dim, int) and self.projection_dim < 1:
            raise ValueError(f"projection_dim must be at least 1, got {self.projection_dim}")
        return self


def default_stages(detector: Literal["padim", "patchcore"], available: tuple[str, ...]) -> tuple[str, ...]:
    """The stages that `stages: default` means, of those extracted, shallow to deep.

    PaDiM: the first three. PatchCore: the second and third; of two or fewer, all.
    """
    available = tuple(available)
    if detector == "padim" or len(available) < 3:
        return available[:3]
    return available[1:3]
