"""Hostile files, by kind: hand-made ones with what must become of each, and sound ones to mutate.

A case is (name, bytes, expectation): `refused` or `read`; mutants have none, but whatever is read must be
well formed. Names are file names, so they keep their suffix.
"""

import functools
import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, PngImagePlugin

ARCHITECTURE = "resnet10_w8"
REFUSED, READ = "refused", "read"


class Case(NamedTuple):
    kind: str
    name: str
    content: bytes
    expected: str | None


def corpus(canary: str) -> list[Case]:
    """Every hand-made case; `canary` is a file that some of them try to create by running code."""
    made = []
    for kind, cases in (
        ("archive", _archives(canary)),
        ("image", _images()),
        ("mask", _masks()),
        ("csv", _csvs()),
        ("config", _configs(canary)),
        ("safetensors", _safetensors()),
        ("pth", _checkpoints(canary)),
    ):
        made += [Case(kind, name, content, expected) for name, content, expected in cases]
    return made


@functools.cache
def seeds() -> dict[str, list[tuple[str, bytes]]]:
    """kind -> sound files (name, content), to be mutated. Always the same bytes, but for legacy.pth, into
    which torch writes addresses of memory."""
    tensors = weights()
    return {
        "archive": [
            (f"sound.{suffix}", _tar(_members(), mode))
            for suffix, mode in (("tar", "w"), ("tar.gz", "w:gz"), ("tar.bz2", "w:bz2"), ("tar.xz", "w:xz"))
        ]
        + [("sound.zip", _zip(_members()))],
        "image": [
            ("sound.png", _encode("PNG")),
            ("sound.jpg", _encode("JPEG", quality=90)),
            ("progressive.jpg", _encode("JPEG", progressive=True)),
            ("sound.bmp", _encode("BMP")),
            ("sound.tif", _encode("TIFF")),
            ("lzw.tif", _encode("TIFF", compression="tiff_lzw")),
            ("sound.webp", _encode("WEBP")),
        ],
        "mask": [("sound.png", _mask_bytes()), ("palette.png", _mask_bytes("P"))],
        "csv": [("sound.csv", CSV.encode()), ("quoted.csv", CSV.replace("nut", '"nut"').encode())],
        "config": [("sound.yaml", CONFIG.encode())],
        "safetensors": [("sound.safetensors", safetensors(tensors))],
        "pth": [
            ("sound.pth", _torch_save(tensors)),
            ("legacy.pth", _torch_save(tensors, legacy=True)),
            ("wrapped.pth", _torch_save({"state_dict": tensors, "epoch": 3, "arch": "resnet50"})),
        ],
    }


# --- archives ------------------------------------------------------------------------------------------


def _members() -> dict[str, bytes]:
    return {"nut/train/good/000.png": _encode("PNG"), "nut/readme.txt": b"words " * 50}


def _tar(members: dict[str, bytes], mode: str = "w", change=None) -> bytes:
    if mode == "w:gz":  # tarfile would write the time into it
        return gzip.compress(_tar(members, change=change), mtime=0)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if change is not None:
                change(info)
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return out.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)  # of a fixed date, so that the bytes are always the same
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return out.getvalue()


def _link(kind: bytes, target: str) -> bytes:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname, info.size = kind, target, 0

    return _tar({"nut/link": b""}, change=change)


