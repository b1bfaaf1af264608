"""PNGs read without Pillow: its pixels where the file is sound and of a usual kind, otherwise nothing."""

import io
import struct
import zlib
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from spd.data import png
from spd.data.png import SIGNATURE, read_lines, read_png

COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels
SIZES = [(1, 1), (1, 7), (9, 1), (5, 6), (33, 17)]


def _pixels(height, width, channels, seed=0):
    """Waves with noise, so that every filter has something to do and sums pass 255."""
    random = np.random.default_rng(seed)
    steps = np.add.outer(np.arange(height) * 3, np.arange(width) * 5)[..., None]
    return (steps + random.integers(0, 99, (height, width, channels))).astype(np.uint8)


def _filtered(pixels, kinds):
    """The lines of PNG's section 9, written from the text: byte by byte, every neighbour looked up."""
    height, width, channels = pixels.shape
    raw = pixels.reshape(height, -1).astype(int)
    lines = bytearray()
    for y in range(height):
        kind = kinds[y % len(kinds)]
        lines.append(kind)
        for i in range(width * channels):
            a = raw[y, i - channels] if i >= channels else 0
            b = raw[y - 1, i] if y else 0
            c = raw[y - 1, i - channels] if y and i >= channels else 0
            p = a + b - c
            nearest = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            lines.append((raw[y, i] - (0, a, b, (a + b) // 2, nearest)[kind]) % 256)
    return bytes(lines)


def _chunk(kind, content=b""):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _file(stream, size, colour, *, bits=8, interlace=0, before=b"", after=b"", parts=1):
    header = struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, interlace)
    edges = [len(stream) * part // parts for part in range(parts + 1)]
    idat = b"".join(_chunk(b"IDAT", stream[a:b]) for a, b in pairwise(edges))
    return SIGNATURE + _chunk(b"IHDR", header) + before + idat + after + _chunk(b"IEND")


def _written(pixels, kinds=(0, 1, 2, 3, 4), **options):
    height, width, channels = pixels.shape
    stream = zlib.compress(_filtered(pixels, kinds))
    return _file(stream, (width, height), COLOURS[channels], **options)


def _equals_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image)
        read = read_png(data)
        assert read.dtype == np.uint8 and read.shape == expected.shape and np.array_equal(read, expected)
        assert Image.fromarray(read).mode == image.mode
    return read


@pytest.mark.parametrize("channels", COLOURS)
@pytest.mark.parametrize("kinds", [(0,), (1,), (2,), (3,), (4,), (4, 0, 3, 1, 2, 4, 4)])
@pytest.mark.parametrize("size", SIZES)
def test_every_filter_and_colour_type(size, kinds, channels):
    pixels = _pixels(*size, channels)
    read = _equals_pillow(_written(pixels, kinds))
    assert np.array_equal(read, pixels[..., 0] if channels == 1 else pixels)


@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.sampled_from(list(COLOURS)),
    kinds=st.lists(st.integers(0, 4), min_size=1, max_size=9),
    data=st.data(),
)
def test_any_bytes_under_any_filters(size, channels, kinds, data):
    count = size[0] * size[1] * channels
    content = data.draw(st.binary(min_size=count, max_size=count))
    # Any filtered bytes are an image: the lines need not come from pixels.
    body = np.frombuffer(content, np.uint8).reshape(size[0], -1)
    first = np.resize(np.array(kinds, np.uint8), (size[0], 1))
    stream = zlib.compress(np.hstack([first, body]).tobytes())
    _equals_pillow(_file(stream, size[::-1], COLOURS[channels]))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"optimize": True}])
def test_what_pillow_writes(mode, options):
    pixels = _pixels(97, 131, len(mode))
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if mode == "L" else pixels).save(file, "png", **options)
    assert np.array_equal(_equals_pillow(file.getvalue()).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_opencv_writes(channels):
    pixels = _pixels(97, 131, channels)
    _equals_pillow(cv2.imencode(".png", pixels)[1].tobytes())


def test_data_in_many_chunks_and_empty_ones():
    pixels = _pixels(33, 17, 3)
    stream = zlib.compress(_filtered(pixels, (4,)))
    size = (17, 33)
    assert np.array_equal(_equals_pillow(_file(stream, size, 2, parts=len(stream))), pixels)
    empty = _chunk(b"IDAT")
    assert np.array_equal(_equals_pillow(_file(stream, size, 2, parts=3, before=empty, after=empty)), pixels)


def test_chunks_that_change_no_pixel_and_bytes_after_the_end():
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "x")
    info.add_text("date:create", "2020-01-01")
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer would turn it by a quarter
    file = io.BytesIO()
    Image.fromarray(_pixels(8, 9, 3)).save(file, "png", pnginfo=info, exif=exif, dpi=(72, 72))
    _equals_pillow(file.getvalue() + b"more")
    gamma, time = _chunk(b"gAMA", struct.pack(">I", 45455)), _chunk(b"tIME", bytes(7))
    _equals_pillow(_written(_pixels(8, 9, 3), before=gamma, after=time))


def _changed(data, at, value):
    return data[:at] + bytes([value]) + data[at + 1 :]


