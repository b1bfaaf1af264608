from pathlib import Path

from spd.config import load
from spd.names import Names

NAMES = Names(
    datasets={"visa": "VisA"},
    pretrainings={"moco_spd": {"label": "MoCo", "spd": "spd", "labels": False}},
)


def test_keys_of_a_cell_become_names_and_the_rest_stays():
    cell = {
        "dataset": "visa",
        "setup": "1cls",
        "pretraining": {"name": "moco_spd", "backbone": "resnet50", "seed": 1},
    }
    assert NAMES.in_cell(cell) == {
        "dataset": "VisA",
        "setup": "1cls",
        "pretraining": {
            "name": "moco_spd",
            "backbone": "resnet50",
            "seed": 1,
            "method": "MoCo",
            "label": "MoCo",
            "spd": "spd",
            "labels": False,
        },
    }
    assert cell["pretraining"] == {"name": "moco_spd", "backbone": "resnet50", "seed": 1}


def test_a_cell_that_names_itself_is_shown_as_it_is():
    cell = {"dataset": "Mine", "pretraining": {"name": "mine", "method": "Mine", "spd": "none"}}
    assert NAMES.in_cell(cell) == cell


def test_params_of_a_run_gain_what_one_groups_by():
    assert NAMES.in_params({"pretraining": "moco_spd", "dataset": "visa", "seed": 0}) == {
        "pretraining": "moco_spd",
        "dataset": "VisA",
        "seed": 0,
        "method": "MoCo",
        "spd": "spd",
        "labels": False,
    }
    assert NAMES.in_params({"title": "x"}) == {"title": "x"}


def test_names_of_a_configuration():
    experiment = load(Path(__file__).parent.parent / "config.yaml", {"preset": "paper"})
    some = Names.of(experiment, ["visa"], ["simsiam_eta0.5"])
    assert some.datasets == {"visa": "VisA"}
    assert some.pretrainings == {"simsiam_eta0.5": {"label": "SimSiam", "spd": "spd_eta0.5", "labels": False}}
    assert Names.of(experiment).pretrainings.keys() == experiment.pretrainings.keys()
