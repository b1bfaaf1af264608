"""A slice of the fuzzer (all: `make fuzz`), and what its corpus does not cover; run by test_hostile.py."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import fuzz
import inputs
import judge

from spd.backbones.files import load
from spd.backbones.imports import import_backbone
from spd.backbones.options import BackboneOptions

MUTANTS = 110


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory):
    judge.warm_up(tmp_path_factory.mktemp("warm"))


def _small(case):
    return len(case.content) < 4 << 20 and case.name != "bomb.png"


def test_the_corpus_and_a_slice_of_the_mutants(tmp_path):
    canary = tmp_path / "canary"
    made = [(case, None) for case in inputs.corpus(str(canary)) if _small(case)][::3]
    made += list(fuzz.mutants(MUTANTS, seed=1))
    wrong = []
    for i, (case, original) in enumerate(made):
        verdict = judge.judge(case.kind, case.name, case.content, tmp_path / str(i), original)
        problem = fuzz.wrong(case, verdict, canary)
        if problem is not None:
            wrong.append(f"{case.kind} {case.name}: {problem}")
    assert wrong == []
    assert len(made) > 190


def test_the_judge_sees_what_it_is_there_for(tmp_path, monkeypatch):
    """Readers that do what must not happen; each is found."""
    canary = tmp_path / "canary"

    def runs(*_):
        import os

        os.system(f"touch {canary}")

    def hangs(*_):
        while True:
            pass

    def swallows(*_):
        return bytearray(8 << 30)

    def mumbles(*_):
        raise ValueError("no path\nand two lines")

    def writes(name, content, folder, original):
        (folder.parent / "outside").write_text("x")

    monkeypatch.setattr(judge, "CPU_SECONDS", 1)
    for reader, outcome in (
        (runs, "acted"),
        (hangs, "hung"),
        (swallows, "memory"),
        (mumbles, "message"),
        (writes, "acted"),
    ):
        monkeypatch.setitem(judge.READERS, "test", reader)
        verdict = judge.judge("test", "a.bin", b"", tmp_path / reader.__name__)
        assert verdict.outcome == outcome, (reader.__name__, verdict)
    assert fuzz.wrong(inputs.Case("test", "a", b"", None), verdict, canary) == "code of the file ran"


def test_mutants_are_the_same_for_the_same_seed():
    first, again = ([case for case, _ in fuzz.mutants(40, seed=3)] for _ in range(2))
    assert first == again
    assert len({case.content for case in first}) > 35


@pytest.mark.parametrize("count", [3, 5, 9])
def test_first_five_differences_are_named(tmp_path, count):
    tensors = inputs.weights()
    changed = dict(tensors)
    for key in list(tensors)[:count]:
        changed[f"other.{key}"] = changed.pop(key)
    path = tmp_path / "a.safetensors"
    path.write_bytes(inputs.safetensors(changed))
    with pytest.raises(
        ValueError, match=r"like other\.conv1\.weight; not the weights of resnet10_w8"
    ) as raised:
        load(path)
    message = str(raised.value)
    assert "\n" not in message
    assert sum(message.count(word) for word in ("is missing", "is unknown")) == min(5, 2 * count)
    assert f"and {2 * count - 5} more" in message
    assert f"{next(iter(tensors))} is missing" in message


def test_first_five_differences_of_a_legacy_checkpoint_are_named(tmp_path):
    tensors = inputs.weights()
    changed = {f"other.{key}": value for key, value in tensors.items()}
    path = tmp_path / "a.pth"
    path.write_bytes(inputs._torch_save(changed, legacy=True))
    options = BackboneOptions(source="torchvision", architecture=inputs.ARCHITECTURE, checkpoint=str(path))
    with pytest.raises(ValueError, match=r"a\.pth \(source torchvision\): ") as raised:
        import_backbone(options, tmp_path / "b.safetensors")
    message = str(raised.value)
    assert "\n" not in message
    assert sum(message.count(word) for word in ("is missing", "is unknown")) == 5
    assert f"and {2 * len(tensors) - 5} more" in message


def test_other_shapes_are_named(tmp_path):
    tensors = inputs.weights()
    tensors["conv1.weight"] = torch.zeros(8, 3, 3, 3)
    path = tmp_path / "a.safetensors"
    path.write_bytes(inputs.safetensors(tensors))
    with pytest.raises(ValueError, match=r"conv1\.weight is \(8, 3, 3, 3\), not \(8, 3, 7, 7\)"):
        load(path)


def test_a_sound_file_of_each_kind_is_read(tmp_path):
    for kind, files in inputs.seeds().items():
        for i, (name, content) in enumerate(files):
            verdict = judge.judge(kind, name, content, tmp_path / f"{kind}{i}")
            assert verdict.outcome == "read", (kind, name, verdict)


def test_pixels_of_odd_images_are_those_that_were_stored(tmp_path):
    from spd.data.decoding import read_rgb

    cases = {case.name: case.content for case in inputs.corpus("x") if case.kind == "image"}
    for name in ("deep.png", "grey.png", "la.png", "rotated.jpg", "alpha.png", "palette.png", "cmyk.jpg"):
        (tmp_path / name).write_bytes(cases[name])
        pixels = np.asarray(read_rgb(tmp_path / name)).astype(int)
        assert pixels.shape == (48, 48, 3), name
        assert abs(pixels.mean() - inputs.pixels().mean()) < 6, name  # conversions shift colours a little
