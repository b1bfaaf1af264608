import io

import numpy as np
import pytest
from PIL import Image

from demo_data.jpeg import encode_jpeg


def picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).normal(0, 4, (height, width, 3))
    smooth = np.stack([x * 1.2, y * 1.3 + 30, 60 + (x + y) / 2 + 40 * np.sin(x / 5)], axis=-1)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


@pytest.mark.parametrize("shape", [(144, 192), (37, 51), (8, 8), (9, 70)])
@pytest.mark.parametrize("quality", [50, 92, 100])
def test_is_as_close_to_the_image_as_libjpegs_at_the_same_quality(shape, quality):
    image = picture(*shape)
    peer = io.BytesIO()
    Image.fromarray(image).save(peer, "JPEG", quality=quality, subsampling=0)
    ours, theirs = (
        np.abs(decoded(data) - image).mean() for data in (encode_jpeg(image, quality), peer.getvalue())
    )
    assert ours <= theirs * 1.02 + 0.05  # libjpeg quantises chroma more coarsely


@pytest.mark.parametrize("kind", ["noise", "black", "white", "checks"])
def test_extreme_blocks(kind):
    """Runs of more than 16 zeros, the largest coefficients, and bytes 0xFF in the stream all decode."""
    rng = np.random.default_rng(1)
    image = {
        "noise": rng.integers(0, 256, (64, 48, 3), dtype=np.uint8),
        "black": np.zeros((20, 20, 3), np.uint8),
        "white": np.full((20, 20, 3), 255, np.uint8),
        "checks": np.kron(np.indices((32, 32)).sum(0) % 2, np.ones((1, 1), int)).astype(np.uint8)[..., None]
        * np.array([255, 255, 255], np.uint8),
    }[kind]
    assert np.abs(decoded(encode_jpeg(image, 100)) - image).mean() < 1.0
