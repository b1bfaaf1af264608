"""Writes .xz files whose bytes depend on no compressor: LZMA2 chunks are stored."""

import struct
import zlib
from typing import BinaryIO


def _integer(value: int) -> bytes:
    """The format's variable-length integer."""
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _checked(data: bytes) -> bytes:
    return data + struct.pack("<I", zlib.crc32(data))


class StoredXz:
    """A writable file that wraps what it is given in one .xz stream (version 1.2.1 of the format).

    Photographs' noise hardly compresses, and liblzma's output may change with its version.
    """

    _FLAGS = b"\x00\x01"  # check: CRC-32

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._buffer = file, bytearray()
        self._size = self._crc = self._packed = 0
        # One filter: 0x21 (LZMA2) with one property byte, a dictionary of 64 KiB (8).
        self._header = _checked(_padded(b"\x02\x00\x21\x01\x08"))
        file.write(b"\xfd7zXZ\x00" + _checked_flags(self._FLAGS) + self._header)

    def write(self, data: bytes) -> int:
        """Appends `data`."""
        self._buffer += data
        while len(self._buffer) >= 0x10000:
            self._chunk(bytes(self._buffer[:0x10000]))
            del self._buffer[:0x10000]
        return len(data)

    def _chunk(self, data: bytes) -> None:
        reset = b"\x01" if self._size == 0 else b"\x02"
        self._file.write(reset + struct.pack(">H", len(data) - 1) + data)
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._packed += len(data) + 3

    def close(self) -> None:
        """Writes the rest, the index and the footer; leaves the underlying file open."""
        if self._buffer:
            self._chunk(bytes(self._buffer))
        packed = self._packed + 1
        self._file.write(b"\x00" + bytes(-packed % 4) + struct.pack("<I", self._crc))
        unpadded = len(self._header) + packed + 4
        index = _checked(_padded(b"\x00\x01" + _integer(unpadded) + _integer(self._size)))
        footer = struct.pack("<I", len(index) // 4 - 1) + self._FLAGS
        self._file.write(index + struct.pack("<I", zlib.crc32(footer)) + footer + b"YZ")


def _checked_flags(flags: bytes) -> bytes:
    return flags + struct.pack("<I", zlib.crc32(flags))
