"""Sheets of views to look at: what an image becomes, with the parameters that were drawn."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from spd.files import atomic_path
from spd.views import colour, crop, smoothblend, views
from spd.views.options import LocalOptions, ViewsOptions

GAP = 8
LINE = 12
"""Height of a line of text in pixels."""
SHOWN = 150
"""Width to which small views are enlarged, by a whole number: what their captions take."""


def render_sheet(
    images: Tensor,
    options: ViewsOptions,
    path: str | Path,
    *,
    sizes: np.ndarray | None = None,
    names: tuple[str, ...] = ("q", "k", "plus", "minus"),
    seed: int = 0,
    step: int = 0,
) -> None:
    """Writes a PNG with a row for each image: the image, its views with the drawn parameters, the change.

    images: uint8 (N, 3, H, W), a handful; the views are those of training at (seed, step). sizes: true
    heights and widths (N, 2) of squashed images. names: the views, as `options.names` gives them. Where
    `minus` is among them, the last two columns show it around its patch, enlarged, and the change that was
    made (grey: none).
    """
    draws = views.draw(options, seed=seed, step=step, batch=len(images), names=names)
    plain = options.model_copy(update={"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})
    made = views.apply(images, sizes, draws, plain)
    rows = []
    for index, image in enumerate(images):
        height, width = image.shape[1:] if sizes is None else sizes[index]
        row = [(_picture(image / 255), ["image", f"{width} x {height} px"])]
        for name in names:
            one = {key: value[index] for key, value in draws[name].items()}
            row.append((_picture(made[name][index]), [name, *_words(one)]))
        rows.append(row)
    if "minus" in names:
        unblended = _without_local(images, sizes, draws, plain)
        for index, row in enumerate(rows):
            local = {k: v[index] for k, v in draws["minus"].items() if k.startswith("local_")}
            words = ["minus, around the patch", *_local_words(local)]
            row.append((_zoom(made["minus"][index], local), words))
            change = made["minus"][index] - unblended[index] + 0.5
            words = [f"change by {options.local.kind}", f"foreground {options.local.foreground}"]
            row.append((_picture(change), words))
    smallest = min(picture.width for row in rows for picture, _ in row)
    _write(rows, path, enlarged=max(1, math.ceil(SHOWN / smallest)))


def render_local_sheet(images: Tensor, options: LocalOptions, path: str | Path, *, seed: int = 0) -> None:
    """Writes a PNG that compares local changes of the same draws.

    images: uint8 (N, 3, S, S). For each image three rows, SmoothBlend with foreground `image`, with `zero`,
    and CutPaste; columns: the image, the patch's surroundings enlarged, alpha, the change (grey: none).
    """
    plain = images.float() / 255
    uniforms = np.random.default_rng(seed).random((len(images), smoothblend.UNIFORMS))
    kinds = [("smoothblend", "image"), ("smoothblend", "zero"), ("cutpaste", "image")]
    rows = []
    for index in range(len(images)):
        for kind, foreground in kinds:
            chosen = options.model_copy(update={"kind": kind, "foreground": foreground})
            draws = smoothblend.draw_local(chosen, images.shape[-1], uniforms[index : index + 1])
            before = plain[index : index + 1]
            after = smoothblend.apply_local(before, draws, foreground)[0]
            # Black on white shows alpha itself: (1 - alpha) * 1 + alpha * 0.
            alpha = 1 - _blend_black(draws, images.shape[-1])
            one = {f"local_{key}": value[0] for key, value in draws.items()}
            rows.append(
                [
                    (_picture(before[0]), ["image"]),
                    (_picture(after), [f"{kind}, foreground {foreground}", *_local_words(one)]),
                    (_zoom(before[0], one), ["before, around the patch"]),
                    (_zoom(after, one), ["after, around the patch"]),
                    (_picture(alpha), ["alpha"]),
                    (_picture(after - before[0] + 0.5), ["change"]),
                ]
            )
    _write(rows, path)


def render_parameter_sheet(image: Tensor, path: str | Path, *, size: int = 128) -> None:
    """Writes a PNG with a row for each operation of the global augmentation, over its range of values.

    image: uint8 (3, H, W).
    """
    height, width = image.shape[1:]
    rows = []
    boxes = []
    for share in (1.0, 0.6, 0.2, 0.08):
        h, w = round(height * share**0.5), round(width * share**0.5)
        boxes.append((share, [(height - h) // 2, (width - w) // 2, h, w]))
    cells = []
    for interpolation in ("bilinear", "bicubic"):
        for share, box in boxes:
            picture = crop.apply_crop(image[None], np.array([box]), np.array([False]), size, interpolation)[0]
            cells.append((_picture(picture), [f"crop scale {share:g}", interpolation]))
    rows.append(cells)
    whole = np.array([[0, 0, height, width]])
    view = crop.apply_crop(image[None], whole, np.array([False]), size, "bilinear")
    neutral = np.array([[1.0, 1.0, 1.0, 0.0]])
    sweeps = {
        "brightness": (0.2, 0.6, 0.9, 1.0, 1.1, 1.4, 1.8),
        "contrast": (0.2, 0.6, 0.9, 1.0, 1.1, 1.4, 1.8),
        "saturation": (0.2, 0.6, 0.9, 1.0, 1.1, 1.4, 1.8),
        "hue": (-0.5, -0.2, -0.1, -0.02, 0.02, 0.1, 0.2),
    }
    for operation, (name, values) in enumerate(sweeps.items()):
        cells = [(_picture(view[0]), ["image"])]
        for value in values:
            factors = neutral.copy()
            factors[0, operation] = value
            cells.append(
                (_picture(colour.apply_jitter(view, factors, colour.ORDERS[:1])[0]), [f"{name} {value:g}"])
            )
        rows.append(cells)
    cells = [(_picture(view[0]), ["image"])]
    for sigma in (0.1, 0.5, 1.0, 1.5, 2.0):
        cells.append(
            (_picture(views.blur.apply_blur(view, np.array([sigma]))[0]), [f"blur sigma {sigma:g} px"])
        )
    cells.append((_picture(colour.gray(view).expand(-1, 3, -1, -1)[0]), ["grayscale"]))
    cells.append((_picture(view[0].flip(-1)), ["flip"]))
    rows.append(cells)
    _write(rows, path)


def generated_images(count: int, size: int, seed: int = 0) -> Tensor:
    """Procedural pictures with discs, boards, stripes and grain. Returns uint8 (count, 3, size, size)."""
    generator = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        fine = 2 * size  # drawn at twice the size, for smooth edges
        top, bottom = generator.uniform(40, 215, (2, 3))
        ramp = np.linspace(0, 1, fine)[:, None, None]
        canvas = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (fine, fine, 3))
        picture = Image.fromarray(canvas.astype(np.uint8))
        pen = ImageDraw.Draw(picture)
        for _ in range(int(generator.integers(5, 9))):
            x, y = generator.uniform(0, fine, 2)
            w, h = generator.uniform(0.08, 0.3, 2) * fine
            fill = tuple(int(value) for value in generator.integers(0, 256, 3))
            edge = tuple(value // 2 for value in fill)
            kind = generator.integers(4)
            if kind == 0:
                pen.ellipse([x - w, y - h, x + w, y + h], fill=fill, outline=edge, width=fine // 80)
            elif kind == 1:
                pen.rounded_rectangle(
                    [x - w, y - h, x + w, y + h], fine // 30, fill=fill, outline=edge, width=4
                )
            elif kind == 2:
                for offset in np.arange(-w, w, fine / 28):
                    pen.line([x + offset, y - h, x + offset + h / 3, y + h], fill=fill, width=fine // 90)
            else:
                for angle in np.arange(0, 2 * np.pi, np.pi / 5):
                    cx, cy, r = x + w * np.cos(angle), y + w * np.sin(angle), fine / 45
                    pen.ellipse([cx - r, cy - r, cx + r, cy + r], fill=fill, outline=edge, width=2)
        pixels = np.asarray(picture.resize((size, size), Image.Resampling.BOX), dtype=float)
        grain = generator.normal(0, 2, (size, size, 1))
        pictures.append(np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _without_local(
    images: Tensor, sizes: np.ndarray | None, draws: views.Draws, options: ViewsOptions
) -> Tensor:
    """`minus` before its local change: the view `plus` made with the global draws of `minus`."""
    base = {name: values for name, values in draws.items() if name in ("q", "x", "anchor")}
    swapped = {key: value for key, value in draws["minus"].items() if not key.startswith("local_")}
    return views.apply(images, sizes, {**base, "plus": swapped}, options)["plus"]


def _blend_black(draws: dict[str, np.ndarray], size: int) -> Tensor:
    """A white image (3, size, size) with a black patch blended in: 1 - alpha."""
    black = {**draws, "factors": np.array([[0.0, 1.0, 1.0, 0.0]])}
    return smoothblend.apply_local(torch.ones(1, 3, size, size), black, "zero")[0]


def _words(draws: dict[str, np.ndarray]) -> list[str]:
    """The drawn parameters of one image's global augmentation, a line each."""
    if "factors" not in draws:
        return ["the whole image"]
    b, c, s, h = draws["factors"]
    order = "".join("bcsh"[operation] for operation in draws["order"])
    jittered = (b, c, s, h) != (1.0, 1.0, 1.0, 0.0)
    return [
        f"crop {draws['crop_area'][0]:.0%}, ratio {draws['crop_ratio'][0]:.2f}"
        + (", flip" if draws["flip"] else ""),
        f"b {b:.2f} c {c:.2f} s {s:.2f} h {h:+.2f} ({order})" if jittered else "no jitter",
        f"{'gray, ' if draws['grayscale'] else ''}"
        + (f"blur {draws['sigma']:.2f} px" if draws["sigma"] > 0 else "no blur"),
    ]


