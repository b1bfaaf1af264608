import json

import pytest

from spd.report.cells import read_cells


def test_reads_what_a_stage_wrote(cells, cell_content):
    (cell,) = cells(
        cell_content(
            classification={"a": {"AU-PR": 0.25, "AU-ROC": None, "note": "one class only"}},
            seed=3,
            draw=2,
        )
    )
    assert cell.objects["a"].classification.metrics == {"AU-PR": 0.25, "AU-ROC": None}
    assert cell.objects["a"].classification.note == "one class only"
    assert cell.objects["a"].segmentation is None
    assert cell.run == (3, 2)


def test_what_is_found_of_a_backbone_later_joins_its_cells_notes(write_cells, cell_content):
    one, other = {"pretraining_notes": ["it guesses"], "checkpoint": "c" * 64}, {"checkpoint": "d" * 64}
    paths = write_cells(
        cell_content("sup", classification={"a": {"AU-PR": 0.5}}, provenance=one),
        cell_content("moco", classification={"a": {"AU-PR": 0.5}}, provenance=other),
    )
    noted = {"c" * 64: ["it is far below"], "e" * 64: ["another file"]}
    found = [cell.provenance.model_extra.get("pretraining_notes") for cell in read_cells(paths, noted=noted)]
    assert found == [["it guesses", "it is far below"], None]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda c: c.update(schema=2), "schema"),
        (lambda c: c.update(setup="3cls"), "setup"),
        (lambda c: c.update(objects={}), "objects"),
        (lambda c: c["objects"]["a"]["classification"].update({"AU-PR": 93.0}), "AU-PR"),
        (lambda c: c["objects"]["a"]["classification"].update({"AU-PR": -0.1}), "AU-PR"),
        (lambda c: c["objects"]["a"].pop("segmentation"), "segmentation"),
        (lambda c: c["provenance"].pop("preset"), "preset"),
    ],
)
def test_names_file_and_key_of_what_is_wrong(write_cells, cell_content, change, key):
    content = cell_content(classification={"a": {"AU-PR": 0.5}})
    change(content)
    (path,) = write_cells(content)
    with pytest.raises(ValueError) as error:
        read_cells([path])
    assert str(path) in str(error.value) and key in str(error.value)
    assert "\n" not in str(error.value)


def few(**changes):
    return {
        "setup": "2cls_fewshot",
        "detector": "U-Net",
        "task": "segmentation",
        "shots": 5,
        "draw": 0,
    } | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (few(task="classification"), "U-Net is not trained for classification"),
        (few(task="detection"), "task"),
        (few(shots=None), "gives `shots` and `draw`"),
        (few(draw=None), "gives `shots` and `draw`"),
        (few(setup="2cls_highshot"), "no other cell has `shots`"),
        (few(detector="PaDiM", task=None), "detector PaDiM does not belong to setup 2cls_fewshot"),
        ({"detector": "classifier"}, "detector classifier does not belong to setup 1cls"),
        ({"shots": 5}, "no other cell has `shots`"),
    ],
)
def test_a_cell_fits_its_setup(write_cells, cell_content, changes, message):
    (path,) = write_cells(cell_content(segmentation={"a": {"AU-PR": 0.5}}, **changes))
    with pytest.raises(ValueError, match=message):
        read_cells([path])


def test_two_class_cells(write_cells, cell_content):
    high = few(setup="2cls_highshot", shots=None, draw=None)
    contents = [cell_content(segmentation={"a": {"AU-PR": 0.5}}, **changes) for changes in (few(), high)]
    contents[0]["k"] = contents[0].pop("shots")
    one, other = read_cells(write_cells(*contents))
    assert (one.task, one.shots, one.draw, one.run) == ("segmentation", 5, 0, (0, 0))
    assert (other.shots, other.draw, other.run) == (None, None, (0, -1))


def test_image_scores_are_one_an_image(write_cells, cell_content):
    kept = {"a": {"image_scores": {"anomalous": [True, False], "scores": [0.5]}}}
    (path,) = write_cells(cell_content(classification={"a": {"AU-PR": 0.5}}, more=kept))
    with pytest.raises(ValueError, match="1 scores for 2 images"):
        read_cells([path])


def test_nan_is_refused(write_cells, cell_content):
    (path,) = write_cells(cell_content(classification={"a": {"AU-PR": float("nan")}}))
    with pytest.raises(ValueError, match="AU-PR"):
        read_cells([path])


def test_no_json_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match=r"x\.json"):
        read_cells([tmp_path / "x.json"])


def test_parts_of_a_run_may_lie_in_files_of_their_own_but_no_object_twice(write_cells, cell_content):
    a, b, again = write_cells(*(cell_content(classification={o: {"AU-PR": 0.5}}) for o in ("a", "b", "a")))
    assert len(read_cells([a, b])) == 2
    with pytest.raises(ValueError, match="the same result") as error:
        read_cells([a, b, again])
    assert str(a) in str(error.value) and str(again) in str(error.value)


def test_further_provenance_is_kept(write_cells, cell_content):
    content = cell_content(classification={"a": {"AU-PR": 0.5}}, provenance={"corpus": "abc"})
    (cell,) = read_cells(write_cells(content))
    assert json.loads(cell.provenance.model_dump_json())["corpus"] == "abc"
