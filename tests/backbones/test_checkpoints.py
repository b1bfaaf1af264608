"""Reading foreign checkpoints: tensors come through, code does not."""

import argparse
import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from spd.backbones.checkpoints import read_checkpoint

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def read_state_dict(path):
    return read_checkpoint(path)[:2]


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


@pytest.mark.parametrize("name", ["c.pth", "c.safetensors"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty; download it again"),
        (b"  <HTML>404 not found</html>", "is an HTML page .* fetch the file itself"),
        (b"<!DOCTYPE html><html>Sign in</html>", "is an HTML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is an XML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer.*git lfs pull"),
        (b'{"weight_map": {}}', r"is text that begins '\{\"weight_map\": \{\}\}'"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "is an HDF5 file"),
        (b"\x1f\x8b\x08" + bytes(64), "is a gzip archive; unpack it"),
        (b"\x00\x01\x02\x03", "is no checkpoint, and is not read"),
    ],
)
def test_a_file_that_is_none_is_called_what_it_is(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} .*{says}") as error:
        read_state_dict(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["zip", "before torch 1.6", "safetensors"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_half_a_download_is_called_so(tmp_path, kind, share):
    state = {"a": torch.rand(300, 5), "b": torch.rand(300, 5)}
    if kind == "safetensors":
        safetensors.torch.save_file(state, tmp_path / "whole")
    else:
        torch.save(state, tmp_path / "whole", _use_new_zipfile_serialization=kind == "zip")
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "c.pth").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"c\.pth is .*bytes .*end is missing.*download it again"):
        read_state_dict(tmp_path / "c.pth")


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_and_other_zip_archives_are_called_so(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "c.pth")
    with pytest.raises(ValueError, match=r"c\.pth is a TorchScript archive.*torch\.jit\.load"):
        read_state_dict(tmp_path / "c.pth")
    # as the message says
    torch.save(torch.jit.load(tmp_path / "c.pth").state_dict(), tmp_path / "way_out.pth")
    assert set(read_state_dict(tmp_path / "way_out.pth")[0]) == {"weight", "bias"}
    with zipfile.ZipFile(tmp_path / "d.pth", "w") as archive:
        archive.writestr("release/weights.pth", "...")
    with pytest.raises(ValueError, match=r"d\.pth is a zip archive of 1 files \('release/weights\.pth'\)"):
        read_state_dict(tmp_path / "d.pth")


def test_a_folder_is_called_so(tmp_path):
    with pytest.raises(ValueError, match="is a folder; name the file"):
        read_state_dict(tmp_path)


@pytest.mark.parametrize("name", ["c.safetensors", "pytorch_model.bin"])
def test_bfloat16_safetensors_whatever_their_name(tmp_path, name):
    state = {"a": torch.rand(3, 4).bfloat16(), "b": torch.rand(5), "c": torch.tensor(7)}
    safetensors.torch.save_file(state, tmp_path / name)
    read, _ = read_state_dict(tmp_path / name)
    assert read.keys() == state.keys()
    for key, value in state.items():
        assert read[key].dtype == value.dtype and torch.equal(read[key], value)


def test_a_pickle_named_safetensors_is_read_as_what_it_is(tmp_path):
    torch.save(STATE, tmp_path / "c.safetensors")
    assert _equal(read_state_dict(tmp_path / "c.safetensors")[0])


@pytest.mark.parametrize(
    "prefix",
    ["module.module.", "_orig_mod.module.", "module._orig_mod.", "_orig_mod._orig_mod.module.module.module."],
)
def test_wrappers_are_taken_off_until_nothing_changes(tmp_path, prefix):
    torch.save({f"{prefix}{key}": value for key, value in STATE.items()}, tmp_path / "c.pth")
    assert _equal(read_state_dict(tmp_path / "c.pth")[0])


def test_a_compiled_part_inside_a_network(tmp_path):
    keys = ("layer1._orig_mod.a", "layer1._orig_mod._checkpoint_wrapped_module.b")
    torch.save(dict.fromkeys(keys, torch.ones(1)), tmp_path / "c.pth")
    assert set(read_state_dict(tmp_path / "c.pth")[0]) == {"layer1.a", "layer1.b"}


@pytest.mark.parametrize(
    ("layout", "left"),
    [
        ({"model": {"state_dict": STATE}}, {}),
        ({"model_ema": STATE, "epoch": 1}, {}),
        ({"model_ema": {"a.weight": torch.zeros(2)}, "model": STATE}, {"model_ema": 1}),
        ({"state_dict": STATE, "ema_state_dict": {"steps": torch.tensor(3), "a.weight": torch.zeros(2)}},
         {"ema_state_dict": 2}),
    ],
)  # fmt: skip
def test_an_average_is_taken_alone_and_counted_beside_the_weights(tmp_path, layout, left):
    torch.save(layout, tmp_path / "c.pth")
    state, _, beside = read_checkpoint(tmp_path / "c.pth")
    assert _equal(state) and beside == left


def test_nothing_to_read(tmp_path):
    torch.save({"epoch": 1, "weights": STATE}, tmp_path / "c.pth")
    with pytest.raises(ValueError, match=r"holds epoch, weights: no tensors at the top, or under state_dict"):
        read_state_dict(tmp_path / "c.pth")
    with pytest.raises(FileNotFoundError):
        read_state_dict(tmp_path / "missing.pth")
