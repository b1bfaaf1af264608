"""Decoding: every kind of file becomes 8-bit RGB by a rule that is written down."""

import numpy as np
import pytest
from PIL import Image

from spd.data.decoding import read_rgb

RGB = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
GREY = RGB[..., 0]


def _read(image, path, **options):
    image.save(path, **options)
    result = read_rgb(path)
    assert result.mode == "RGB"
    return np.asarray(result)


def test_rgb_as_it_is(tmp_path):
    assert np.array_equal(_read(Image.fromarray(RGB), tmp_path / "a.png"), RGB)


def test_grey_in_three_channels(tmp_path):
    assert np.array_equal(_read(Image.fromarray(GREY), tmp_path / "a.png"), np.stack([GREY] * 3, -1))


def test_alpha_is_dropped(tmp_path):
    alpha = np.dstack([RGB, GREY])
    assert np.array_equal(_read(Image.fromarray(alpha), tmp_path / "a.png"), RGB)


def test_alpha_is_dropped_from_grey_and_a_transparent_grey_stays(tmp_path):
    grey = np.stack([GREY] * 3, -1)
    assert np.array_equal(_read(Image.fromarray(np.dstack([GREY, GREY])), tmp_path / "a.png"), grey)
    assert np.array_equal(_read(Image.fromarray(GREY), tmp_path / "b.png", transparency=7), grey)


def test_palette_is_looked_up(tmp_path):
    palette = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    colours = [[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [100, 110, 120]]]
    assert np.array_equal(_read(palette, tmp_path / "a.png"), colours)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_is_divided_by_257(tmp_path, name):
    values = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)  # 129 / 257 rounds to 1, 128 / 257 to 0
    read = _read(Image.fromarray(values), tmp_path / name)
    assert read[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255] and np.array_equal(read[..., 0], read[..., 2])


def test_cmyk_without_a_profile(tmp_path):
    cmyk = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    assert _read(cmyk, tmp_path / "a.tif")[0, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_orientation_is_ignored(tmp_path, name):
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer would turn it by a quarter
    assert _read(Image.fromarray(RGB), tmp_path / name, exif=exif).shape == RGB.shape


def test_jpeg_is_pillows(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg")
    assert np.array_equal(
        np.asarray(read_rgb(tmp_path / "a.jpg")), np.asarray(Image.open(tmp_path / "a.jpg"))
    )


def test_floats_have_no_range(tmp_path):
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif: cannot be decoded .32-bit pixels"):
        read_rgb(tmp_path / "a.tif")


def test_broken_files_are_named(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    (tmp_path / "text.jpg").write_text("hello")
    for name in ("cut.png", "text.jpg"):
        with pytest.raises(ValueError, match=f"{name}: cannot be decoded"):
            read_rgb(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_rgb(tmp_path / "missing.png")


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
def test_the_bound_on_decompression_bombs_can_be_raised(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow refuses more than twice as many
    for name in ("a.png", "a.tif", "a.jpg"):
        Image.fromarray(RGB).save(tmp_path / name)
        for bound in (20, RGB.shape[0] * RGB.shape[1] - 1):
            with pytest.raises(
                ValueError, match=rf"{name}: has more than {bound} pixels, .*raise `max_pixels`"
            ):
                read_rgb(tmp_path / name, max_pixels=bound)
        assert read_rgb(tmp_path / name, max_pixels=RGB.shape[0] * RGB.shape[1]).size == RGB.shape[1::-1]
