import json

import pytest

from spd.report.cells import read_cells


def test_reads_what_a_stage_wrote(cells, cell_content):
    (cell,) = cells(
        cell_content(
            classification={"a": {"AU-PR": 0.25, "AU-ROC": None, "note": "one class only"}},
            seed=3,
            shots=5,
            draw=2,
        )
    )
    assert cell.objects["a"].classification.metrics == {"AU-PR": 0.25, "AU-ROC": None}
    assert cell.objects["a"].classification.note == "one class only"
    assert cell.objects["a"].segmentation is None
    assert cell.run == (3, 2)


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
