import shutil

import pytest

from spd.data.archive import unpack
from spd.data.fingerprint import archive_fingerprint, folder_fingerprint
from spd.data.manifest import read, write
from spd.data.options import DatasetOptions
from spd.data.readers import mvtec, visa
from spd.data.readers.registry import fingerprint, make_manifest, read_dataset


def test_readers_by_name(visa_folder, mvtec_folder):
    assert (
        read_dataset("visa", visa_folder, "2cls_fewshot").split_hash
        == visa.read(visa_folder, "2cls_fewshot").split_hash
    )
    assert read_dataset("mvtec", mvtec_folder, "1cls", objects=["gear"]).objects == ["gear"]
    with pytest.raises(ValueError, match="reader 'coco' is unknown; there are visa, mvtec"):
        read_dataset("coco", visa_folder, "1cls")


def test_a_folder_of_yours(visa_folder, monkeypatch):
    monkeypatch.setenv("MY_DATA", str(visa_folder.parent))
    dataset = DatasetOptions(
        name="mine", reader="split_csv", root="$MY_DATA/visa", csv={"1cls": "split_csv/1cls.csv"},
        defect_component=-2, mask_threshold=0, licence="mine", notice="Ask first.", objects=["nuts"],
    )  # fmt: skip
    manifest = make_manifest(dataset, "1cls")
    assert manifest.objects == ["nuts"] and manifest.mask_threshold == 0
    assert manifest.meta == {
        "reader": "split_csv",
        "setup": "1cls",
        "dataset": "mine",
        "fingerprint": folder_fingerprint(visa_folder),
        "licence": "mine",
        "notice": "Ask first.",
        "csv": ["split_csv/1cls.csv"],
    }
    assert {row.defect for row in manifest} == {"", "Anomaly"}
    with pytest.raises(ValueError, match="csv: no file for the setup 2cls_fewshot"):
        make_manifest(dataset, "2cls_fewshot")


def test_an_archive(mvtec_folder, tmp_path):
    file = shutil.make_archive(str(tmp_path / "packed"), "xztar", mvtec_folder)
    dataset = DatasetOptions(name="parts", reader="mvtec", archive={"file": file})
    with pytest.raises(ValueError, match="must be unpacked first"):
        make_manifest(dataset, "1cls")
    unpack(file, tmp_path / "out", max_files=100, max_bytes=10**7)
    manifest = make_manifest(dataset, "1cls", tmp_path / "out")
    assert manifest.split_hash == mvtec.read(mvtec_folder).split_hash
    assert manifest.meta["fingerprint"] == archive_fingerprint(file) == fingerprint(dataset)
    assert manifest.mask_threshold == 127


def test_the_wheel():
    pytest.importorskip("elpv_dataset", reason="the wheel elpv-dataset is not installed")
    manifest = make_manifest(DatasetOptions(name="cells", reader="elpv", objects=["mono"], seed=5), "1cls")
    assert manifest.objects == ["mono"] and "non-commercial" in manifest.meta["notice"]
    assert manifest.meta["fingerprint"].startswith("elpv-dataset ")


def test_the_wheels_layout_in_a_folder_of_yours(tmp_path, images):
    lines = []
    for i in range(10):
        images.save(tmp_path / f"cells/images/cell{i}.png", images.texture(i))
        lines.append(f"images/cell{i}.png {float(i % 5 == 4)} mono")
    (tmp_path / "cells/labels.csv").write_text("\n".join(lines) + "\n")
    dataset = DatasetOptions(name="cells", reader="elpv", root=str(tmp_path / "cells"))
    manifest = make_manifest(dataset, "1cls")
    assert manifest.counts().set_index("object").loc["mono"].tolist() == [6, 0, 2, 2]
    assert manifest.root == tmp_path / "cells"
    assert manifest.meta["fingerprint"] == folder_fingerprint(tmp_path / "cells") == fingerprint(dataset)
    assert "CC BY-NC-SA 4.0" in manifest.meta["notice"]


def test_a_csv_outside_the_root_counts_in_the_fingerprint(visa_folder, tmp_path):
    outside = tmp_path / "mine.csv"
    shutil.copy(visa_folder / "split_csv/1cls.csv", outside)
    dataset = DatasetOptions(
        name="mine",
        reader="split_csv",
        root=str(visa_folder),
        csv={"1cls": str(outside)},
        defect_component=-2,
    )
    before = fingerprint(dataset)
    assert before != folder_fingerprint(visa_folder)
    outside.write_text(outside.read_text() + "\n")
    assert fingerprint(dataset) != before


def test_missing_folder_says_what_it_must_hold(tmp_path):
    imagenet = DatasetOptions(name="ImageNet-1k", reader="class_folders", root=str(tmp_path / "imagenet"))
    with pytest.raises(
        ValueError, match=r"ImageNet-1k: root: .*imagenet: no such folder; .*train/<wnid>.*nested"
    ):
        make_manifest(imagenet, "1cls")


def test_a_bound_on_pixels_of_your_own_goes_with_the_manifest(mvtec_folder, tmp_path):
    dataset = DatasetOptions(name="scans", reader="mvtec", root=str(mvtec_folder), max_pixels=10**9)
    write(make_manifest(dataset, "1cls"), tmp_path / "1cls.csv")
    assert read(tmp_path / "1cls.csv").max_pixels == 10**9
    write(mvtec.read(mvtec_folder), tmp_path / "1cls.csv")
    assert read(tmp_path / "1cls.csv").max_pixels == 178_956_970
