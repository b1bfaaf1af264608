"""Mutants of sound files: bytes changed at random, and fields changed with their checksums mended."""

import random
import struct
import zlib

_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_WORDS = {
    "csv": [
        b",",
        b'"',
        b"\n",
        b"\r",
        b"..",
        b"/",
        b"\0",
        b"\xff",
        b"mean",
        b"anomaly",
        b"train",
        b"=1+1",
        b"$(id)",
    ],
    "config": [
        b":",
        b"{",
        b"[",
        b"&a ",
        b"*a",
        b"!!",
        b"\n",
        b"\t",
        b"- ",
        b"null",
        b"1e999",
        b"'",
        b"#",
        b"\0",
    ],
}


def mutate(kind: str, name: str, content: bytes, random: random.Random) -> bytes:
    """A changed copy; never the same bytes."""
    while True:
        changed = bytearray(content)
        mended = _MENDED.get(kind if kind != "mask" else "image")
        if mended is not None and random.random() < 0.4:
            changed = bytearray(mended(name, bytes(changed), random))
        else:
            for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
                _change(kind, changed, random)
        if bytes(changed) != content:
            return bytes(changed)


def _change(kind: str, data: bytearray, random: random.Random) -> None:
    if not data:
        data += b"\0"
    at = random.randrange(len(data))
    length = min(random.choice((1, 2, 4, 16, 256, 4096)), len(data) - at)
    what = random.randrange(8 if kind in _WORDS else 7)
    if what == 0:
        data[at] ^= 1 << random.randrange(8)
    elif what == 1:
        del data[at:]
    elif what == 2:
        del data[at : at + length]
    elif what == 3:
        data[at:at] = data[at : at + length]
    elif what == 4:
        data[at : at + length] = random.randbytes(length)
    elif what == 5:
        data[at : at + length] = bytes(length)
    elif what == 6:
        number = struct.pack(random.choice("<>") + random.choice("HI"), random.choice(_NUMBERS) & 0xFFFF)
        data[at : at + len(number)] = number
    else:
        data[at:at] = random.choice(_WORDS[kind])


def _tar_field(name: str, data: bytes, random: random.Random) -> bytes:
    """One field of one header of a plain tar, its checksum mended."""
    if not name.endswith(".tar"):
        return _flip(data, random)
    changed = bytearray(data)
    headers = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    at = random.choice(headers)
    start, size = random.choice(
        ((0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155))
    )
    choices = (
        random.randbytes(size),
        b"7" * size,
        b"../" * size,
        b"\x80" + b"\xff" * size,
        random.choice(b"0123456789xgLKSDV").to_bytes() * size,
        b"\0" * size,
    )
    changed[at + start : at + start + size] = random.choice(choices)[:size]
    changed[at + 148 : at + 156] = b" " * 8
    changed[at + 148 : at + 156] = b"%06o\0 " % sum(changed[at : at + 512])
    return bytes(changed)


def _png_chunk(name: str, data: bytes, random: random.Random) -> bytes:
    """Bytes of one chunk of a PNG, its checksum mended."""
    if not data.startswith(b"\x89PNG"):
        return _flip(data, random)
    out, at, chunks = data[:8], 8, []
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        chunks.append([data[at + 4 : at + 8], bytearray(data[at + 8 : at + 8 + length])])
        at += 12 + length
    kind, body = random.choice([chunk for chunk in chunks if chunk[1]])
    for _ in range(random.choice((1, 2, 8))):
        body[random.randrange(len(body))] = random.choice((0, 1, 3, 8, 16, 255, random.randrange(256)))
    if random.random() < 0.2:
        chunks.insert(random.randrange(len(chunks)), random.choice(chunks))
    for kind, body in chunks:
        out += (
            struct.pack(">I", len(body))
            + kind
            + bytes(body)
            + struct.pack(">I", zlib.crc32(kind + bytes(body)))
        )
    return out


def _safetensors_header(name: str, data: bytes, random: random.Random) -> bytes:
    """Bytes of the JSON header, its length mended."""
    length = int.from_bytes(data[:8], "little")
    header = bytearray(data[8 : 8 + length])
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(header))
        header[at : at + random.randrange(3)] = random.choice(
            (b"0", b"9" * 30, b"-", b"[", b"{}", b"null", b'"', b",", b"1e9", b"F64", b"\\u0000", b"true")
        )
    return struct.pack("<Q", len(header)) + bytes(header) + data[8 + length :]


def _pickle_opcode(name: str, data: bytes, random: random.Random) -> bytes:
    """Bytes of the pickle inside a checkpoint; the zip's checksum is mended by writing it anew."""
    import io
    import zipfile

    if not data.startswith(b"PK"):
        changed = bytearray(data)
        for _ in range(random.choice((1, 2, 4))):
            changed[random.randrange(min(len(changed), 6000))] = random.randrange(256)
        return bytes(changed)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            content = bytearray(old.read(info))
            if info.filename.endswith("data.pkl"):
                for _ in range(random.choice((1, 1, 2, 4))):
                    content[random.randrange(len(content))] = random.choice(
                        (*b"cR.tb(]}q0Qhr\x81", random.randrange(256))
                    )
            new.writestr(zipfile.ZipInfo(info.filename), bytes(content))
    return out.getvalue()


def _flip(data: bytes, random: random.Random) -> bytes:
    changed = bytearray(data)
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


_MENDED = {
    "archive": _tar_field,
    "image": _png_chunk,
    "safetensors": _safetensors_header,
    "pth": _pickle_opcode,
}
