"""Rates that others published and times that were measured: what the hours of a plan rest on."""

from typing import NamedTuple

from spd.methods.options import MoCoRecipe, Recipe, SimCLRRecipe, SupervisedRecipe

IMAGENET, IMAGENET_VALIDATION = 1_281_167, 50_000
"""Images of ImageNet-1k."""

HOPED, REACHED = 0.6, 0.15
"""Shares of a GPU's memory bandwidth that making views reaches: an assumption of ours, for the least hours,
and the lowest of an H200's in docs/performance.md, for the most."""


class Published(NamedTuple):
    """A training of ResNet-50 at 224 px that somebody ran on eight GPUs."""

    gpu: str
    recipe: Recipe
    images_per_second: float  # of one GPU
    view_bandwidth: (
        float  # bytes/s at which views are taken to be made; that of the data sheet is 2039e9, 900e9
    )
    source: str


NVIDIA = "NVIDIA DeepLearningExamples 291f0d0, ResNet50 v1.5, mixed precision"
FFCV = "FFCV-SSL, SimCLR, 100 epochs in 11.9 h"
MOCO = "MoCo, README, 200 epochs in 53 h (float32)"
PUBLISHED = (
    Published("A100", SupervisedRecipe(), 16_621 / 8, HOPED * 2039e9, NVIDIA),
    Published("A100", SimCLRRecipe(), IMAGENET * 100 / (11.9 * 3600) / 8, REACHED * 2039e9, FFCV),
    Published("V100", SupervisedRecipe(), 8_322 / 8, HOPED * 900e9, NVIDIA),
    Published("V100", MoCoRecipe(), IMAGENET * 200 / (53 * 3600) / 8, REACHED * 900e9, MOCO),
)
"""The fastest and the slowest that was found for each GPU; the truth should lie between them."""

EXAMINE_SECONDS = {"mvtec": 0.0234}
"""Core seconds to check one file, by reader: MVTec-AD's are large PNGs (docs/performance.md: 10,000 in 117 s
of two cores)."""
EXAMINE_JPEG_SECONDS = 0.0022
"""The same for JPEGs of VisA's size (10,000 in 11 s of two cores)."""
DECODE_SECONDS = 0.020
"""Core seconds to decode and resize a photograph of 1500 x 1000 (benchmarks/images.py's; measured alike)."""
CORPUS_SECONDS = 0.003
"""Core seconds to decode and squash a photograph of 500 x 375 (benchmarks/packed.py's; measured alike)."""
DRAW_SECONDS = 30.0
"""Core seconds of a generated archive (docs/performance.md: 21, 5 and 7)."""
REPORT_SECONDS = 60.0
"""Of a table, a page or the store. (ours)"""
