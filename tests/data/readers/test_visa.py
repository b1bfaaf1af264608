import pandas as pd
import pytest

from spd.data.readers import visa


@pytest.mark.parametrize(
    ("setup", "expected"),
    [("1cls", [3, 0, 1, 3]), ("2cls_highshot", [2, 2, 2, 1]), ("2cls_fewshot", [1, 1, 3, 2])],
)
def test_each_setup_has_its_split(visa_folder, setup, expected):
    manifest = visa.read(visa_folder, setup)
    assert manifest.counts().to_numpy().tolist() == [["bolts", *expected], ["nuts", *expected]]
    assert manifest.mask_threshold == 0
    assert manifest.meta["setup"] == setup
    assert all(manifest.image_path(row).is_file() for row in manifest)
    assert all(manifest.mask_path(row).is_file() == (row.label == "anomaly") for row in manifest if row.mask)


def test_defects_are_keyed_by_path_since_basenames_collide(visa_folder):
    defects = {row.image: row.defect for row in visa.read(visa_folder)}
    assert defects["bolts/Data/Images/Anomaly/000.JPG"] == "bent, rusty"
    assert defects["bolts/Data/Images/Anomaly/001.JPG"] == "bent"
    assert defects["bolts/Data/Images/Normal/000.JPG"] == ""


def test_annotations_relative_to_the_object_or_missing(visa_folder):
    path = visa_folder / "nuts" / "image_anno.csv"
    table = pd.read_csv(path, dtype=str)
    table["image"] = table["image"].str.removeprefix("nuts/")
    table.to_csv(path, index=False)
    (visa_folder / "bolts" / "image_anno.csv").unlink()
    defects = {row.image: row.defect for row in visa.read(visa_folder)}
    assert defects["nuts/Data/Images/Anomaly/002.JPG"] == "rusty"
    assert defects["bolts/Data/Images/Anomaly/002.JPG"] == ""


def test_objects_may_be_chosen(visa_folder):
    assert visa.read(visa_folder, objects=["nuts"]).objects == ["nuts"]
    with pytest.raises(ValueError, match="no object screws; there are bolts, nuts"):
        visa.read(visa_folder, objects=["screws"])


def test_another_layout_is_named(visa_folder, tmp_path):
    with pytest.raises(ValueError, match=r"split_csv.1cls\.csv: not found; VisA's layout"):
        visa.read(tmp_path)
    with pytest.raises(ValueError, match="VisA has 1cls, 2cls_highshot, 2cls_fewshot"):
        visa.read(visa_folder, "3cls")
    (visa_folder / "nuts" / "image_anno.csv").write_text("picture,label\n")
    with pytest.raises(ValueError, match=r"image_anno\.csv: no column image"):
        visa.read(visa_folder)
