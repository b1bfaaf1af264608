import pytest
from pydantic import ValidationError

from spd.detectors.finetuned.options import ClassifierOptions, FewShotOptions, UNetOptions
from spd.detectors.finetuned.runs import Run, runs


def test_defaults_are_the_authors_where_they_said():
    for options in (ClassifierOptions(), UNetOptions()):
        assert (options.batch, options.flip, options.tune) == (8, 0.5, "all")
    assert UNetOptions().gamma == 2  # focal
    assert ClassifierOptions().gamma == 0  # cross-entropy
    assert (FewShotOptions().shots, FewShotOptions().draws) == ((5, 10), 5)


@pytest.mark.parametrize(
    "wrong",
    [{"gamma": 0.5}, {"alpha": 1}, {"batch": 1}, {"lr": 0}, {"flip": 1.1}, {"optimizer": "adamw"}],
)
def test_what_cannot_be_trained_is_refused(wrong):
    with pytest.raises(ValidationError):
        UNetOptions(**wrong)


def test_runs_are_every_draw_of_every_k_and_named_for_files():
    assert [str(run) for run in runs((5, 10), 2)] == [
        *("5shot-draw0", "5shot-draw1", "10shot-draw0", "10shot-draw1")
    ]
    assert str(Run()) == "all"
