import pytest

from spd.detectors.options import PaDiMOptions
from spd.detectors.registry import DETECTORS
from spd.report.footer import banner, facts, let_through, no_result, notes
from spd.report.names import Names
from spd.report.tables import write_table
from spd.report.tidy import tidy
from workflow_scripts.common.records import write_record

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


@pytest.fixture
def two_profiles(cells, cell_content, options):
    """(cells, table options): PaDiM under `paper` as it is, and under `anomalib` with these changes."""

    def of(**changes):
        contents = []
        for profile, given in (("paper", {}), ("anomalib", changes)):
            own = DETECTORS["padim"].profiles[profile]
            provenance = {"options": PaDiMOptions(**{**own, **given}).model_dump(mode="json")}
            for name, spd in (("sup", "none"), ("sup_spd", "spd")):
                contents.append(
                    cell_content(
                        name, spd=spd, profile=profile, classification={"x": {"AU-PR": 0.5}},
                        provenance=provenance,
                    )
                )  # fmt: skip
        return cells(*contents), options(profiles=["paper", "anomalib"])

    return of


def test_an_option_laid_over_a_profile_shows_in_its_cell_and_below_the_table(two_profiles, tmp_path):
    found, table = two_profiles(dim=100)
    frame = tidy(found, "t", table)
    assert frame["profile"].unique().tolist() == ["paper", "anomalib (dim 100)"]
    # Its rows are rows like others: SPD's effect is found, on pairs of the same profile.
    assert (frame["delta"][frame["spd"] == "spd"] == 0).all()
    (said,) = [note for note in notes(frame, found, table) if "dim" in note]
    assert "PaDiM's profile anomalib: dim 100 for 550" in said
    options = [text for word, text in facts("t", "paper", found) if word == "Options"]
    assert len(options) == 2 and "profile anomalib (dim 100): " in options[1] and "dim 100, " in options[1]
    write_table(found, "t", table, tmp_path)
    for suffix in ("csv", "md", "tex", "html"):
        assert "anomalib (dim 100)" in (tmp_path / f"t.{suffix}").read_text()


def test_an_untouched_profile_keeps_its_word(two_profiles):
    found, table = two_profiles()
    assert tidy(found, "t", table)["profile"].unique().tolist() == ["paper", "anomalib"]
    said = notes(tidy(found, "t", table), found, table)
    assert not any("the config changes" in note for note in said)
    # anomalib's name is not all of anomalib
    assert sum("resized to 8 bits" in note and "152 to 301" in note for note in said) == 1


def test_many_changes_are_named_below_the_table_and_counted_in_the_cell(two_profiles):
    found, table = two_profiles(dim=100, epsilon=0.1, blur_sigma=2, upsampling="nearest", solver="dual")
    frame = tidy(found, "t", table)
    (shown,) = set(frame["profile"]) - {"paper"}
    assert shown.endswith(", 1 more)") and shown.count(",") == 3
    (said,) = [note for note in notes(frame, found, table) if "the config changes" in note]
    changes = ("dim 100 for 550", "epsilon 0.1 for 0.01", "upsampling nearest for bilinear")
    assert all(change in said for change in changes) and "solver" not in said


def test_no_published_number_stands_beside_a_profile_that_was_changed(cells, cell_content, options):
    for changes, published in (({}, True), ({"dim": 100}, False)):
        provenance = {"options": PaDiMOptions(**changes).model_dump(mode="json")}
        one = cell_content(
            "simsiam", label="SimSiam", classification={"x": {"AU-PR": 0.5}}, provenance=provenance
        )
        frame = tidy(cells(one), "t", options(rows=["simsiam"], published=["poster_ablation"]))
        assert frame["published"].notna().any() == published


def test_problems_that_the_config_lets_through_stand_first_under_the_table(
    cells, cell_content, options, tmp_path
):
    for name, params in (
        ("visa", {"let_through": "2 exact duplicate (test and train) in candle"}),
        ("b", {}),
    ):
        write_record(
            tmp_path / f"{name}.json", key=name, experiment="data sets", name=name, metrics={},
            provenance={}, params={"dataset": name, "setup": "1cls", **params},
        )  # fmt: skip
    said = let_through([tmp_path / "visa.json", tmp_path / "b.json"], Names(datasets={"visa": "VisA"}))
    assert len(said) == 1 and said[0].startswith("VisA, 1cls: ")
    assert said[0].endswith("hang on them: 2 exact duplicate (test and train) in candle.")
    one = cell_content("sup", classification={"x": {"AU-PR": 0.5}})
    write_table(cells(one), "t", options(rows=["sup"]), tmp_path, data=said)
    for stem in ("t", "t_objects"):
        text = (tmp_path / f"{stem}.md").read_text()
        assert text.index("2 exact duplicate") < text.index("Per cent.")


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