def _archives(canary: str):
    words = b"words"
    for name in (
        "../outside",
        "/tmp/outside",
        "a/../../outside",
        "..",
        "a/..",
        "C:/outside",
        "a\\..\\outside",
    ):
        label = "".join(c if c.isalnum() else "_" for c in name)
        yield f"traversal{label}.tar", _tar({name: words}), REFUSED
        if "\\" not in name:  # zipfile itself turns backslashes round on other systems
            yield f"traversal{label}.zip", _zip({name: words}), REFUSED
    for name in ("line\nbreak", "bell\x07", "tab\there", "\x7f"):
        yield f"control{ord(name[4]) if len(name) > 4 else 127}.tar", _tar({name: words}), REFUSED
    for i, name in enumerate(ODD_NAMES):
        yield f"odd{i}.tar", _tar({name: words}), READ
        yield f"odd{i}.zip", _zip({name: words}), READ
    shell = f"$(touch {canary.rpartition('/')[2]})"
    yield "shell.tar", _tar({shell: words, f"`{shell}`": words, f";{shell};": words}), READ
    yield "symlink.tar", _link(tarfile.SYMTYPE, "/etc/passwd"), REFUSED
    yield "hardlink.tar", _link(tarfile.LNKTYPE, "../../etc/passwd"), REFUSED
    yield "device.tar", _link(tarfile.CHRTYPE, ""), REFUSED
    yield "fifo.tar", _link(tarfile.FIFOTYPE, ""), REFUSED
    yield "latin1.tar", _tar({"caf\udce9": words}), REFUSED
    yield "case.tar", _tar({"a/Image.png": words, "a/image.png": words}), REFUSED
    yield "forms.tar", _tar({"a/\u00e9": words, "a/e\u0301": words}), REFUSED
    yield "file_and_folder.tar", _tar({"a": words, "a/b": words}), REFUSED
    twice = io.BytesIO()
    with tarfile.open(fileobj=twice, mode="w") as archive:
        for _ in range(2):
            info = tarfile.TarInfo("a")
            info.size = 5
            archive.addfile(info, io.BytesIO(words))
    yield "twice.tar", twice.getvalue(), REFUSED
    yield "inventory.tar", _tar({".unpacked.json": b"{}"}), REFUSED
    zeros = bytes(200 << 20)
    yield "bomb.tar.gz", _tar({"zeros": zeros}, "w:gz"), REFUSED
    yield "bomb.zip", _zip({"zeros": zeros}), REFUSED
    yield "many.tar", _tar({f"f{i}": b"" for i in range(400)}), REFUSED
    sound = _tar(_members())
    yield "cut.tar", sound[:-9216], REFUSED
    yield "cut_in_file.tar", sound[:700], REFUSED
    for suffix, mode in (("gz", "w:gz"), ("bz2", "w:bz2"), ("xz", "w:xz")):
        packed = _tar(_members(), mode)
        yield f"cut.tar.{suffix}", packed[: len(packed) * 2 // 3], REFUSED
    yield "cut.zip", _zip(_members())[:-30], REFUSED
    yield "empty.tar", b"", REFUSED
    yield "page.tar", b"<!doctype html><title>404</title>" * 40, REFUSED
    yield "huge_header.tar", _huge_header(), REFUSED
    lying = bytearray(_zip({"zeros": bytes(1000)}))
    at = lying.index(b"PK\x01\x02")
    struct.pack_into("<I", lying, at + 24, 10)  # the directory says 10 bytes, the data 1,000
    yield "lying.zip", bytes(lying), REFUSED
    locked = bytearray(_zip({"a": words}))
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    yield "encrypted.zip", bytes(locked), REFUSED


ODD_NAMES = (
    "with space.png",
    "quote'\".png",
    "ünï-日本.png",
    "-rf.png",
    "$HOME.png",
    "a&b|c.png",
    "~.png",
    "*.png",
)


def _huge_header() -> bytes:
    """A pax header that claims a gigabyte, which tarfile would read at once."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    return info.tobuf() + bytes(10240)


# --- images and masks ----------------------------------------------------------------------------------


def pixels(height: int = 48, width: int = 48) -> np.ndarray:
    """uint8 (H, W, 3): a soft gradient with some noise, always the same."""
    noise = np.random.default_rng(0).integers(0, 30, (height, width, 3))
    return (np.linspace(60, 180, width)[None, :, None] + noise).astype(np.uint8)


def _encode(form: str, image: Image.Image | None = None, **options) -> bytes:
    out = io.BytesIO()
    (image or Image.fromarray(pixels())).save(out, form, **options)
    return out.getvalue()


def _png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def _images():
    image = Image.fromarray(pixels())
    for form, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("TIFF", "tif"), ("BMP", "bmp"), ("WEBP", "webp")):
        content = _encode(form)
        for part in (0.1, 0.5, 0.9):
            yield f"cut{int(100 * part)}.{suffix}", content[: int(part * len(content))], REFUSED
        yield (
            f"other_name.{'jpg' if suffix == 'png' else 'png'}"
            if suffix in ("png", "jpg")
            else (f"{suffix}.png"),
            content,
            READ,
        )
    yield "no_tail.jpg", _encode("JPEG")[:-2], None  # all coefficients are there, the end mark is not
    yield "empty.png", b"", REFUSED
    yield "zeros.png", bytes(4096), REFUSED
    yield "text.png", b"not an image, whatever its name says\n" * 20, REFUSED
    yield "cmyk.jpg", _encode("JPEG", image.convert("CMYK")), READ
    yield "grey.png", _encode("PNG", image.convert("L")), READ
    yield "one_bit.png", _encode("PNG", image.convert("1")), READ
    yield "palette.png", _encode("PNG", image.convert("P")), READ
    yield "alpha.png", _encode("PNG", image.convert("RGBA")), READ
    yield "la.png", _encode("PNG", image.convert("LA")), READ
    yield "transparent.png", _encode("PNG", image.convert("P"), transparency=0), READ
    deep = Image.fromarray(pixels()[..., 0].astype(np.uint16) * 257)
    yield "deep.png", _encode("PNG", deep), READ
    yield "deep.tif", _encode("TIFF", deep), READ
    yield "int32.tif", _encode("TIFF", Image.fromarray(pixels()[..., 0].astype(np.int32) * 9999)), REFUSED
    yield "float.tif", _encode("TIFF", Image.fromarray(pixels()[..., 0].astype(np.float32))), REFUSED
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "rotated.jpg", _encode("JPEG", exif=exif), READ
    frames = [image, image.rotate(90)]
    yield "animated.png", _encode("PNG", frames[0], save_all=True, append_images=frames[1:]), REFUSED
    yield "animated.webp", _encode("WEBP", frames[0], save_all=True, append_images=frames[1:]), REFUSED
    yield "pages.tif", _encode("TIFF", frames[0], save_all=True, append_images=frames[1:]), REFUSED
    yield "one_pixel.png", _encode("PNG", Image.fromarray(pixels(1, 1))), READ
    yield "line.png", _encode("PNG", Image.fromarray(pixels(1, 48))), READ
    yield "bomb_header.png", _png_claiming(20_000, 20_000), REFUSED
    yield "bomb_width.png", _png_claiming(2**31 - 1, 1), REFUSED
    yield "no_pixels.png", _png_claiming(0, 0), REFUSED
    yield "bomb.png", _encode("PNG", Image.new("1", (20_000, 20_000))), REFUSED
    yield "bomb.jpg", _encode("JPEG", Image.new("L", (20_000, 20_000)), quality=5), REFUSED
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * (8 << 20), zip=True)
    yield "text_bomb.png", _encode("PNG", pnginfo=text), REFUSED
    flipped = bytearray(_encode("PNG"))
    flipped[flipped.index(b"IDAT") + 60] ^= 0x10
    yield "checksum.png", bytes(flipped), REFUSED
    yield "gif.png", _encode("GIF", image.convert("P")), REFUSED
    yield "svg.png", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', REFUSED
    yield "postscript.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n", REFUSED


def _mask_bytes(mode: str = "L", value: int = 255, size: int = 48) -> bytes:
    mask = np.zeros((size, size), np.uint8)
    mask[10:20, 10:20] = value
    image = Image.fromarray(mask)
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 255, 255] + [255, 255, 255] * 254)
    return _encode("PNG", image if mode in ("L", "P") else image.convert(mode))


def _masks():
    for mode in ("L", "P", "1", "RGB", "RGBA", "LA"):
        yield f"{mode.lower()}.png", _mask_bytes(mode), READ
    yield "empty.png", _mask_bytes(value=0), REFUSED
    yield "faint.png", _mask_bytes(value=1), REFUSED  # the threshold is 127
    yield "other_size.png", _mask_bytes(size=47), REFUSED
    yield "cut.png", _mask_bytes()[:60], REFUSED
    yield "text.png", b"mask", REFUSED
    yield "bomb.png", _png_claiming(20_000, 20_000), REFUSED
    yield "deep.png", _encode("PNG", Image.fromarray(_square().astype(np.uint16) * 257)), READ
    nan = _square().astype(np.float32)
    nan[0, 0] = np.nan
    yield "nan.tif.png", _encode("TIFF", Image.fromarray(nan)), REFUSED
    frames = [Image.fromarray(_square()), Image.fromarray(255 - _square())]
    yield "animated.png", _encode("PNG", frames[0], save_all=True, append_images=frames[1:]), REFUSED


def _square() -> np.ndarray:
    mask = np.zeros((48, 48), np.uint8)
    mask[10:20, 10:20] = 255
    return mask


# --- CSV and config ------------------------------------------------------------------------------------

CSV = """object,split,label,image,mask
nut,train,normal,a.png,
nut,test,normal,b.png,
nut,test,anomaly,c.png,c_mask.png
"""


def _csvs():
    yield "sound.csv", CSV.encode(), READ
    yield "bom_crlf.csv", b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode(), READ
    yield "formula.csv", CSV.replace("nut", "=cmd()").encode(), READ
    yield "shell.csv", CSV.replace("nut", "$(touch x)").encode(), READ
    yield "markup.csv", CSV.replace("nut", "<script>alert(1)</script>").encode(), READ
    yield "semicolon.csv", CSV.replace(",", ";").encode(), READ
    yield "more_columns.csv", CSV.replace("mask\n", "mask,more\n", 1).encode(), READ
    for name, bad in (
        ("empty", ""),
        ("header_only", CSV.splitlines()[0] + "\n"),
        ("no_object", CSV.replace("object,", "thing,")),
        ("two_images", CSV.replace("mask\n", "image\n", 1)),
        ("two_labels", CSV.replace("mask\n", "label\n", 1)),
        ("ragged", CSV + "nut,test,normal,d.png,,,,,\n"),
        ("word", CSV.replace("test,normal", "tset,normal")),
        ("label", CSV.replace("anomaly", "bad")),
        ("parent", CSV.replace("a.png", "../a.png")),
        ("absolute", CSV.replace("a.png", "/etc/passwd")),
        ("backslash", CSV.replace("a.png", "x\\a.png")),
        ("mask_parent", CSV.replace("c_mask", "../c_mask")),
        ("newline", CSV.replace("a.png", '"a\n.png"')),
        ("nul", CSV.replace("a.png", "a\0.png")),
        ("escape", CSV.replace("nut,train", "nut\x1b[2J,train")),
        ("mean", CSV.replace("nut", "mean")),
        ("dots", CSV.replace("nut", "..")),
        ("dot", CSV.replace("nut", ".")),
        ("all", CSV.replace("nut", "all")),
        ("nameless", CSV.replace("nut", "")),
        ("duplicate", CSV.replace("b.png", "a.png")),
        ("trains_on_anomaly", CSV.replace("test,anomaly", "train,anomaly")),
        ("open_quote", CSV.replace("a.png", '"a.png')),
    ):
        yield f"{name}.csv", bad.encode(), REFUSED
    yield "utf16.csv", CSV.encode("utf-16"), REFUSED
    yield "latin1.csv", CSV.replace("nut", "café").encode("latin-1"), REFUSED
    yield "binary.csv", bytes(range(256)) * 8, REFUSED
    yield "wide.csv", (",".join(f"c{i}" for i in range(50_000)) + "\n").encode(), REFUSED
    yield "long_field.csv", CSV.replace("a.png", "a" * (4 << 20)).encode(), REFUSED


CONFIG = """preset: tiny
compute: {threads: 1}
corpus: {size: 32}
tables:
  padim_1class: {rows: [simsiam, simsiam_spd]}
"""


def _configs(canary: str):
    yield "sound.yaml", CONFIG.encode(), READ
    run = f'!!python/object/apply:os.system ["touch {canary}"]'
    for name, bad in (
        ("apply", f"compute: {run}\n"),
        ("name", "compute: !!python/name:os.system\n"),
        ("module", "compute: !!python/module:os\n"),
        ("new", f'compute: !!python/object/new:subprocess.Popen ["touch {canary}"]\n'),
        ("unknown_tag", "compute: !evil {}\n"),
        ("laughs", _laughs()),
        ("laughs_value", _laughs().replace("compute:", "preset:")),
        ("cycle", "compute: &a {threads: *a}\n"),
        ("cycle_list", "datasets: &a [*a]\n"),
        ("deep", "compute: " + "[" * 5000 + "\n"),
        ("deep_maps", "compute: " + "{a: " * 5000 + "\n"),
        ("twice", "compute: {}\ncompute: {}\n"),
        ("tab", "compute:\n\tthreads: 1\n"),
        ("list", "- preset\n"),
        ("scalar", "preset\n"),
        ("unknown", "compute: {thread: 1}\n"),
        ("type", "compute: {threads: many}\n"),
        ("range", "compute: {threads: 0}\n"),
        ("infinite", "recipes: {simsiam: {lr: .inf}}\n"),
        ("not_a_number", "recipes: {simsiam: {lr: .nan}}\n"),
        ("huge", f"compute: {{threads: {10**30}}}\n"),
        ("digits", f"compute: {{threads: {'9' * 5000}}}\n"),
        ("no_such_preset", "preset: ../../etc\n"),
        ("dots", "datasets: {mvtec: {objects: ['..']}}\n"),
        ("newline", 'datasets: {mvtec: {objects: ["a/b\\nc"]}}\n'),
        ("key", "tables: {'a b': {title: x}}\n"),
        ("shell_key", "pretrainings: {'$(touch x)': {label: x, source: {source: random}}}\n"),
        ("null_document", "\n---\n"),
        ("two_documents", "preset: tiny\n---\npreset: demo\n"),
        ("date", "compute: {threads: 2020-01-01}\n"),
        ("binary_tag", "preset: !!binary aGk=\n"),
        ("set", "preset: !!set {a, b}\n"),
        ("complex_key", "? [a, b]\n: 1\n"),
        ("mapping_key", "? {a: b}\n: 1\n"),
    ):
        yield f"{name}.yaml", bad.encode(), REFUSED
    yield "binary.yaml", bytes(range(256)), REFUSED
    yield "utf16.yaml", CONFIG.encode("utf-16-le"), REFUSED
    yield "nul.yaml", b"preset: ti\0ny\n", REFUSED


def _laughs() -> str:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    return "\n".join(["compute:", *("  " + line for line in lines)]) + "\n"


# --- weights -------------------------------------------------------------------------------------------


def weights() -> dict[str, torch.Tensor]:
    """A sound state dict of ARCHITECTURE without a classifier."""
    from spd.backbones.architectures import build

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(ARCHITECTURE).state_dict()


def safetensors(tensors, change=None, tail: bytes = b"") -> bytes:
    """The bytes of a backbone file; `change` may alter the header's mapping."""
    header: dict = {
        "__metadata__": {
            "architecture": json.dumps(ARCHITECTURE),
            "mean": "[0.5, 0.5, 0.5]",
            "std": "[0.2, 0.2, 0.2]",
        }
    }
    data, codes = b"", {torch.float32: "F32", torch.int64: "I64"}
    for key, tensor in tensors.items():
        raw = tensor.contiguous().numpy().tobytes()
        header[key] = {
            "dtype": codes[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    if change is not None:
        change(header)
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data + tail


def _safetensors():
    tensors = weights()
    first, second, *_ = tensors

    def changed(name, change):
        return f"{name}.safetensors", safetensors(tensors, change), REFUSED

    yield "sound.safetensors", safetensors(tensors), READ
    yield changed("overlap", lambda h: h[second].update(data_offsets=h[first]["data_offsets"]))
    yield changed("negative", lambda h: h[first].update(data_offsets=[-8, 8]))
    yield changed("backwards", lambda h: h[first].update(data_offsets=h[first]["data_offsets"][::-1]))
    yield changed("far", lambda h: h[first].update(data_offsets=[0, 1 << 60]))
    yield changed("text_offsets", lambda h: h[first].update(data_offsets=["0", "8"]))
    yield changed("no_offsets", lambda h: h[first].pop("data_offsets"))
    yield changed("shape", lambda h: h[first].update(shape=[1 << 40]))
    yield changed("negative_shape", lambda h: h[first].update(shape=[-1, *h[first]["shape"][1:]]))
    yield changed("flat_shape", lambda h: h[first].update(shape=[int(np.prod(h[first]["shape"]))]))
    yield changed("scalar_entry", lambda h: h.update({first: 5}))
    yield changed("dtype", lambda h: h[first].update(dtype="F8"))
    yield changed("dtype_list", lambda h: h[first].update(dtype=["F32"]))
    yield changed("other_dtype", lambda h: h[first].update(dtype="I32"))
    yield changed("renamed", lambda h: h.update({"evil": h.pop(first)}))
    yield changed("no_metadata", lambda h: h.pop("__metadata__"))
    yield changed("metadata_list", lambda h: h.update({"__metadata__": []}))
    yield changed("architecture", lambda h: h["__metadata__"].update(architecture='"resnet9"'))
    yield changed("architecture_code", lambda h: h["__metadata__"].update(architecture='"timm:__import__"'))
    yield changed("mean", lambda h: h["__metadata__"].update(mean='["a", null]'))
    yield changed("std", lambda h: h["__metadata__"].update(std="[0, 0, 0]"))
    yield "list.safetensors", struct.pack("<Q", 2) + b"[]", REFUSED
    yield "deep.safetensors", struct.pack("<Q", 60_000) + b"[" * 60_000, REFUSED
    yield "long_header.safetensors", struct.pack("<Q", 2**63) + b"{}", REFUSED
    yield "short.safetensors", b"\x00\x00\x00", REFUSED
    yield "empty.safetensors", b"", REFUSED
    yield "tail.safetensors", safetensors(tensors, tail=b"more"), REFUSED
    yield "pickle.safetensors", pickle.dumps({"a": 1}), REFUSED
    sound = safetensors(tensors)
    yield "cut.safetensors", sound[: len(sound) // 2], REFUSED
    infinite = {**tensors, first: torch.full_like(tensors[first], float("nan"))}
    yield "nan.safetensors", safetensors(infinite), REFUSED
    # The first five of many differences are named: see test_first_five_differences_are_named.


class _Runs:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _torch_save(content, legacy: bool = False) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, _use_new_zipfile_serialization=not legacy)
    return out.getvalue()


IDENTITY = {"method": "simsiam", "seed": 0}  # of the training whose checkpoint is mutated


def _checkpoints(canary: str):
    import builtins
    import importlib
    import os
    import shutil
    import subprocess

    tensors = weights()
    touch = f"touch {canary}"
    calls = {
        "system": _Runs(os.system, touch),
        "popen": _Runs(subprocess.Popen, ["touch", canary]),
        "check_call": _Runs(subprocess.check_call, ["touch", canary]),
        "eval": _Runs(builtins.eval, f"__import__('os').system({touch!r})"),
        "exec": _Runs(builtins.exec, f"import os; os.system({touch!r})"),
        "open": _Runs(builtins.open, canary, "w"),
        "import": _Runs(importlib.import_module, "antigravity"),
        "rmtree": _Runs(shutil.rmtree, canary),
        "torch_load": _Runs(torch.load, canary),
        "hub": _Runs(torch.hub.load, "nobody/nothing", "model"),
    }
    for name, call in calls.items():
        for form, legacy in (("zip", False), ("legacy", True)):
            beside = {"state_dict": tensors, "extra": call}
            # A class nobody knows becomes an inert stub; a call that was never made is no harm.
            yield f"{name}_{form}.pth", _torch_save(call, legacy), REFUSED
            yield f"{name}_beside_{form}.pth", _torch_save(beside, legacy), None
    yield "raw_pickle.pth", pickle.dumps(calls["system"]), REFUSED
    yield "plain_pickle.pth", pickle.dumps({"a": 1}), REFUSED
    yield "sound.pth", _torch_save(tensors), READ
    yield "legacy.pth", _torch_save(tensors, legacy=True), READ
    yield "empty.pth", b"", REFUSED
    yield "zeros.pth", bytes(5000), REFUSED
    yield "text.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", REFUSED
    sound = _torch_save(tensors)
    yield "cut.pth", sound[: len(sound) // 2], REFUSED
    legacy = _torch_save(tensors, legacy=True)
    yield "cut_legacy.pth", legacy[: len(legacy) // 2], REFUSED
    yield "no_tensors.pth", _torch_save({"state_dict": {"a": 1}}), REFUSED
    yield "list.pth", _torch_save([1, 2]), REFUSED
    yield "number_keys.pth", _torch_save({1: torch.zeros(3)}), REFUSED
    yield "nan.pth", _torch_save({**tensors, "conv1.weight": tensors["conv1.weight"] * float("nan")}), REFUSED
    yield "missing.pth", _torch_save(dict(list(tensors.items())[7:])), REFUSED
    yield (
        "complex.pth",
        _torch_save({**tensors, "conv1.weight": tensors["conv1.weight"].to(torch.complex64)}),
        REFUSED,
    )
    yield "sparse.pth", _torch_save({**tensors, "conv1.weight": torch.eye(3).to_sparse()}), REFUSED
    yield "meta.pth", _torch_save({**tensors, "conv1.weight": tensors["conv1.weight"].to("meta")}), REFUSED
    yield "expanded.pth", _torch_save({"a": torch.zeros(1).expand(1 << 40)}), REFUSED
    classes = b"".join(b"cnowhere\nC%d\n0" % i for i in range(5000))
    yield (
        "many_classes.pth",
        _zip({"archive/data.pkl": b"\x80\x02" + classes + b"}.", "archive/version": b"3\n"}),
        REFUSED,
    )
    memo = b"\x80\x02](K\x01K\x01e" + b"".join(b"q%c(h%ch%ce." % (i, i, i) for i in range(3))
    yield "opcodes.pth", memo, REFUSED
    laughs = (
        b"\x80\x02"
        + b"(K\x01K\x01tq\x00"
        + b"".join(b"(h%ch%ctq%c" % (i, i, i + 1) for i in range(40))
        + b"."
    )
    yield "laughs.pth", laughs, REFUSED
    huge = b"\x80\x02" + b"X\xff\xff\xff\x7f" + b"a" * 100 + b"."
    yield "long_string.pth", huge, REFUSED
