"""Options of feature extraction."""

from typing import Literal

from pydantic import Field

from spd.options import Options


class FeatureOptions(Options):
    """How features are computed; which stages is the backbone's affair."""

    batch: int = Field(default=32, ge=1)
    """Images per forward pass."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network; features are stored as float32 either way. `bfloat16` is several times
    faster on processors and GPUs with bfloat16 units. It changes the features by 1 to 9 per cent and metrics
    by up to two points (docs/performance.md), as much as pre-trainings differ: one table, one precision."""
