import numpy as np
import pytest
from PIL import Image

from spd.data.masks import read_mask

VALUES = np.array([[0, 1, 127], [128, 200, 255]], np.uint8)


@pytest.fixture
def stored(tmp_path):
    def store(image):
        image.save(tmp_path / "mask.png")
        return tmp_path / "mask.png"

    return store


@pytest.mark.parametrize("threshold", [0, 127])
def test_value_above_threshold(stored, threshold):
    mask = read_mask(stored(Image.fromarray(VALUES)), threshold)
    assert mask.dtype == np.uint8 and mask.shape == (2, 3)
    np.testing.assert_array_equal(mask, threshold < VALUES)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_colour_counts_by_its_largest_channel(stored, channel):
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[..., channel] = VALUES
    np.testing.assert_array_equal(read_mask(stored(Image.fromarray(pixels)), 127), VALUES > 127)


def test_alpha_is_ignored(stored):
    opaque = np.full((2, 3), 255, np.uint8)
    for mode, layers in (("RGBA", [VALUES] * 3 + [opaque]), ("LA", [VALUES, opaque])):
        image = Image.merge(mode, [Image.fromarray(layer) for layer in layers])
        np.testing.assert_array_equal(read_mask(stored(image), 127), VALUES > 127)


def test_palette_counts_by_index_for_class_ids_and_by_colour_for_grey(stored):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode="P")
    image.putpalette([0, 0, 0, 255, 255, 255, 30, 0, 0])
    path = stored(image)
    np.testing.assert_array_equal(read_mask(path, 0), [[0, 1, 1]])
    np.testing.assert_array_equal(read_mask(path, 127), [[0, 1, 0]])


@pytest.mark.parametrize("threshold", [0, 127])
def test_one_bit_and_16_bit(stored, threshold):
    bits = VALUES > 127
    np.testing.assert_array_equal(read_mask(stored(Image.fromarray(bits)), threshold), bits)
    np.testing.assert_array_equal(
        read_mask(stored(Image.fromarray(bits.astype(np.uint16) * 65535)), threshold), bits
    )


def test_stray_class_ids_do_not_matter(stored):
    ids = np.array([[0, 1, 9, 250]], np.uint8)
    np.testing.assert_array_equal(read_mask(stored(Image.fromarray(ids)), 0), [[0, 1, 1, 1]])


def test_a_damaged_mask_raises(tmp_path):
    (tmp_path / "mask.png").write_bytes(b"not a mask")
    with pytest.raises(ValueError, match=r"mask\.png"):
        read_mask(tmp_path / "mask.png", 0)


def test_real_grey_masks_have_soft_edges(spd_data):
    # What the README of the real data says: any non-zero inflates areas.
    path = next(iter(sorted((spd_data / "magnetic_tile" / "MT_Blowhole" / "Imgs").glob("*.png"))))
    assert 0 < read_mask(path, 127).sum() < read_mask(path, 0).sum()
