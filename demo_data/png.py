"""Writes PNG files whose bytes depend on no compressor: their zlib stream holds stored blocks."""

import struct
import zlib

import numpy as np


def encode_png(image: np.ndarray) -> bytes:
    """A PNG file of a uint8 image, (H, W) grey or (H, W, 3) RGB.

    zlib's and zlib-ng's compressed output differ between versions; stored blocks, CRC-32 and Adler-32 do not.
    """
    height, width = image.shape[:2]
    rows = image.reshape(height, -1)
    raw = np.concatenate(
        [np.zeros((height, 1), np.uint8), rows], axis=1
    ).tobytes()  # filter 0 before each row
    blocks = [raw[i : i + 0xFFFF] for i in range(0, len(raw), 0xFFFF)]
    stream = b"\x78\x01"
    for number, block in enumerate(blocks):
        stream += struct.pack("<BHH", number == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block
    stream += struct.pack(">I", zlib.adler32(raw))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2 if image.ndim == 3 else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", stream) + chunk(b"IEND", b"")
