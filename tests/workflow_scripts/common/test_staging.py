"""A file that a job reads from its node's own disk."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "workflow_scripts/common/staging.py"
spec = importlib.util.spec_from_file_location("staging", SCRIPT)
staging = importlib.util.module_from_spec(spec)
spec.loader.exec_module(staging)


def test_a_staged_file_is_a_copy_on_the_nodes_disk_that_does_not_stay(tmp_path, monkeypatch):
    source = tmp_path / "features.safetensors"
    source.write_bytes(b"features")
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "disk"))
    with staging.staged(source, "$NODE_DISK") as path:
        assert path.parent.parent == tmp_path / "disk"
        assert path.read_bytes() == b"features"
    assert list((tmp_path / "disk").iterdir()) == []


def test_what_finds_no_room_is_read_where_it_lies(tmp_path, monkeypatch, capsys):
    source = tmp_path / "features.safetensors"
    source.write_bytes(b"features")
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 3}))
    with staging.staged(source, str(tmp_path / "disk")) as path:
        assert path == source
    assert "is read where it lies" in capsys.readouterr().err
    with staging.staged(source, None) as path:
        assert path == source


def test_scratch_with_an_unset_variable_names_the_key(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_DISK", raising=False)
    with (
        pytest.raises(ValueError, match=r"compute\.scratch.*NO_SUCH_DISK"),
        staging.staged(tmp_path, "$NO_SUCH_DISK/x"),
    ):
        pass
