import dataclasses
import json
import math
import re
import time

import numpy as np
import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file

from spd import distributed
from spd.data import corpus
from spd.training import checkpoint, loop
from spd.training.history import History
from spd.training.monitor import TrainingError
from spd.training.prefetch import Batches

METHODS = ["simsiam", "moco", "simclr", "supervised"]


def history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def outputs(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize("method", METHODS)
def test_history_backbone_and_tidiness(runs, tmp_path, method):
    summary = runs.train(
        tmp_path, runs.recipe(method, held_out=0.2), spd={"eta": 0.5}, provenance={"code": "abc"}
    )
    lines = history(tmp_path)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    for line in lines:
        assert line["loss"] == pytest.approx(line["base"] + 0.5 * line["spd"], rel=1e-5)
        assert {
            "lr",
            "embedding_std",
            "cos_plus",
            "cos_minus",
            "gradient_norm",
            "parameter_norm",
        } <= line.keys()
    assert {"knn", "linear", "sensitivity_h_ratio"} <= lines[-1].keys()
    assert summary["last"] == lines[-1]
    assert summary["timing"]["images_per_second"] > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["backbone.safetensors", "history.jsonl"]
    with safe_open(tmp_path / "backbone.safetensors", "pt") as file:
        metadata = {key: json.loads(value) for key, value in file.metadata().items()}
    assert (metadata["method"], metadata["eta"], metadata["seed"], metadata["steps"]) == (method, 0.5, 3, 6)
    assert ("classifier" in metadata["judged"]) == (method == "supervised")
    assert metadata["code"] == "abc" and len(metadata["recipe"]) == len(metadata["data"]) == 64


def test_backbone_has_torchvisions_keys(runs, tmp_path):
    runs.train(tmp_path, runs.recipe("simsiam", steps=1), architecture="resnet18_w4")
    expected = {k for k in torchvision.models.resnet18().state_dict() if not k.startswith("fc.")}
    assert load_file(tmp_path / "backbone.safetensors").keys() == expected


@pytest.mark.parametrize("method", METHODS)
def test_eta_0_is_bitwise_the_base_method_and_builds_no_view(runs, tmp_path, method, monkeypatch):
    drawn = []
    draw = loop.draw
    monkeypatch.setattr(loop, "draw", lambda *a, **k: drawn.append(k["names"]) or draw(*a, **k))
    for name, spd in (("base", None), ("zero", {"eta": 0.0}), ("spd", {"eta": 0.5})):
        (tmp_path / name).mkdir()
        runs.train(tmp_path / name, runs.recipe(method, steps=3), spd=spd)
    assert outputs(tmp_path / "base") == outputs(tmp_path / "zero") != outputs(tmp_path / "spd")
    assert all("plus" not in names for names in drawn[:6])
    assert all({"plus", "minus"} <= set(names) for names in drawn[6:])


def test_same_seed_same_bytes_other_seed_other_bytes(runs, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        torch.manual_seed(hash(name) % 1000)  # the caller's generator must not matter
        runs.train(tmp_path / name, runs.recipe("moco", steps=2), seed=seed)
    assert outputs(tmp_path / "a") == outputs(tmp_path / "b") != outputs(tmp_path / "c")


def test_the_callers_generator_is_left_alone(runs, tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    runs.train(tmp_path, runs.recipe("simsiam", steps=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_pass_visits_every_image_once_and_passes_differ(runs, tmp_path, monkeypatch):
    images, seen = runs.images(count=16), []
    batch = type(images).batch
    monkeypatch.setattr(type(images), "batch", lambda self, own: seen.append(list(own)) or batch(self, own))
    runs.train(tmp_path, runs.recipe("simsiam", steps=4), corpus_=images)
    first, second = seen[0] + seen[1], seen[2] + seen[3]
    assert sorted(first) == sorted(second) == list(range(16))
    assert first != second


def test_held_out_images_are_not_trained_on(runs, tmp_path, monkeypatch):
    images, seen = runs.images(count=33), []
    batch = type(images).batch
    monkeypatch.setattr(type(images), "batch", lambda self, own: seen.append(list(own)) or batch(self, own))
    summary = runs.train(tmp_path, runs.recipe("simsiam", steps=9, held_out=0.2), corpus_=images)
    assert (summary["images"], summary["held_out"]) == (27, 6)
    trained = {i for own in seen[:9] for i in own}
    assert len(trained) == 27 or len(trained) >= 24
    _, held_out = images.split(0.2, 3)
    assert trained.isdisjoint(held_out)


def test_the_probe_on_the_way_is_logged_and_changes_nothing(runs, tmp_path):
    for interval in (0, 2):
        (tmp_path / str(interval)).mkdir()
        recipe = runs.recipe("moco", held_out=0.2, probe_interval=interval)
        runs.train(tmp_path / str(interval), recipe, spd={"eta": 0.5})
    without, with_probe = (history(tmp_path / name) for name in ("0", "2"))
    assert [line["step"] for line in with_probe if "knn" in line] == [2, 4, 6]
    assert all(0 <= line["knn"] <= 1 for line in with_probe if "knn" in line)
    assert [line["step"] for line in without if "knn" in line] == [6]
    assert [line["step"] for line in with_probe if "linear" in line] == [6]
    # it runs in eval mode: weights, queue and BatchNorm's statistics go on as they would have
    for one, other in zip(with_probe, without, strict=True):
        assert {key: one[key] for key in other} == other


def test_continued_pretraining_starts_from_the_checkpoint(runs, tmp_path):
    runs.train(tmp_path, runs.recipe("simsiam", steps=2))
    start = load_file(tmp_path / "backbone.safetensors")
    (tmp_path / "next").mkdir()
    tiny = runs.recipe("moco", steps=1, lr=1e-12)
    runs.train(tmp_path / "next", tiny, init=tmp_path / "backbone.safetensors", seed=9)
    end = load_file(tmp_path / "next" / "backbone.safetensors")
    torch.testing.assert_close(end["conv1.weight"], start["conv1.weight"])
    with pytest.raises(ValueError, match="resnet18_w4"):
        runs.train(tmp_path, tiny, init=tmp_path / "backbone.safetensors", architecture="resnet18_w4")


def test_a_timm_architecture_trains(runs, tmp_path):
    view = {"size": 32}
    recipe = runs.recipe("simsiam", steps=1, views={"strong": view, "weak": view})
    runs.train(tmp_path, recipe, spd={"eta": 0.1}, architecture="timm:test_efficientnet")
    assert (tmp_path / "backbone.safetensors").exists()


def test_bfloat16_stays_close_to_float32(runs, tmp_path):
    # 48 px: on 1 x 1 maps oneDNN's bfloat16 gradient of a strided convolution reads memory that nobody wrote
    view = {"size": 48}
    for precision in ("float32", "bfloat16"):
        (tmp_path / precision).mkdir()
        recipe = runs.recipe("supervised", steps=2, precision=precision, views={"strong": view, "weak": view})
        runs.train(tmp_path / precision, recipe, spd={"eta": 0.1})
    a, b = (history(tmp_path / p)[0] for p in ("float32", "bfloat16"))
    assert a["loss"] != b["loss"]
    assert a["loss"] == pytest.approx(b["loss"], rel=0.02)
    assert load_file(tmp_path / "bfloat16" / "backbone.safetensors")["conv1.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("values", "message"),
    [({"batch": 64, "queue": 64}, "batch: 64 is more than the 34 training images")],
)
def test_a_batch_that_does_not_fit(runs, tmp_path, values, message):
    with pytest.raises(ValueError, match=message):
        runs.train(tmp_path, runs.recipe("moco", **values))


@pytest.mark.parametrize(
    ("ranks", "batch", "message"),
    [(3, 8, "divide among 3 ranks"), (2, 4, "batch_norm_group: 4 does not divide")],
)
def test_a_batch_that_does_not_divide(runs, ranks, batch, message, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: ranks)
    with pytest.raises(ValueError, match=message):
        Batches(runs.images(), np.arange(34), runs.recipe("moco", batch=batch), 3, torch.device("cpu"))


def broken_images(runs):
    """Images of which the fourth step of seed 3 makes the loss infinite, through an `apply` that the test
    breaks."""
    return dataclasses.replace(runs.images(), names=tuple(f"class/{i}.png" for i in range(34)))


@pytest.mark.parametrize("action", ["stop", "warn"])
@pytest.mark.parametrize("method", ["simsiam", "moco"])
def test_a_loss_that_is_not_finite(runs, tmp_path, method, action, monkeypatch, caplog):
    apply, calls = loop.apply, []

    def breaking(*arguments):
        calls.append(1)
        views = apply(*arguments)
        return {k: v * math.nan if len(calls) == 4 else v for k, v in views.items()}

    monkeypatch.setattr(loop, "apply", breaking)
    images = broken_images(runs)
    recipe = runs.recipe(method, non_finite=action, checkpoint_minutes=0)
    expected = [images.names[i] for i in corpus.order(34, 3, 0)[24:32]]
    if action == "stop":
        with pytest.raises(TrainingError, match="step 4: loss or gradient is not finite") as caught:
            runs.train(tmp_path, recipe, corpus_=images)
        message = str(caught.value)
        assert (tmp_path / "checkpoint.pt").exists()
    else:
        states, save = {}, checkpoint.save

        def kept(path, *, step, model, **more):
            states[step] = {key: value.clone() for key, value in model.items()}
            save(path, step=step, model=model, **more)

        monkeypatch.setattr(checkpoint, "save", kept)
        runs.train(tmp_path, recipe, corpus_=images)
        # the step is left out: weights, key encoder, queue and BatchNorm's statistics stay
        assert all(torch.equal(states[3][key], states[4][key]) for key in states[3])
        assert not torch.equal(states[4]["backbone.conv1.weight"], states[5]["backbone.conv1.weight"])
        assert [line["step"] for line in history(tmp_path)] == [1, 2, 3, 5, 6]
        message = caplog.text
    assert all(name in message for name in expected)
    assert "checkpoint.pt (step 3)" in message


@pytest.mark.parametrize("action", ["stop", "warn"])
def test_collapsed_embeddings(runs, tmp_path, action, caplog):
    recipe = runs.recipe("moco", collapse=action, collapse_after=2, collapse_below=9.0)  # never above 9
    if action == "stop":
        with pytest.raises(TrainingError, match=r"step 3: the embeddings have collapsed \(std"):
            runs.train(tmp_path, recipe)
    else:
        runs.train(tmp_path, recipe)
        assert "the embeddings have collapsed" in caplog.text


@pytest.mark.parametrize("method", ["simsiam", "moco", "simclr"])
def test_images_without_a_difference_collapse_and_are_noticed_at_the_default_bound(runs, tmp_path, method):
    still = runs.VIEW | {"jitter": {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}}
    views = {"strong": still, "weak": still}
    # Black, not grey: resizing leaves rounding in grey, which BatchNorm blows up to a spread.
    black = corpus.from_arrays(np.zeros((34, 3, 24, 24), dtype=np.uint8), np.arange(34) % 3)
    recipe = runs.recipe(method, collapse="stop", collapse_after=2, views=views)
    with pytest.raises(TrainingError, match=r"step 3: the embeddings have collapsed") as caught:
        runs.train(tmp_path / "black", recipe, corpus_=black)
    assert float(re.search(r"std \* sqrt\(d\) = (\S+) < 0\.3", str(caught.value))[1]) < 0.01
    runs.train(tmp_path / "noise", runs.recipe(method, views=views))
    assert min(line["embedding_std"] for line in history(tmp_path / "noise")) > 0.2  # so it is the images


def test_the_files_of_a_large_batch_are_listed_beside_the_checkpoint(runs, tmp_path):
    recipe = runs.recipe("simsiam", batch=16, collapse="stop", collapse_after=2, collapse_below=9.0)
    images = broken_images(runs)
    with pytest.raises(
        TrainingError, match=r"and 8 more, all in \S+checkpoint.pt.batch.txt; last good"
    ) as caught:
        runs.train(tmp_path, recipe, corpus_=images)
    listed = (tmp_path / "checkpoint.pt.batch.txt").read_text().splitlines()
    assert listed == [images.names[i] for i in corpus.order(34, 3, 1)[:16]]  # step 3: 2 steps an epoch
    assert all(name in str(caught.value) for name in listed[:8])


def test_checkpoints_are_an_interval_of_time_apart(runs, tmp_path, monkeypatch):
    now, saved = [0.0], []
    apply, save = loop.apply, checkpoint.save

    def a_minute_later(*arguments):
        now[0] += 60
        return apply(*arguments)

    monkeypatch.setattr(loop, "apply", a_minute_later)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(
        checkpoint,
        "save",
        lambda path, *, step, **more: saved.append(step) or save(path, step=step, **more),
    )
    runs.train(tmp_path, runs.recipe("simsiam", steps=10, checkpoint_minutes=3))
    assert saved == [3, 6, 9]


def test_a_checkpoint_of_another_run_is_refused(runs, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    after_three = runs.recipe("simsiam", checkpoint_minutes=0)
    apply, calls = loop.apply, []
    monkeypatch.setattr(
        loop, "apply", lambda *a: interrupted() if len(calls) == 3 else calls.append(1) or apply(*a)
    )
    with pytest.raises(KeyboardInterrupt):
        runs.train(tmp_path, after_three)
    monkeypatch.undo()
    for change in ({"seed": 4}, {"spd": {"eta": 0.1}}, {"architecture": "resnet18_w4"}):
        with pytest.raises(ValueError, match=rf"belongs to another run \({next(iter(change))}"):
            runs.train(tmp_path, after_three, **change)
    with pytest.raises(ValueError, match=r"belongs to another run \(recipe"):
        runs.train(tmp_path, runs.recipe("simsiam", lr=0.1))
    # how often checkpoints are written is no part of what the run is
    runs.train(tmp_path, runs.recipe("simsiam", checkpoint_minutes=7))


def test_progress_says_what_the_loss_should_start_at(runs, tmp_path, capsys):
    runs.train(tmp_path, runs.recipe("simclr", steps=1), progress=True)
    shown = capsys.readouterr().err
    assert f"expected initial loss {math.log(15):.3f}" in shown
    assert re.search(r"loss \d\.\d+, std \d\.\d+, \d+ images/s", shown)
    shares = re.search(
        r"\d+ images/s; time in data (\d+)%, views (\d+)%, forward (\d+)%, backward (\d+)% and step", shown
    )
    assert sum(map(int, shares.groups())) == pytest.approx(100, abs=2)


def test_images_per_second_are_in_the_history_in_the_making_alone(runs, tmp_path, monkeypatch):
    added, add = [], History.add

    def seen(self, **values):
        add(self, **values)
        added.append(json.loads(self.path.read_text().splitlines()[-1]))

    monkeypatch.setattr(History, "add", seen)
    runs.train(tmp_path, runs.recipe("simsiam", steps=2))
    assert all(line["images_per_second"] > 0 for line in added) and len(added) == 2
    assert not any("images_per_second" in line for line in history(tmp_path))


def test_a_compiled_backbone_trains_to_the_same_history(runs, tmp_path, monkeypatch):
    # without code generation, which takes minutes here
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compile_module(self, backend="aot_eager"))
    for compile_ in (False, True):
        (tmp_path / str(compile_)).mkdir()
        recipe = runs.recipe("supervised", steps=2, compile=compile_)
        runs.train(tmp_path / str(compile_), recipe, architecture="resnet10_w4")
    eager, compiled = (history(tmp_path / str(compile_)) for compile_ in (False, True))
    for a, b in zip(eager, compiled, strict=True):
        assert b == pytest.approx(a, rel=1e-4)
    keys = [load_file(tmp_path / str(c) / "backbone.safetensors").keys() for c in (False, True)]
    assert keys[0] == keys[1]