def _local_words(draws: dict[str, np.ndarray]) -> list[str]:
    b, c, s, h = draws["local_factors"]
    height, width = draws["local_patch"]
    return [
        f"patch {width} x {height} px, mask blur {draws['local_mask_sigma']:.1f} px",
        f"b {b:.2f} c {c:.2f} s {s:.2f} h {h:+.2f}",
    ]


def _picture(image: Tensor) -> Image.Image:
    """float (3, H, W) in [0, 1] as a picture."""
    return Image.fromarray((image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())


def _zoom(image: Tensor, draws: dict[str, np.ndarray]) -> Image.Image:
    """The square around the pasted patch, half as wide again, enlarged to the image's size, unsmoothed."""
    size = image.shape[-1]
    (top, left), (height, width) = draws["local_target"], draws["local_patch"]
    side = min(size, int(1.5 * max(height, width)) + 8)
    top = int(np.clip(top + height / 2 - side / 2, 0, size - side))
    left = int(np.clip(left + width / 2 - side / 2, 0, size - side))
    picture = _picture(image[:, top : top + side, left : left + side])
    return picture.resize((size, size), Image.Resampling.NEAREST)


def _write(rows: list[list[tuple[Image.Image, list[str]]]], path: str | Path, enlarged: int = 1) -> None:
    """Lays the pictures out in a grid with their captions below and writes it, whole or not at all."""
    for row in rows:
        for column, (picture, words) in enumerate(row):
            size = (picture.width * enlarged, picture.height * enlarged)
            row[column] = (picture.resize(size, Image.Resampling.NEAREST), words)
    font = ImageFont.load_default(9)
    columns = max(len(row) for row in rows)
    widths = [max(row[k][0].width for row in rows if k < len(row)) for k in range(columns)]
    heights = [max(p.height for p, _ in row) + LINE * max(len(t) for _, t in row) for row in rows]
    sheet = Image.new(
        "RGB", (sum(widths) + GAP * (columns + 1), sum(heights) + GAP * (len(rows) + 1)), "white"
    )
    pen = ImageDraw.Draw(sheet)
    y = GAP
    for row, height in zip(rows, heights, strict=True):
        x = GAP
        for (picture, text), width in zip(row, widths, strict=False):
            sheet.paste(picture, (x, y))
            for line, words in enumerate(text):
                pen.text((x, y + picture.height + 1 + LINE * line), words, fill="black", font=font)
            x += width + GAP
        y += height + GAP
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)
