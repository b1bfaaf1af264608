"""A file is the old one or the new one; its hash is SHA-256."""

import json

import pytest

from spd.files import atomic_path, atomic_write, file_sha256, read_json, write_json


@pytest.mark.parametrize("content", ["ä\r\n", b"\xff\n"])
def test_text_and_bytes_are_written_as_they_are_into_a_new_folder(tmp_path, content):
    path = tmp_path / "deep/er/a.txt"
    assert atomic_write(str(path), content) == path
    assert path.read_bytes() == (content if isinstance(content, bytes) else b"\xc3\xa4\r\n")
    assert list(path.parent.iterdir()) == [path]


def test_the_name_is_taken_at_the_end(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path and path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(error), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / ".a[1].12345.tmp").write_bytes(b"half")
    (tmp_path / ".a1.12345.tmp").write_bytes(b"another file's")
    atomic_write(tmp_path / "a[1]", "")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".a1.12345.tmp", "a[1]"]


def test_identical_content_gives_identical_json(tmp_path):
    write_json(tmp_path / "a", {"b": 1, "a": [1, "ä"]})
    write_json(tmp_path / "b", {"a": [1, "ä"], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_json(tmp_path / "a") == json.loads((tmp_path / "a").read_bytes()) == {"a": [1, "ä"], "b": 1}


def test_nan_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"v": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"{", b"\xff"])
def test_a_broken_file_is_named(tmp_path, content):
    (tmp_path / "broken.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.json: not a JSON file"):
        read_json(tmp_path / "broken.json")


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, B.1
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