def _others():
    """name -> a file that is left to Pillow."""
    pixels = _pixels(6, 5, 3)
    lines, size = _filtered(pixels, (0, 1, 2, 3, 4)), (5, 6)
    stream, sound = zlib.compress(lines), _written(pixels)
    grey = Image.fromarray(pixels[..., 0])

    def saved(image, **options):
        file = io.BytesIO()
        image.save(file, "png", **options)
        return file.getvalue()

    crc = sound.index(b"IDAT") + 4 + len(stream)
    actl = _chunk(b"acTL", struct.pack(">II", 1, 0))
    text = {key: _chunk(b"tEXt", key + b"\0x") for key in (b"bbox", b"interlace", b"transparency")}
    return {
        "empty": b"",
        "JPEG": b"\xff\xd8\xff" + sound,
        "cut in a chunk": sound[: crc - 9],
        "cut before the end mark": sound[:-12],
        "cut in the end mark": sound[:-1],
        "no data": _file(b"", size, 2),
        "header's checksum": _changed(sound, 29, sound[29] ^ 1),
        "data's checksum": _changed(sound, crc, sound[crc] ^ 1),
        "end's checksum": _changed(sound, len(sound) - 1, 0),
        "zlib's checksum": _file(_changed(stream, len(stream) - 1, stream[-1] ^ 1), size, 2),
        "zlib's header": _file(_changed(stream, 0, 0x79), size, 2),
        "zlib's window": _file(b"\x88\x1c" + stream[2:], size, 2),
        "damaged data": _file(_changed(stream, 2, 0xFF), size, 2),
        "zlib stream cut": _file(stream[:-5], size, 2),
        "bytes behind the stream": _file(stream + b"x", size, 2),
        "too few lines": _file(zlib.compress(lines[:-16]), size, 2),
        "a byte too few": _file(zlib.compress(lines[:-1]), size, 2),
        "a byte too many": _file(zlib.compress(lines + b"x"), size, 2),
        "filter 5": _file(zlib.compress(_changed(lines, 32, 5)), size, 2),
        "no width": _file(stream, (0, 6), 2),
        "no height": _file(stream, (5, 0), 2),
        "huge": _file(stream, (1 << 31, 1 << 31), 2),
        "header too long": sound.replace(sound[8:33], _chunk(b"IHDR", sound[16:29] + b"\0")),
        "interlaced": _file(stream, size, 2, interlace=1),
        "16-bit": saved(Image.fromarray(pixels[..., 0].astype(np.uint16))),
        "16-bit colour": _file(stream, size, 2, bits=16),
        "4-bit": _file(stream, size, 0, bits=4),
        "1-bit": saved(grey.convert("1")),
        "palette": saved(grey.convert("P")),
        "no colour type": _file(stream, size, 5),
        "tRNS": saved(Image.fromarray(pixels), transparency=(1, 2, 3)),
        "ICC profile": saved(Image.fromarray(pixels), icc_profile=b"x"),
        "APNG": saved(grey, save_all=True, append_images=[grey.rotate(90)]),
        "APNG of one frame": _written(pixels, before=actl),
        "gamma cut off": _written(pixels, before=_chunk(b"gAMA", b"x")),
        "unknown chunk": _written(pixels, after=_chunk(b"abCd", b"x")),
        "data in two places": _written(pixels, after=_chunk(b"tIME", bytes(7)) + _chunk(b"IDAT", b"x")),
        "two headers": _written(pixels, before=sound[8:33]),
        "no header": SIGNATURE + sound[33:],
        "content in the end mark": sound[:-12] + _chunk(b"IEND", b"x"),
        **{f"text {key.decode()}": _written(pixels, before=chunk) for key, chunk in text.items()},
    }


@pytest.mark.parametrize("name", _others())
def test_what_is_left_to_pillow(name):
    data = _others()[name]
    assert read_png(data) is None and read_lines(data) is None


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unseen(at, bit):
    sound = _written(_pixels(6, 5, 3))
    at %= len(sound)
    assert read_png(_changed(sound, at, sound[at] ^ 1 << bit)) is None


def test_no_more_is_inflated_than_the_header_asks_for(monkeypatch):
    bomb = zlib.compress(bytes(10_000_000))
    asked = []
    inflater = png.isal_zlib.decompressobj

    class Watched:
        def __init__(self):
            self.inflater = inflater()

        def decompress(self, stream, most):
            asked.append(most)
            inflated = self.inflater.decompress(stream, most)
            assert len(inflated) <= most
            return inflated

        def __getattr__(self, name):
            return getattr(self.inflater, name)

    monkeypatch.setattr(png.isal_zlib, "decompressobj", Watched)
    assert read_png(_file(bomb, (5, 6), 2)) is None
    assert asked == [6 * 16 + 1]


def test_large_images_are_left_to_pillow(monkeypatch):
    sound = _written(_pixels(6, 5, 3))
    monkeypatch.setattr(png, "LARGEST", len(sound))
    assert read_png(sound) is not None
    assert read_png(sound + b"x") is None
    monkeypatch.setattr(png, "LARGEST", 6 * 16 - 1)
    assert read_png(sound) is None


def test_lines_alone_are_those_in_the_file():
    pixels = _pixels(6, 5, 3)
    lines, channels = read_lines(_written(pixels, (4, 2)))
    assert channels == 3 and lines.tobytes() == _filtered(pixels, (4, 2))
