import hashlib
import json

import pytest

from spd import files


def test_identical_content_gives_identical_bytes(tmp_path):
    files.write_json(tmp_path / "a", {"b": 1, "a": [1, 2]})
    files.write_json(tmp_path / "b", {"a": [1, 2], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nan_is_refused_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"v": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"v": float("nan")})
    assert json.loads(path.read_text()) == {"v": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_broken_file_is_named(tmp_path):
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match=r"broken\.json"):
        files.read_json(tmp_path / "broken.json")


def test_file_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert files.file_sha256(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()


def test_files_have_one_hash_wherever_they_lie(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in ("x", "y"):
            (tmp_path / folder / name).write_text(name)
    a, b = (files.files_sha256((tmp_path / folder).iterdir()) for folder in ("a", "b"))
    assert a == b == files.files_sha256(sorted((tmp_path / "a").iterdir(), reverse=True))
    (tmp_path / "b/y").write_text("x")
    assert files.files_sha256((tmp_path / "b").iterdir()) != a
    (tmp_path / "a/y").rename(tmp_path / "a/z")
    assert files.files_sha256((tmp_path / "a").iterdir()) != a
