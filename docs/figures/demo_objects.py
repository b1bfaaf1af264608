"""The pictures of docs/data-demo.md: normal photographs, each defect type, and the defects enlarged.

PYTHONPATH=. python docs/figures/demo_objects.py    # writes docs/images/demo-*.jpg
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from demo_data.archives import MVTEC, VISA
from demo_data.corpus import CLASSES, class_image
from demo_data.photograph import Photograph, photograph

IMAGES = Path(__file__).resolve().parents[1] / "images"


def outlined(shot: Photograph) -> np.ndarray:
    """The image with a red line around its defect."""
    near, nearer = (ndimage.binary_dilation(shot.classes, iterations=n) for n in (3, 2))
    return np.where((near & ~nearer)[..., None], np.uint8((255, 40, 40)), shot.image)


def enlarged(shot: Photograph) -> np.ndarray:
    """A third of the image's width and height around its defect, at the image's size."""
    (height, width), (ys, xs) = shot.classes.shape, np.nonzero(shot.classes)
    top = np.clip((ys.min() + ys.max()) / 2 - height / 6, 0, height * 2 / 3)
    left = np.clip((xs.min() + xs.max()) / 2 - width / 6, 0, width * 2 / 3)
    box = (left, top, left + width / 3, top + height / 3)
    return np.asarray(Image.fromarray(shot.image).resize((width, height), Image.Resampling.BICUBIC, box=box))


def save(name: str, rows: list[list[np.ndarray]]) -> None:
    """Images of one size in rows with white gaps."""
    white = {"pad_width": ((2, 2), (2, 2), (0, 0)), "constant_values": 255}
    page = np.concatenate([np.concatenate([np.pad(i, **white) for i in row], axis=1) for row in rows])
    Image.fromarray(page).save(IMAGES / name, quality=88, subsampling=0)
    print(name)


for name, part in (VISA | MVTEC).items():
    normal = [photograph(part, 1.0, (0, name, "normal", i)).image for i in range(len(part.defects))]
    shots = [photograph(part, 1.0, (0, name, "page", defect), (defect,)) for defect in part.defects]
    save(f"demo-{name}.jpg", [normal, [outlined(s) for s in shots], [enlarged(s) for s in shots]])
names = list(CLASSES)
rows = [[class_image(c, i, 72, 0) for c in half] for half in (names[:10], names[10:]) for i in (0, 1, 2)]
save("demo-classes.jpg", rows)
