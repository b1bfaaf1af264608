"""safetensors files written piece by piece and read as memory maps, for arrays larger than memory.

The file format is https://github.com/huggingface/safetensors: 8 bytes little-endian header length, a JSON
header, the tensors' bytes. Written here rather than by the library, which wants every tensor in memory, and
orders the metadata anew in each process: the same content gives the same bytes.
"""

import contextlib
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spd.files import atomic_path

_CODES = {
    "uint8": "U8",
    "int32": "I32",
    "int64": "I64",
    "bool": "BOOL",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}
_DTYPES = {code: np.dtype(name) for name, code in _CODES.items()}
_METADATA = "__metadata__"


class TensorWriter:
    """Writes a safetensors file whose shapes are known before its values.

    Use as a context manager: the file takes its name when the block ends without an exception, and leaves
    nothing behind otherwise.

    shapes: name -> (dtype name, shape); metadata: strings.
    Raises OSError if the disk has no room for it, ValueError when the block ends with rows that nobody wrote.
    """

    def __init__(
        self,
        path: Path | str,
        shapes: Mapping[str, tuple[str, tuple[int, ...]]],
        metadata: Mapping[str, str] | None = None,
    ):
        self._path = Path(path)
        header: dict = {_METADATA: dict(sorted(metadata.items()))} if metadata else {}
        self._shapes, self._begin, self._rows_left, offset = {}, {}, {}, 0
        for name, (dtype, shape) in shapes.items():
            if name == _METADATA:
                raise ValueError(f"{path}: a tensor cannot be named {_METADATA}")
            dtype = np.dtype(dtype)
            size = dtype.itemsize * math.prod(shape)
            header[name] = {
                "dtype": _CODES[dtype.name],
                "shape": list(shape),
                "data_offsets": [offset, offset + size],
            }
            self._shapes[name], self._begin[name] = (dtype, tuple(shape)), offset
            self._rows_left[name] = shape[0] if shape else 1
            offset += size
        encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        encoded += b" " * (-len(encoded) % 8)  # the tensors begin at a multiple of 8 bytes
        self._head, self._size = len(encoded).to_bytes(8, "little") + encoded, offset

    def __enter__(self) -> "TensorWriter":
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self._path))
            size, free = len(self._head) + self._size, shutil.disk_usage(temporary.parent).free
            if size > free:
                raise OSError(
                    f"{self._path} needs {size / 2**30:.1f} GiB, the disk has {free / 2**30:.1f} GiB left"
                )
            self._file = stack.enter_context(temporary.open("wb"))
            self._file.write(self._head)
            self._file.truncate(size)
            self._stack = stack.pop_all()
        return self

    def write(self, name: str, values: np.ndarray, first_row: int = 0) -> None:
        """Writes rows `first_row` ... of tensor `name` (the whole of it, if it has no dimensions)."""
        dtype, shape = self._shapes[name]
        values = np.ascontiguousarray(values).reshape(
            np.shape(values)
        )  # ascontiguousarray alone adds a dimension to scalars
        rows = values.shape[0] if shape else 1
        if (
            values.dtype != dtype
            or values.shape[1:] != shape[1:]
            or values.ndim != len(shape)
            or first_row + rows > max(shape[:1], default=1)
        ):
            raise ValueError(
                f"{self._path}: {name} is {dtype} {shape}, rows {first_row} ... cannot take {values.dtype} "
                f"{values.shape}"
            )
        self._file.seek(
            len(self._head) + self._begin[name] + first_row * dtype.itemsize * math.prod(shape[1:])
        )
        self._file.write(values.data if values.size else b"")
        self._rows_left[name] -= rows

    def __exit__(self, kind, error, traceback) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, traceback)
            return
        with self._stack:
            missing = [name for name, rows in self._rows_left.items() if rows]
            if missing:
                raise ValueError(f"{self._path}: rows never written: {', '.join(missing[:5])}")


def write_tensors(
    path: Path | str, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes arrays that are in memory; atomic, the same content gives the same bytes."""
    tensors = {name: np.asarray(values) for name, values in tensors.items()}
    with TensorWriter(
        path, {name: (t.dtype.name, t.shape) for name, t in tensors.items()}, metadata
    ) as writer:
        for name, values in tensors.items():
            writer.write(name, values)


def open_tensors(path: Path | str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(tensors, metadata): read-only arrays mapped from the file, whose pages are read when they are looked
    at.

    Raises FileNotFoundError, and ValueError for a file that is not safetensors or is cut short.
    """
    path = Path(path)
    with path.open("rb") as file:
        size, length = path.stat().st_size, int.from_bytes(file.read(8), "little")
        try:
            if length > size - 8:
                raise ValueError
            header = json.loads(file.read(length))
            metadata = header.pop(_METADATA, {})
            if not all(isinstance(text, str) for text in metadata.values()):
                raise ValueError
            end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
            places = sorted(tuple(entry["data_offsets"]) for entry in header.values())
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise ValueError(f"{path} is not a safetensors file") from None
    if 8 + length + end != size:
        raise ValueError(
            f"{path} is incomplete: {size} bytes, its header announces {8 + length + end}; delete it and "
            f"make it again"
        )
    bytes_ = np.memmap(path, mode="r") if size else None
    tensors = {}
    # Side by side from 0 to the end: none overlaps another, nothing is hidden between them.
    if [begin for begin, _ in places] != [0, *(stop for _, stop in places)][: len(places)]:
        raise ValueError(f"{path} is not a safetensors file: its tensors overlap or leave gaps")
    for name, entry in header.items():
        dtype, shape = entry.get("dtype"), entry.get("shape")
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise ValueError(f"{path}: tensor {name!r:.80} is {dtype!r:.80}; known are {', '.join(_DTYPES)}")
        begin, stop = (8 + length + offset for offset in entry["data_offsets"])
        if (
            not isinstance(shape, list)
            or not all(type(side) is int and side >= 0 for side in shape)
            or stop - begin != _DTYPES[dtype].itemsize * math.prod(shape)
        ):
            raise ValueError(f"{path}: tensor {name!r:.80} has {stop - begin} bytes, not those of its shape")
        tensors[name] = bytes_[begin:stop].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata
