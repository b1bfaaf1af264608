import io

import numpy as np
import pytest
from PIL import Image

from demo_data.png import encode_png


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (160, 160, 3), (3, 9, 3), (300, 301)])
def test_pillow_reads_the_same_pixels(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(image))) as read:
        read.verify()
    with Image.open(io.BytesIO(encode_png(image))) as read:
        assert read.mode == ("RGB" if len(shape) == 3 else "L")
        assert np.array_equal(np.asarray(read), image)
