"""The hash in a backbone's path: it changes with all that `Settings.identity` compares, and with nothing
that decides no weight."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, get_args, get_origin

import pytest

from spd.config.design import Design
from spd.config.model import load
from spd.training.settings import Settings
from workflow_scripts.common.backbone_hash import DIGITS, backbone_hash

CONFIG = Path(__file__).resolve().parents[3] / "config.yaml"
ROWS = {"supervised": "sup_spd", "simsiam": "simsiam_spd", "moco": "moco_spd", "simclr": "simclr_spd"}


def config(**overrides):
    return load(CONFIG, {"preset": "tiny", **overrides})


TINY = config()


def made(experiment, name="simsiam_spd", seed=0, *, images="images", code="any"):
    return backbone_hash(experiment, name, seed, images=lambda _: images, code=lambda *_: code)


def other(options, field):
    """Another value of a field, of the same type; None where this test knows none."""
    value, annotation = getattr(options, field), type(options).model_fields[field].annotation
    if get_origin(annotation) is Literal:
        return next((one for one in get_args(annotation) if one != value), None)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, tuple):
        return (*value[:-1], value[-1] + 1) if value else (0.5,)
    if field == "strengths":
        return type(value).model_validate({"local": {"area": (0.1, 0.2)}})
    return 7 if value is None else None


def identity(experiment, method):
    row = experiment.pretrainings[ROWS[method]]
    recipe, spd = experiment.recipes[row.recipe], experiment.spd[row.spd]
    settings = Settings(architecture="resnet50", recipe=recipe, spd=spd, seed=0)
    return settings.identity(SimpleNamespace(digest="data"))


@pytest.mark.parametrize("method", ROWS)
def test_each_key_of_a_recipe_counts_exactly_where_a_checkpoint_would_be_refused(method):
    recipe = TINY.recipes[method]
    compared = []
    for field in type(recipe).model_fields:
        value = other(recipe, field)
        if value is None:
            continue
        changed = recipe.model_copy(update={field: value})
        experiment = TINY.model_copy(update={"recipes": {**TINY.recipes, method: changed}})
        assert (made(experiment, ROWS[method]) != made(TINY, ROWS[method])) == (
            identity(experiment, method) != identity(TINY, method)
        ), field
        compared.append(field)
    assert set(type(recipe).model_fields) - {*compared} == {"method", "views"}
    views = config(recipes={method: {"views": {"strong": {"grayscale": 0.15}}}})
    assert made(views, ROWS[method]) != made(TINY, ROWS[method])


@pytest.mark.parametrize("eta", [0.0, 0.1])
def test_each_key_of_spd_counts_exactly_where_a_checkpoint_would_be_refused(eta):
    spd = TINY.spd["spd"].model_copy(update={"eta": eta})
    base = TINY.model_copy(update={"spd": {**TINY.spd, "spd": spd}})
    for field in type(spd).model_fields:
        changed = spd.model_copy(update={field: other(spd, field)})
        experiment = TINY.model_copy(update={"spd": {**TINY.spd, "spd": changed}})
        differs = made(experiment) != made(base)
        assert differs == (identity(experiment, "simsiam") != identity(base, "simsiam")), field
        assert differs == (eta > 0 or field == "eta"), field


def test_a_term_of_weight_zero_is_the_base_method():
    none = config(spd={"spd": {"eta": 0}})
    assert made(none, "simsiam_spd") == made(none, "simsiam") != made(TINY, "simsiam_spd")


def test_names_and_where_and_how_safely_it_runs_do_not_count():
    elsewhere = config(
        compute={"device": "cuda", "gpus": 4, "threads": 8, "trainings": {"simsiam_spd": {"nodes": 2}}},
        pretrainings={"simsiam_spd": {"label": "Mine", "labels": True, "seeds": [0, 1]}},
        datasets={"imagenet": {"name": "others", "licence": "mine", "notice": "Ask.", "checks": "warn"}},
        recipes={"simsiam": {"checkpoint_minutes": 1}, "moco": {"batch": 8}},
    )
    assert made(elsewhere) == made(TINY)
    assert len(made(TINY)) == DIGITS


def test_data_code_and_architecture_count():
    hashes = {
        made(TINY),
        made(TINY, images="others"),
        made(TINY, code="other"),
        made(config(corpus={"size": 48})),
        made(config(backbones={"resnet50": {"architecture": "resnet18_w16"}})),
        made(config(demo_data={"seed": 1})),  # the archive that is generated
        made(config(datasets={"imagenet": {"objects": ["a", "b"]}})),
    }
    assert len(hashes) == 7
    assert made(config(backbones={"resnet50": {"stages": ["layer4"]}})) == made(TINY), "detectors read stages"


def test_an_archive_of_the_users_own_counts_by_its_hash_or_else_by_size_and_time(tmp_path):
    def of(**archive):
        return made(config(datasets={"imagenet": {"archive": archive}}))

    mine, moved = tmp_path / "a.tar", tmp_path / "b.tar"
    mine.write_bytes(b"1")
    os.utime(mine, ns=(1, 1))
    first = of(file=str(mine))
    mine.rename(moved)
    assert of(file=str(moved)) == first
    os.utime(moved, ns=(2, 2))
    assert of(file=str(moved)) != first
    known = {"sha256": "0" * 64}
    assert of(file=str(mine), **known) == of(file=str(moved), **known) != of(file=str(moved), sha256="1" * 64)


def test_what_made_the_initial_weights_counts_through_any_number_of_rows(tmp_path):
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"1")
    source = {"source": "file", "checkpoint": str(weights)}
    row = {"label": "C", "recipe": "simsiam", "backbone": "resnet50"}
    rows = {
        "mine": {"label": "Mine", "source": source},
        "second": {**row, "init": "mine"},
        "third": {**row, "init": "second", "seeds": [0, 5]},
        "fourth": {**row, "init": "simsiam_spd"},
    }
    base = config(pretrainings=rows)
    assert len({made(base, name) for name in ("second", "third", "fourth", "simsiam")}) == 4
    first = made(base, "third")
    weights.write_bytes(b"12")
    assert made(base, "third") != first
    changed = config(pretrainings=rows, spd={"spd": {"eta": 0.5}})
    assert made(changed, "fourth") != made(base, "fourth")
    assert made(changed, "third") == made(base, "third")
    # Both seeds start from the one seed of the row before, and are told apart by their files' names.
    assert Design(base).start_of("third", 5) == [("second", 0)] == Design(base).start_of("third", 0)
    assert made(base, "third", 5) == made(base, "third", 0)
    several = config(pretrainings={**rows, "second": {**rows["second"], "seeds": [0, 5]}})
    assert made(several, "third", 5) != made(several, "third", 0)


def test_the_class_of_the_method_counts_with_the_training_alone():
    asked = []
    experiment = load(CONFIG, {"preset": "tiny"})
    backbone_hash(experiment, "moco", 0, images=lambda _: "", code=lambda *stage: str(asked.append(stage)))
    assert ("pretrain", "spd.methods.moco:MoCo") in asked and ("corpus",) in asked
    assert not [stage for stage in asked if len(stage) > 1 and stage[0] != "pretrain"]
