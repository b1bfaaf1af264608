"""Writes baseline JPEG files in exact integer arithmetic: their bytes depend on no library's version."""

import struct

import numpy as np

from demo_data.drawing import cosine_sine

# Example tables of ISO/IEC 10918-1, annex K: luminance quantisation (zigzag order), DC and AC Huffman codes.
# All three colour components share them, which costs a few per cent of the size.
_QUANTISATION = np.array(
    [16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40,
     58, 51, 61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103,
     104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99]
)  # fmt: skip
_DC = bytes.fromhex("00010501010101010100000000000000000102030405060708090a0b")
_AC = bytes.fromhex(
    "0002010303020403050504040000017d01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282"
    "090a161718191a25262728292a3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a83"
    "8485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1"
    "e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa"
)
_ZIGZAG = np.array(
    sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))
)
_BITS = 13
# Rows: the DCT-II basis times 2^13, rounded to integers.
_BASIS = np.array(
    [
        [
            np.floor(
                np.sqrt(0.125 if k == 0 else 0.25) * ((1 << _BITS) * cosine_sine((2 * n + 1) * k / 32)[0])
                + 0.5
            )
            for n in range(8)
        ]
        for k in range(8)
    ]
).astype(np.int64)


def _codes(table: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Code and code length of each symbol of a Huffman table in the file's own notation."""
    codes, lengths = np.zeros(256, np.int64), np.zeros(256, np.int64)
    code, symbols = 0, iter(table[16:])
    for size, count in enumerate(table[:16], start=1):
        for _ in range(count):
            symbol = next(symbols)
            codes[symbol], lengths[symbol] = code, size
            code += 1
        code <<= 1
    return codes, lengths


_DC_CODES, _AC_CODES = _codes(_DC), _codes(_AC)


def _coefficients(image: np.ndarray, quantisation: np.ndarray) -> np.ndarray:
    """Quantised zigzag coefficients (blocks, 64) of the image, block by block, Y, Cb and Cr in turn."""
    h, w = image.shape[:2]
    rgb = np.pad(image, ((0, -h % 8), (0, -w % 8), (0, 0)), mode="edge").astype(np.int64)
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    half, centre = 1 << 15, 128 << 16  # JFIF's colour transform in 16-bit fixed point
    planes = np.stack(
        [
            ((19595 * r + 38470 * g + 7471 * b + half) >> 16) - 128,
            ((32768 * b - 11059 * r - 21709 * g + centre + half - 1) >> 16) - 128,
            ((32768 * r - 27439 * g - 5329 * b + centre + half - 1) >> 16) - 128,
        ]
    )
    blocks = planes.reshape(3, rgb.shape[0] // 8, 8, rgb.shape[1] // 8, 8)
    blocks = blocks.transpose(1, 3, 0, 2, 4).reshape(-1, 8, 8)
    # Every sum stays below 2^53: float64 products are exact in any order, and BLAS is fast.
    basis = _BASIS.astype(np.float64)
    spectrum = (basis @ blocks.astype(np.float64) @ basis.T).astype(np.int64).reshape(-1, 64)[:, _ZIGZAG]
    step = quantisation << (2 * _BITS)
    return np.sign(spectrum) * ((2 * np.abs(spectrum) + step) // (2 * step))


def _entropy_coded(coefficients: np.ndarray) -> bytes:
    """The scan's bits: each entry is a Huffman code followed by the value's own bits."""
    count = len(coefficients)
    dc = coefficients[:, 0].reshape(-1, 3)
    dc = np.diff(dc, axis=0, prepend=0).reshape(-1)
    block, position = np.nonzero(coefficients[:, 1:])
    position = position + 1
    value = coefficients[block, position]
    first = np.diff(block, prepend=-1) != 0
    run = position - np.where(first, 0, np.concatenate([[0], position[:-1]])) - 1

    def entries(
        codes: tuple[np.ndarray, np.ndarray], run: np.ndarray, v: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        size = np.zeros(len(v), np.int64)
        for bit in range(12):
            size += np.abs(v) >> bit > 0
        symbol = run << 4 | size
        extra = np.where(v >= 0, v, v + (1 << size) - 1)
        return codes[0][symbol] << size | extra, codes[1][symbol] + size

    order, words, lengths = [], [], []

    def add(key: np.ndarray, word: np.ndarray, bits: np.ndarray) -> None:
        order.append(key), words.append(word), lengths.append(bits)

    add(np.arange(count) * 1024, *entries(_DC_CODES, np.zeros(count, np.int64), dc))
    add(block * 1024 + position * 8 + 4, *entries(_AC_CODES, run % 16, value))
    for extra in range(3):  # runs of 16 zeros have a code of their own
        at = np.flatnonzero(run // 16 > extra)
        add(
            block[at] * 1024 + position[at] * 8 + extra,
            *(np.full(len(at), table[0xF0]) for table in _AC_CODES),
        )
    ends = np.flatnonzero(coefficients[:, 63] == 0)
    add(ends * 1024 + 1023, *(np.full(len(ends), table[0]) for table in _AC_CODES))

    sequence = np.argsort(np.concatenate(order), kind="stable")
    word, bits = np.concatenate(words)[sequence], np.concatenate(lengths)[sequence]
    starts = np.cumsum(bits) - bits
    shift = np.repeat(bits + starts, bits) - 1 - np.arange(int(bits.sum()))
    stream = (np.repeat(word, bits) >> shift & 1).astype(np.uint8)
    data = np.packbits(np.concatenate([stream, np.ones(-len(stream) % 8, np.uint8)])).tobytes()
    return data.replace(b"\xff", b"\xff\x00")


def encode_jpeg(image: np.ndarray, quality: int = 92) -> bytes:
    """A baseline JPEG file (4:4:4, JFIF) of a uint8 RGB image (H, W, 3); `quality` 50 to 100 as libjpeg's."""
    quantisation = np.clip((_QUANTISATION * (200 - 2 * quality) + 50) // 100, 1, 255)

    def marker(kind: int, data: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data

    height, width = image.shape[:2]
    components = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    return b"".join(
        [
            b"\xff\xd8",
            marker(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"),
            marker(0xDB, b"\x00" + bytes(quantisation.tolist())),
            marker(0xC0, struct.pack(">BHHB", 8, height, width, 3) + components),
            marker(0xC4, b"\x00" + _DC),
            marker(0xC4, b"\x10" + _AC),
            marker(0xDA, b"\x03\x01\x00\x02\x00\x03\x00\x00\x3f\x00"),
            _entropy_coded(_coefficients(image, quantisation)),
            b"\xff\xd9",
        ]
    )
