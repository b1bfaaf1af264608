import pickle

import pytest
import torch

from spd.training import checkpoint

RUN = {"seed": 1, "recipe": "abc"}


def test_round_trip_is_bitwise(tmp_path):
    state = {"w": torch.randn(3, 2), "n": torch.tensor(5)}
    optimiser = {"state": {0: {"momentum_buffer": torch.randn(3)}}, "param_groups": [{"lr": 0.1}]}
    checkpoint.save(tmp_path / "deep" / "c.pt", identity=RUN, step=7, model=state, optimiser=optimiser)
    loaded = checkpoint.load(tmp_path / "deep" / "c.pt", identity=RUN)
    assert loaded["step"] == 7
    assert torch.equal(loaded["model"]["w"], state["w"])
    buffer = loaded["optimiser"]["state"][0]["momentum_buffer"]
    assert torch.equal(buffer, optimiser["state"][0]["momentum_buffer"])
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["c.pt"]


def test_no_file_is_no_checkpoint(tmp_path):
    assert checkpoint.load(tmp_path / "c.pt", identity=RUN) is None


def test_another_run_is_refused_and_what_differs_is_named(tmp_path):
    checkpoint.save(tmp_path / "c.pt", identity=RUN, step=1)
    with pytest.raises(ValueError, match=r"another run \(seed: 1 there, 2 here\); delete it"):
        checkpoint.load(tmp_path / "c.pt", identity={**RUN, "seed": 2})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"c\.pt: not a readable checkpoint"):
        checkpoint.load(tmp_path / "c.pt", identity=RUN)


def test_a_pickle_that_runs_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "opened"), "w"))

    torch.save({"identity": RUN, "trap": Trap()}, tmp_path / "c.pt", pickle_module=pickle)
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        checkpoint.load(tmp_path / "c.pt", identity=RUN)
    assert not (tmp_path / "opened").exists()


def test_a_failed_save_keeps_the_old_checkpoint(tmp_path):
    checkpoint.save(tmp_path / "c.pt", identity=RUN, step=1)
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        checkpoint.save(tmp_path / "c.pt", identity=RUN, step=2, model=lambda: None)
    assert checkpoint.load(tmp_path / "c.pt", identity=RUN)["step"] == 1


def test_one_flipped_bit_of_a_tensor_is_noticed(tmp_path):
    path = tmp_path / "c"
    checkpoint.save(path, identity={"seed": 1}, step=2, model={"w": torch.full((64,), 1.5)})
    content = bytearray(path.read_bytes())
    at = content.index(torch.full((64,), 1.5).numpy().tobytes()) + 17
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not a readable checkpoint \(the checksum of .* is wrong\)"):
        checkpoint.load(path, identity={"seed": 1})


@pytest.mark.parametrize("content", [{"identity": 3, "step": 1}, {"identity": {}, "step": "1"}, [1, 2]])
def test_a_file_that_says_of_no_run_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "c")
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        checkpoint.load(tmp_path / "c", identity={})
