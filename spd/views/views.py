"""The views of one training step: drawn for the global batch from (seed, step), applied where the images are.

    draws = draw(options, seed=0, step=7, batch=256, names=("q", "k", "plus", "minus"))
    views = apply(images[start:stop], sizes[start:stop], slice_draws(draws, start, stop), options)

Each view has a random stream of its own and each image a row of it. So the views of a step are the same for
any number of ranks, and leaving `plus` and `minus` out (eta = 0) leaves `q` and `k` bitwise as they are. On a
CPU the kernels of `fused` do the work, elsewhere the batched tensor operations of `crop`, `colour`, `blur`
and `smoothblend`; both compute the same formulas.
"""

import zlib

import numpy as np
import torch
from torch import Tensor

from spd.views import blur, colour, crop, fused, smoothblend
from spd.views.options import LocalOptions, ViewOptions, ViewsOptions

NAMES = ("q", "k", "x", "anchor", "plus", "minus")
"""q and k: the two strong views; x: the one strong view of a supervised recipe; anchor: the image without
augmentation; plus: weak augmentation of the anchor; minus: the same, drawn again (or shared: `weak_draws`),
then the local change."""

Draws = dict[str, dict[str, np.ndarray]]
"""View name -> parameter name -> array whose first dimension is the batch."""


def draw(options: ViewsOptions, *, seed: int, step: int, batch: int, names: tuple[str, ...]) -> Draws:
    """Draws the parameters of the views `names` for a whole (global) batch, on the CPU.

    The numbers depend on (seed, step, view name, position in the batch) alone: not on `batch`, `names`, the
    number of ranks or the machine. Raises ValueError for an unknown name or a negative seed or step.
    """
    if seed < 0 or step < 0:
        raise ValueError(f"seed and step must be 0 or more, not {seed} and {step}")
    _check(names, options)
    return {name: _draw_view(options, seed, step, batch, name) for name in names}


def _draw_view(options: ViewsOptions, seed: int, step: int, batch: int, name: str) -> dict[str, np.ndarray]:
    if name == "anchor":
        return {"flip": np.zeros(batch, dtype=bool)}
    augmentation = options.augmentation(name)
    stream = "plus" if name == "minus" and options.weak_draws == "shared" else name
    draws = draw_global(augmentation, _uniforms(seed, step, stream, batch, GLOBAL_UNIFORMS))
    if name == "minus":
        uniforms = _uniforms(seed, step, "minus/local", batch, smoothblend.UNIFORMS)
        local = smoothblend.draw_local(options.local, augmentation.size, uniforms)
        draws |= {f"local_{key}": value for key, value in local.items()}
    return draws


GLOBAL_UNIFORMS = crop.UNIFORMS + colour.UNIFORMS + 1 + blur.UNIFORMS
"""Uniform numbers per image of one global augmentation."""


def draw_global(options: ViewOptions, uniforms: np.ndarray) -> dict[str, np.ndarray]:
    """Draws crop, flip, jitter, grayscale and blur of one view from uniforms (B, GLOBAL_UNIFORMS)."""
    crops, jitters, grays, blurs = np.split(uniforms, np.cumsum([crop.UNIFORMS, colour.UNIFORMS, 1]), axis=1)
    return {
        **crop.draw_crop(options, crops),
        **colour.draw_jitter(options.jitter, jitters),
        "grayscale": grays[:, 0] < options.grayscale,
        **blur.draw_blur(options.blur, blurs),
    }


def _uniforms(seed: int, step: int, stream: str, batch: int, count: int) -> np.ndarray:
    """float64 (batch, count) in [0, 1), a row an image, from raw bits, which NumPy promises not to change."""
    bits = np.random.PCG64(np.random.SeedSequence((seed, step, zlib.crc32(stream.encode()))))
    return (bits.random_raw((batch, count)) >> np.uint64(11)) * 2.0**-53


def slice_draws(draws: Draws, start: int, stop: int) -> Draws:
    """The draws of the images [start, stop) of the global batch: what one rank applies."""
    return {name: {key: value[start:stop] for key, value in draw.items()} for name, draw in draws.items()}


