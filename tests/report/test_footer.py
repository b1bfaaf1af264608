import pytest

from spd.report.footer import banner, facts, no_result

SOURCES = {"manifest": "m1", "images": "i1", "features": "f1"}


@pytest.fixture
def code(cells, cell_content):
    """What the footer says of the code of two cells whose stages have these source hashes."""

    def of(first, second):
        contents = [
            cell_content(name, classification={"x": {"AU-PR": 0.5}}, provenance={"sources": sources})
            for name, sources in (("sup", first), ("sup_spd", second))
        ]
        return dict(facts("t", "paper", cells(*contents)))["Code"]

    return of


def test_one_version_of_every_stage_is_no_mixture(code):
    assert "MIXED" not in code(SOURCES, SOURCES)
    # a backbone from elsewhere has a stage that the others lack
    assert "MIXED" not in code({**SOURCES, "corpus": "c1"}, {**SOURCES, "import_backbone": "b1"})


@pytest.mark.parametrize("stage", SOURCES)
def test_two_versions_of_a_stage_before_the_detector_are_named(code, stage):
    said = code(SOURCES, {**SOURCES, stage: "z9"})
    old = SOURCES[stage]
    assert said == f"MIXED VERSIONS. {stage}, source {old}: VisA sup; {stage}, source z9: VisA sup_spd"


@pytest.mark.parametrize(
    ("datasets", "says"),
    [
        (["VisA-demo", "MVTec-demo"], "Not a result. Generated images, a narrow backbone and"),
        (
            ["Mine", "VisA-demo", "ELPV", "MVTec-demo"],
            "Not a result. Generated images (VisA-demo, MVTec-demo; not Mine, ELPV), a narrow backbone and",
        ),
        (["Mine"], "Not a result. A narrow backbone and minutes of"),
        (["Mine", "ELPV"], "Not a result. A narrow backbone and minutes of"),
    ],
)
def test_photographs_are_never_called_generated_images(options, datasets, says):
    generated = ["VisA-demo", "MVTec-demo", "classes-demo"]
    assert banner("demo", options(datasets=datasets), generated).startswith(says)
    assert no_result([*datasets, *datasets], generated).startswith(says)
    assert banner("paper", options(datasets=datasets), generated) == ""
    assert banner("demo", options(datasets=datasets, banner="Mine."), generated) == "Mine."
