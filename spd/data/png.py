"""The usual kind of PNG, read several times faster than Pillow reads it, with the same pixels.

Only sound files of the commonest kinds are read here: 8 bits per channel, grey or colour, with or without
alpha, not interlaced, one frame, every checksum right. Anything else is left to Pillow, whose result, or
whose error, then stands. Format: PNG Specification, third edition (https://www.w3.org/TR/png-3).
"""

import re
import struct
from collections.abc import Iterator

import numba
import numpy as np
from isal import isal_zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type; 3 is a palette
# Inflated bytes. Here an image takes up to three times its size at once, with Pillow once: larger ones are
# its own, and so is the bound on decompression bombs, which is above this.
LARGEST = 1 << 26
# Chunks that change no pixel, and the length from which Pillow takes them for whole.
IGNORED = {
    b"bKGD": 0,
    b"cHRM": 32,
    b"eXIf": 0,
    b"gAMA": 4,
    b"pHYs": 9,
    b"sBIT": 0,
    b"sRGB": 1,
    b"tIME": 0,
}
# Pillow keeps texts beside its own entries (`transparency`, `bbox`), which are spelt small and can be
# overwritten. The specification's keywords begin with a capital; ImageMagick's with `date:`.
KEYWORD = re.compile(rb"[A-Z]|date:")


class _LeftToPillow(Exception):
    pass


def read_png(data: bytes) -> np.ndarray | None:
    """The pixels of a PNG file as those of Pillow's image: uint8 (H, W) where grey, otherwise (H, W, C), C 2
    (grey, alpha), 3 (RGB) or 4 (RGBA). None where the file is left to Pillow."""
    found = read_lines(data)
    if found is None:
        return None
    lines, channels = found
    pixels = _unfilter(lines, channels)
    return pixels if channels == 1 else pixels.reshape(len(lines), -1, channels)


def read_lines(data: bytes) -> tuple[np.ndarray, int] | None:
    """The lines of a PNG file as they are stored: uint8 (H, 1 + W * C), each a filter in 0..4 and filtered
    bytes, and C. None where the file is left to Pillow; otherwise `read_png` gives its pixels."""
    try:
        header, stream = _header_and_stream(data)
        height, length, channels = _layout(header)
        lines = np.frombuffer(_inflate(stream, height * length), np.uint8).reshape(height, length)
    except (_LeftToPillow, struct.error, isal_zlib.error):
        return None
    return (lines, channels) if lines[:, 0].max() <= 4 else None


def _header_and_stream(data: bytes) -> tuple[bytes, bytes]:
    """The content of IHDR and that of all IDAT together. What follows IEND is not looked at."""
    if not data.startswith(SIGNATURE) or len(data) > LARGEST:
        raise _LeftToPillow
    before, header, parts = b"", b"", []
    for kind, content in _chunks(data):
        if kind == b"IHDR" and not before:
            header = bytes(content)
        elif kind == b"IDAT" and header and (not parts or before == kind):
            parts.append(content)
        elif not _is_ignored(kind, content) or not header:
            raise _LeftToPillow
        before = kind
    return header, b"".join(parts)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Type and content of each chunk, its checksum right, to IEND. struct.error where the file is cut."""
    view, at, kind = memoryview(data), len(SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        content, end = at + 8, at + 8 + length
        if struct.unpack_from(">I", data, end)[0] != isal_zlib.crc32(view[at + 4 : end]):
            raise _LeftToPillow
        yield kind, view[content:end]
        at = end + 4


def _is_ignored(kind: bytes, content: memoryview) -> bool:
    if kind == b"IEND":
        return not content
    if kind == b"tEXt":
        return KEYWORD.match(content) is not None
    return kind in IGNORED and len(content) >= IGNORED[kind]


def _layout(header: bytes) -> tuple[int, int, int]:
    """Number of lines, bytes of each with its filter, channels."""
    width, height, bits, colour, compression, filters, interlace = struct.unpack(">IIBBBBB", header)
    channels = CHANNELS.get(colour)
    if channels is None or (bits, compression, filters, interlace) != (8, 0, 0, 0):
        raise _LeftToPillow
    length = 1 + width * channels
    if not width or not height or height * length > LARGEST:
        raise _LeftToPillow
    return height, length, channels


def _inflate(stream: bytes, expected: int) -> bytes:
    """Exactly the bytes that are expected, their checksum right, and nothing behind them.

    isal reads some streams that zlib refuses, where a code is incomplete. Damage does not make such streams
    (three checksums hold), only a wrong encoder.
    """
    if not stream or stream[0] >> 4 > 7:  # a window that zlib refuses and isal does not
        raise _LeftToPillow
    inflater = isal_zlib.decompressobj()
    inflated = inflater.decompress(stream, expected + 1)
    if len(inflated) != expected or not inflater.eof or inflater.unused_data:
        raise _LeftToPillow
    return inflated


@numba.njit(nogil=True, cache=True)
def _unfilter(lines, channels):
    """Undoes each line's filter (section 9): uint8 (H, 1 + N), filters in 0..4, to uint8 (H, N)."""
    height, length = lines.shape[0], lines.shape[1] - 1
    out = np.empty((height, length), np.uint8)
    above = np.zeros(length, np.uint8)
    for y in range(height):
        kind, line, here = lines[y, 0], lines[y, 1:], out[y]
        # The first pixel has no left neighbour: Sub is None there, Paeth is Up.
        for i in range(channels):
            up = above[i] if kind == 2 or kind == 4 else above[i] >> 1 if kind == 3 else 0
            here[i] = line[i] + up
        if kind == 0:
            here[channels:] = line[channels:]
        elif kind == 2:
            for i in range(channels, length):
                here[i] = line[i] + above[i]
        else:
            for k in range(length - channels):
                # Unsigned: no test for negative indices.
                j, i = np.uint64(k), np.uint64(k + channels)
                left, up = np.int32(here[j]), np.int32(above[i])
                if kind == 1:
                    here[i] = line[i] + left
                elif kind == 3:
                    here[i] = line[i] + ((left + up) >> 1)
                else:
                    here[i] = line[i] + _paeth(left, up, np.int32(above[j]))
        above = here
    return out


@numba.njit(nogil=True, cache=True, inline="always")
def _paeth(left, up, corner):
    """The neighbour that is nearest to left + up - corner; of equally near ones the first named."""
    to_left, to_up = up - corner, left - corner
    to_corner = abs(to_left + to_up)
    to_left, to_up = abs(to_left), abs(to_up)
    # Pairs are chosen without a jump, whose outcome no processor could guess.
    nearest, distance = (up, to_up) if to_up <= to_corner else (corner, to_corner)
    return left if to_left <= distance else nearest