def apply(
    images: Tensor, sizes: np.ndarray | Tensor | None, draws: Draws, options: ViewsOptions
) -> dict[str, Tensor]:
    """Makes the drawn views on the device of the images; deterministic.

    images: uint8 (B, 3, H, W), RGB; sizes: integer (B, 2), true heights and widths where the images were
    squashed to a common canvas (None: the canvas itself); draws: from `draw`, of the same B. Returns for each
    drawn name a float32 tensor (B, 3, size, size), (value - mean) / std per channel. Raises ValueError where
    shapes or types do not match.
    """
    _check(tuple(draws), options)
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be uint8 (B, 3, H, W), not {images.dtype} {tuple(images.shape)}")
    for name, values in draws.items():
        if len(values["flip"]) != len(images):
            raise ValueError(f"{len(values['flip'])} draws of view {name} for {len(images)} images")
    canvas = (images.shape[2], images.shape[3])
    sizes = np.tile(canvas, (len(images), 1)) if sizes is None else np.asarray(torch.as_tensor(sizes).cpu())
    if sizes.shape != (len(images), 2):
        raise ValueError(f"sizes must be ({len(images)}, 2): height and width an image, not {sizes.shape}")

    plain = {
        name: apply_global(images, sizes, values, options.augmentation(name))
        for name, values in draws.items()
        if name in ("q", "k", "x")
    }
    if "anchor" in draws:
        plain["anchor"] = whole_image(images, options.augmentation("anchor").size)
    for name in ("plus", "minus"):
        if name in draws:
            source = images if options.anchor == "image" else plain["q" if "q" in plain else "x"]
            # The anchor is a square view, so the weak crop's aspect ratio is meant relative to it.
            square = np.full((len(images), 2), options.weak.size)
            plain[name] = apply_global(source, square, draws[name], options.weak)
    if "minus" in draws:
        plain["minus"] = apply_local(plain["minus"], draws["minus"], options.local)
    return {name: normalise(plain[name], options) for name in draws}


def apply_global(
    images: Tensor, sizes: np.ndarray, draws: dict[str, np.ndarray], options: ViewOptions
) -> Tensor:
    """Crop with flip, jitter, grayscale, blur. images: uint8 or float (B, 3, H, W); sizes: integer (B, 2).

    Returns float32 (B, 3, size, size) in [0, 1].
    """
    boxes = crop.crop_boxes(draws, sizes, (images.shape[2], images.shape[3]), options.ratio)
    if _fused_kernels_serve(images):
        return fused.apply_global(images, boxes, draws, options.size, options.interpolation)
    views = crop.apply_crop(images, boxes, draws["flip"], options.size, options.interpolation)
    views = colour.apply_jitter(views, draws["factors"], draws["order"])
    views = colour.apply_grayscale(views, draws["grayscale"])
    return blur.apply_blur(views, draws["sigma"])


def apply_local(views: Tensor, draws: dict[str, np.ndarray], options: LocalOptions) -> Tensor:
    """The local change on views (B, 3, S, S) in [0, 1] that the caller gives up: they may be overwritten."""
    draws = {key.removeprefix("local_"): value for key, value in draws.items() if key.startswith("local_")}
    if _fused_kernels_serve(views):
        return fused.apply_local_(views, draws, options.foreground)
    return smoothblend.apply_local(views, draws, options.foreground)


def whole_image(images: Tensor, size: int) -> Tensor:
    """The whole images resized to (size, size), antialiased: uint8 (B, 3, H, W) to float32 in [0, 1]."""
    boxes = np.tile([0, 0, images.shape[2], images.shape[3]], (len(images), 1))
    flip = np.zeros(len(images), dtype=bool)
    if _fused_kernels_serve(images):
        return fused.apply_crop(images, boxes, flip, size, "bilinear")
    return crop.apply_crop(images, boxes, flip, size, "bilinear")


CENTRE = 224 / 256
"""Share of the shorter side that an evaluation keeps: Resize(256), CenterCrop(224)."""


def centre_crop(images: Tensor, sizes: np.ndarray, size: int) -> Tensor:
    """The central squares of evaluation, CENTRE of the shorter side, resized to (size, size), antialiased.

    images: uint8 (B, 3, H, W); sizes: integer (B, 2), true heights and widths. Returns float32 in [0, 1].
    """
    boxes = crop.centre_boxes(np.asarray(sizes), (images.shape[2], images.shape[3]), CENTRE)
    return crop.apply_crop(images, boxes, np.zeros(len(images), dtype=bool), size, "bilinear")


def normalise(views: Tensor, options: ViewsOptions) -> Tensor:
    """(value - mean) / std per channel of views that the caller gives up: they may be overwritten."""
    if _fused_kernels_serve(views):
        return fused.normalise_(views, options.mean, options.std)
    mean, std = (torch.tensor(v, device=views.device)[:, None, None] for v in (options.mean, options.std))
    return (views - mean) / std


def _fused_kernels_serve(images: Tensor) -> bool:
    return images.device.type == "cpu"


def _check(names: tuple[str, ...], options: ViewsOptions) -> None:
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise ValueError(f"unknown view {unknown[0]!r}; the views are {', '.join(NAMES)}")
    if {"plus", "minus"} & set(names) and options.anchor == "q" and not {"q", "x"} & set(names):
        raise ValueError(
            "plus and minus are made from the anchor view: name q or x too, or set anchor to image"
        )
