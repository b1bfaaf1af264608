"""Which published accuracy may stand beside a result, and when a table says that it falls short."""

import re
from pathlib import Path

import pytest

from spd.config.model import load
from spd.linear_protocol.options import LinearProtocols
from spd.linear_protocol.published import IMAGENET, beside, differing, note, notes, published
from spd.methods.options import parse_recipe

PAPER = load(Path(__file__).resolve().parents[2] / "config.yaml", {"preset": "paper"})


def compared(method="simsiam", recipe=None, protocol="linear", **changes):
    own = PAPER.recipes[method] if recipe is None else parse_recipe({"method": method, **recipe})
    given = {
        "preset": "paper", "method": method, "architecture": "resnet50", "protocol": protocol, "recipe": own,
        "options": getattr(PAPER.linear_protocol, method) if protocol == "linear" else None,
        "eta": 0.0, "init": False, "counts": IMAGENET,
    }  # fmt: skip
    return beside(**(given | changes))


def test_anchors_are_the_publications():
    assert {key: value for key, (value, _) in published().items()} == {
        ("simsiam", "resnet50", "linear"): 68.1,
        ("moco", "resnet50", "linear"): 67.5,
        ("supervised", "resnet50", "classifier"): 76.13,
        ("supervised", "wide_resnet50_2", "classifier"): 78.47,
    }
    assert all(len(source) > 20 for _, source in published().values())


@pytest.mark.parametrize("method", ["moco", "simsiam", "simclr", "supervised"])
def test_preset_paper_has_the_publications_recipes(method):
    found = getattr(PAPER.linear_protocol, method)
    assert set(differing(found, getattr(LinearProtocols(), method))) <= {"precision", "held_out"}


def test_the_publications_own_recipe_is_compared():
    assert compared() == published()["simsiam", "resnet50", "linear"]
    assert compared("moco")[0] == 67.5
    wide = compared("supervised", protocol="classifier", architecture="wide_resnet50_2")
    assert wide[0] == 78.47


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"preset": "demo"}, "preset demo"),
        ({"eta": 0.1}, "with SPD"),
        ({"init": True}, "a continued pre-training"),
        ({"architecture": "wide_resnet50_2"}, "nothing is published of simsiam on wide_resnet50_2"),
        ({"recipe": {"epochs": 50}}, "recipes.simsiam is not the publication's: epochs"),
        (
            {"recipe": {"views": {"strong": {"scale": (0.5, 1.0)}}}},
            "recipes.simsiam is not the publication's: views.strong.scale",
        ),
        ({"options": LinearProtocols().moco}, "linear_protocol.simsiam is not .*: batch, epochs"),
        ({"counts": (1_271_167, 10_000, 1000)}, "not ImageNet-1k's .*1,271,167 training .*, 10,000 judged"),
        ({"method": "supervised", "protocol": "linear"}, "by the protocol `linear`"),
    ],
)  # fmt: skip
def test_anything_else_is_not_compared_and_the_reason_is_said(changes, reason):
    value, said = compared(**changes)
    assert value is None and re.search(reason, said), said


def test_weights_from_elsewhere_and_what_spd_alone_sees():
    assert compared()[0] is not None
    weak = {"views": {"weak": {"scale": (0.5, 1.0)}}, "precision": "bfloat16", "held_out": 10_000}
    assert compared(recipe=weak)[0] == 68.1
    found = beside(
        preset="paper", method="moco", architecture="resnet50", protocol="linear",
        options=PAPER.linear_protocol.moco, recipe=None, eta=0.0, init=False, counts=IMAGENET,
    )  # fmt: skip
    assert found[0] is None and "weights from elsewhere" in found[1]


def result(top1, published=68.1, **changes):
    common = {"protocol": "linear", "source": "README", "checkpoint": "c" * 64}
    return {"top1": top1, "published": published, **common, **changes}


def test_more_than_three_points_below_is_noted_and_three_are_not():
    assert note(result(68.1)) is None and note(result(80.0)) is None
    assert note(result(65.1)) is None  # three points, to the digit that is published
    said = note(result(65.09))
    assert said.startswith("by the linear protocol it is right in 65.1 % of ImageNet's validation images")
    assert "3.0 points below the 68.1 % published (README)" in said
    assert "by its own classifier" in note(result(70, 76.13, protocol="classifier"))


def test_nothing_is_noted_where_nothing_is_compared():
    assert note(result(1.0, None, source=None)) is None


def test_notes_belong_to_a_backbone_file():
    found = notes([result(60.0), result(68.0, checkpoint="d" * 64), result(1.0, None, checkpoint="e" * 64)])
    assert list(found) == ["c" * 64] and len(found["c" * 64]) == 1


@pytest.mark.parametrize(
    ("recipe", "source", "name"),
    [("simclr", None, "simclr"), (None, "moco", "moco"), (None, "torchvision", "supervised")],
)
def test_weights_from_elsewhere_go_by_their_repositorys_protocol(recipe, source, name):
    assert PAPER.linear_protocol.of(recipe, source) == (name, getattr(PAPER.linear_protocol, name))
