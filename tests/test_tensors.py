"""safetensors files: read by the library what we wrote, and the other way round; never half a file."""

import json

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from spd import tensors
from spd.tensors import TensorWriter, open_tensors, write_tensors

ARRAYS = {
    "grün/图像": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "b": np.linspace(-1, 1, 10, dtype=np.float32).reshape(5, 2),
    "scalar": np.array(7, dtype=np.int64),
    "empty": np.zeros((0, 3), np.float32),
}


def test_the_library_reads_what_we_write(tmp_path):
    write_tensors(tmp_path / "a.safetensors", ARRAYS, {"name": "grün", "n": "1"})
    read = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    assert set(read) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype and np.array_equal(read[name], array)
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        assert file.metadata() == {"name": "grün", "n": "1"}


def test_we_read_what_the_library_writes(tmp_path):
    safetensors.numpy.save_file(ARRAYS, tmp_path / "a.safetensors", {"key": "value"})
    read, metadata = open_tensors(tmp_path / "a.safetensors")
    assert metadata == {"key": "value"}
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype and np.array_equal(read[name], array)


def test_rows_may_come_in_any_order(tmp_path):
    values = np.arange(40, dtype=np.float32).reshape(8, 5)
    with TensorWriter(tmp_path / "a.safetensors", {"x": ("float32", (8, 5))}) as writer:
        for first in (6, 0, 3):
            writer.write("x", values[first : first + 3][: 8 - first], first)
    assert np.array_equal(open_tensors(tmp_path / "a.safetensors")[0]["x"], values)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    write_tensors(tmp_path / "a", {"x": ARRAYS["b"]}, {"one": "1", "two": "2"})
    write_tensors(tmp_path / "b", {"x": ARRAYS["b"]}, {"two": "2", "one": "1"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tensors_begin_at_multiples_of_8_bytes(tmp_path):
    for name in ("x", "xx", "xxx"):
        write_tensors(tmp_path / name, {name: ARRAYS["b"]})
        assert int.from_bytes((tmp_path / name).read_bytes()[:8], "little") % 8 == 0


def test_reading_is_lazy_and_read_only(tmp_path):
    write_tensors(tmp_path / "a", {"x": ARRAYS["b"]})
    array = open_tensors(tmp_path / "a")[0]["x"]
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    write_tensors(tmp_path / "a", {"x": ARRAYS["b"]})
    before = (tmp_path / "a").read_bytes()
    with pytest.raises(RuntimeError), TensorWriter(tmp_path / "a", {"x": ("float32", (2, 2))}):
        raise RuntimeError("killed")
    with (
        pytest.raises(ValueError, match="never written: x"),
        TensorWriter(tmp_path / "a", {"x": ("float32", (2, 2))}) as writer,
    ):
        writer.write("x", np.zeros((1, 2), np.float32))
    assert (tmp_path / "a").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("values", "first"),
    [(np.zeros((1, 2)), 0), (np.zeros((1, 3), np.float32), 0), (np.zeros((2, 2), np.float32), 3)],
    ids=["dtype", "shape", "too many rows"],
)
def test_what_does_not_fit_is_refused(tmp_path, values, first):
    with (
        pytest.raises(ValueError, match="cannot take"),
        TensorWriter(tmp_path / "a", {"x": ("float32", (4, 2))}) as writer,
    ):
        writer.write("x", values, first)


def test_a_full_disk_is_noticed_before_it_is_full(tmp_path, monkeypatch):
    usage = tensors.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(tensors.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match="GiB left"):
        write_tensors(tmp_path / "a", {"x": np.zeros(1000, np.float32)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content", [b"", b"not a file of tensors at all", (5).to_bytes(8, "little") + b"[1,2]"]
)
def test_other_files_are_named(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match="a is not a safetensors file"):
        open_tensors(tmp_path / "a")


def test_a_file_cut_short_is_named(tmp_path):
    write_tensors(tmp_path / "a", {"x": ARRAYS["b"]})
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-1])
    with pytest.raises(ValueError, match="is incomplete"):
        open_tensors(tmp_path / "a")


def test_an_unknown_dtype_is_named(tmp_path):
    header = json.dumps({"x": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "a").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(ValueError, match="'x' is 'BF16'"):
        open_tensors(tmp_path / "a")
