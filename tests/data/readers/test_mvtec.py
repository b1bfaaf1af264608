import shutil
import unicodedata

import pytest

from spd.data.masks import read_mask
from spd.data.readers import mvtec


def test_objects_splits_defects_and_masks(mvtec_folder):
    manifest = mvtec.read(mvtec_folder)
    assert manifest.counts().to_numpy().tolist() == [["felt", 3, 0, 2, 3], ["gear", 3, 0, 2, 3]]
    rows = {row.image: row for row in manifest}
    assert rows["felt/test/cut/001.png"].mask == "felt/ground_truth/cut/001_mask.png"
    assert rows["gear/test/hole/000.png"].mask == "gear/ground_truth/hole/000.png"
    assert {row.defect for row in manifest if row.label == "anomaly"} == {"cut", "hole"}
    assert {(row.defect, row.mask) for row in manifest if row.label == "normal"} == {("", "")}


def test_a_single_object_folder_gives_its_name(mvtec_folder):
    manifest = mvtec.read(mvtec_folder / "gear")
    assert manifest.objects == ["gear"]
    assert manifest.split_hash == mvtec.read(mvtec_folder, objects=["gear"]).split_hash
    assert all(manifest.image_path(row).is_file() for row in manifest)
    with pytest.raises(ValueError, match="is the folder of the object gear"):
        mvtec.read(mvtec_folder / "gear", objects=["felt"])


def test_masks_are_optional(mvtec_folder):
    shutil.rmtree(mvtec_folder / "felt" / "ground_truth")
    assert {row.mask for row in mvtec.read(mvtec_folder, objects=["felt"])} == {""}


def test_other_files_do_not_count(mvtec_folder):
    (mvtec_folder / "felt" / "train" / "good" / "Thumbs.db").write_bytes(b"")
    (mvtec_folder / "felt" / "train" / "good" / "._000.png").write_bytes(b"")
    (mvtec_folder / ".cache" / "train").mkdir(parents=True)
    assert len(mvtec.read(mvtec_folder)) == 16


def test_another_layout_is_named(mvtec_folder, tmp_path):
    with pytest.raises(ValueError, match=r"did you mean .*mvtec\?"):
        mvtec.read(tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        mvtec.read(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no object screw; there are felt, gear"):
        mvtec.read(mvtec_folder, objects=["screw"])
    with pytest.raises(ValueError, match="1cls alone"):
        mvtec.read(mvtec_folder, "2cls_fewshot")
    (mvtec_folder / "felt" / "train" / "cut").mkdir()
    with pytest.raises(ValueError, match="train/good alone"):
        mvtec.read(mvtec_folder)
    shutil.rmtree(mvtec_folder / "felt" / "train")
    (mvtec_folder / "felt" / "train" / "good").mkdir(parents=True)
    (mvtec_folder / "felt/train/good/session1").mkdir()
    (mvtec_folder / "felt/train/good/0.gif").write_bytes(b"")
    with pytest.raises(
        ValueError,
        match=r"train.good: no images; it holds 1 \.gif file and 1 folder \(session1\); read are \.png",
    ):
        mvtec.read(mvtec_folder)


def test_a_mask_is_found_whatever_the_unicode_form_of_its_name(mvtec_folder):
    cut, truth = mvtec_folder / "gear/test/cut", mvtec_folder / "gear/ground_truth/cut"
    (cut / "000.png").rename(cut / unicodedata.normalize("NFC", "Löcher.png"))
    (truth / "000.png").rename(truth / unicodedata.normalize("NFD", "Löcher_mask.png"))
    masks = {row.image: row.mask for row in mvtec.read(mvtec_folder) if row.defect == "cut"}
    assert masks["gear/test/cut/Löcher.png"] == unicodedata.normalize(
        "NFD", "gear/ground_truth/cut/Löcher_mask.png"
    )


@pytest.mark.parametrize(
    ("folder", "name", "expected"),
    [
        ("mvtec_anomaly_detection_sample", "grid", [7, 0, 3, 11]),
        ("hazelnut_toy", "hazelnut_toy", [28, 0, 6, 17]),
    ],
)
def test_real_folders(spd_data, folder, name, expected):
    manifest = mvtec.read(spd_data / folder)
    assert manifest.counts().to_numpy().tolist() == [[name, *expected]]
    masked = [row for row in manifest if row.mask]
    assert len(masked) == expected[3]
    assert all(read_mask(manifest.mask_path(row), 127).any() for row in masked)
