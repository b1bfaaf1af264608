"""Draws contact sheets of the demo data: `python -m demo_data.contact_sheet docs/images`."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from demo_data import corpus
from demo_data.archives import mvtec_photograph, visa_photograph
from demo_data.part import Part, Photograph
from demo_data.parts import PARTS
from spd.data.demo_options import DemoOptions

_GAP, _PAPER = 4, 255


def _framed(image: np.ndarray, zoom: int) -> np.ndarray:
    rgb = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image
    return np.kron(rgb, np.ones((zoom, zoom, 1), np.uint8))


def outlined(photograph: Photograph, zoom: int = 1) -> np.ndarray:
    """The image (H, W, 3) enlarged by `zoom`, with a thin red line just outside its defects."""
    image = _framed(photograph.image, zoom)
    mask = np.pad(_framed((photograph.classes > 0).astype(np.uint8), zoom)[..., 0] > 0, 3)
    grown = np.zeros_like(mask)
    rings = []
    for reach in (2, 3):
        grown = np.zeros_like(mask)
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                if dx * dx + dy * dy <= reach * reach:
                    grown |= np.roll(mask, (dy, dx), (0, 1))
        rings.append(grown)
    line = (rings[1] & ~rings[0])[3:-3, 3:-3]
    image[line] = (255, 40, 40)
    return image


def close_up(photograph: Photograph, most: float = 4.0) -> np.ndarray:
    """The part of an image with all its defects, enlarged to the image's size (H, W, 3), `most` times at
    most."""
    rgb = _framed(photograph.image, 1)
    height, width = rgb.shape[:2]
    ys, xs = np.nonzero(photograph.classes)
    room = 6  # pixels of surroundings
    tall, wide = np.ptp(ys) + 1 + 2 * room, np.ptp(xs) + 1 + 2 * room
    zoom = max(1.0, min(most, height / tall, width / wide))
    y, x = (ys.min() + ys.max() + 1) / 2, (xs.min() + xs.max() + 1) / 2
    top = min(max(y - height / zoom / 2, 0), height - height / zoom)
    left = min(max(x - width / zoom / 2, 0), width - width / zoom)
    box = (left, top, left + width / zoom, top + height / zoom)
    image = Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(image)


def sheet(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Images of one size in rows, with white gaps."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    page = np.full((len(rows) * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), _PAPER, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            y, x = _GAP + i * (height + _GAP), _GAP + j * (width + _GAP)
            page[y : y + height, x : x + width] = image
    return page


def part_sheet(part: Part, options: DemoOptions) -> np.ndarray:
    """One row of normal images, then each defect kind twice: a row of first and a row of second examples, and
    the latter enlarged, without the outline."""
    if part.name in options.visa_objects:
        normal = [visa_photograph(part, options, "normal", i) for i in range(5)]
        shots = [visa_photograph(part, options, "anomaly", i) for i in range(options.visa_anomaly)]
        found = {kind: [s for s in shots if s.kinds == (kind,)][:2] for kind in part.defects}
    else:
        normal = [mvtec_photograph(part, options, "train/good", i) for i in range(5)]
        found = {k: [mvtec_photograph(part, options, f"test/{k}", i) for i in range(2)] for k in part.defects}
    rows = [[_framed(shot.image, 1) for shot in normal]]
    rows += [[outlined(found[kind][i]) for kind in part.defects] for i in range(2)]
    rows.append([close_up(found[kind][1]) for kind in part.defects])
    return sheet(rows)


def main() -> None:
    """Writes demo-<object>.png and demo-classes.png into the folder given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=[*PARTS, "classes"])
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    options = DemoOptions()
    for name in arguments.only:
        if name == "classes":
            columns = [
                [corpus.class_image(c, i, options.class_size, options.seed) for i in range(3)]
                for c in corpus.CLASSES
            ]
            page = sheet(
                [[column[i] for column in half] for half in (columns[:10], columns[10:]) for i in range(3)]
            )
        else:
            page = part_sheet(PARTS[name], options)
        target = arguments.folder / f"demo-{name}.png"
        temporary = target.with_suffix(".part.png")
        palette = Image.fromarray(page).quantize(256, dither=Image.Dither.NONE)  # a third of the size
        palette.save(temporary, optimize=True)
        temporary.replace(target)


if __name__ == "__main__":
    main()
