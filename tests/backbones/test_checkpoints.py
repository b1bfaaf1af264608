"""Reading foreign checkpoints: tensors come through, code does not."""

import argparse
import io
import os
import tarfile

import numpy as np
import pytest
import safetensors.torch
import torch

from spd.backbones.checkpoints import read_state_dict

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def _equal(state):
    return set(state) == set(STATE) and all(torch.equal(state[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize(
    "layout",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}},
        lambda s: {"model": s, "lr": 0.1},
        lambda s: {"state_dict": {f"module.{key}": value for key, value in s.items()}, "arch": "resnet50"},
        lambda s: {f"_orig_mod.{key}": value for key, value in s.items()},
    ],
    ids=["bare", "state_dict", "model", "DistributedDataParallel", "compiled"],
)
def test_containers_and_wrappers(tmp_path, layout, zipped):
    torch.save(layout(STATE), tmp_path / "c.pth", _use_new_zipfile_serialization=zipped)
    state, stubs = read_state_dict(tmp_path / "c.pth")
    assert _equal(state) and stubs == []


def test_safetensors(tmp_path):
    safetensors.torch.save_file(STATE, tmp_path / "c.safetensors")
    assert _equal(read_state_dict(tmp_path / "c.safetensors")[0])


class Trap:
    """Unpickled the ordinary way, this makes a folder."""

    def __init__(self, function, path):
        self.reduction = (function, (str(path),))

    def __reduce__(self):
        return self.reduction


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize(
    ("extra", "name"),
    [
        (argparse.Namespace(lr=0.1, nested=[1, {"a": 2}]), "argparse.Namespace"),
        (np.float64(0.7), "numpy.dtype"),
        (np.arange(3), "numpy.ndarray"),
    ],
    ids=["namespace", "numpy scalar", "numpy array"],
)
def test_classes_beside_the_tensors_become_stubs(tmp_path, extra, name, zipped):
    torch.save(
        {"state_dict": STATE, "args": extra}, tmp_path / "c.pth", _use_new_zipfile_serialization=zipped
    )
    state, stubs = read_state_dict(tmp_path / "c.pth")
    assert _equal(state) and name in stubs


@pytest.mark.parametrize("function", [os.mkdir, os.makedirs], ids=["blocked module", "function elsewhere"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_no_code_of_the_file_runs(tmp_path, function, zipped):
    torch.save(
        {"state_dict": STATE, "args": Trap(function, tmp_path / "sprung")},
        tmp_path / "c.pth",
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(ValueError, match=r"c\.pth holds more than tensors.*is blocked"):
        read_state_dict(tmp_path / "c.pth")
    assert not (tmp_path / "sprung").exists()
    torch.load(tmp_path / "c.pth", weights_only=False)  # the trap works
    assert (tmp_path / "sprung").exists()


def test_a_function_that_is_not_blocked_is_not_called_either(tmp_path, capsys):
    torch.save({"state_dict": STATE, "args": Trap(print, "sprung")}, tmp_path / "c.pth")
    state, stubs = read_state_dict(tmp_path / "c.pth")
    assert _equal(state) and stubs == ["builtins.print"] and "sprung" not in capsys.readouterr().out


def test_a_whole_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "c.pth")
    with pytest.raises(ValueError, match="whole object"):
        read_state_dict(tmp_path / "c.pth")


def test_the_tar_format_of_old_is_refused(tmp_path):
    with tarfile.open(tmp_path / "c.pth", "w") as tar:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
    with pytest.raises(ValueError, match=r"c\.pth.*tar format"):
        read_state_dict(tmp_path / "c.pth")


@pytest.mark.parametrize("content", [b"", b"<html>404 not found</html>"])
def test_other_files_are_named(tmp_path, content):
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"c\.pth .*is not read"):
        read_state_dict(tmp_path / "c.pth")


def test_nothing_to_read(tmp_path):
    torch.save({"epoch": 1, "weights": STATE}, tmp_path / "c.pth")
    with pytest.raises(ValueError, match=r"no tensors at the top.*keys: epoch, weights"):
        read_state_dict(tmp_path / "c.pth")
    with pytest.raises(FileNotFoundError):
        read_state_dict(tmp_path / "missing.pth")
