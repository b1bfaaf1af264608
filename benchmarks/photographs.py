"""Generated photographs for benchmarks, whose content does not matter but whose size and grain do."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def photograph(seed: int, size: tuple[int, int], noise: float) -> np.ndarray:
    """Smooth shapes with sensor noise: uint8 (H, W, 3); `size` is (W, H), `noise` in grey levels."""
    random = np.random.default_rng(seed)
    coarse = random.integers(40, 220, (20, 30, 3), np.uint8)
    pixels = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return np.clip(pixels + random.normal(0, noise, pixels.shape), 0, 255).astype(np.uint8)


def write(path: Path, seed: int, size: tuple[int, int], noise: float, **options: int) -> Path:
    """Writes one as the file's suffix says; `options` are the encoder's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photograph(seed, size, noise)).save(path, **options)
    return path
