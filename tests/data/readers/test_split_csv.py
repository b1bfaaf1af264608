import pandas as pd
import pytest

from spd.data.readers import split_csv, visa


def test_reads_what_the_visa_reader_reads(visa_folder):
    for setup in ("1cls", "2cls_highshot"):
        own = split_csv.read(visa_folder, setup, csv=f"split_csv/{setup}.csv")
        theirs = visa.read(visa_folder, setup)
        pd.testing.assert_frame_equal(own.rows.drop(columns="defect"), theirs.rows.drop(columns="defect"))
    assert own.mask_threshold == 127


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my.csv").write_text(
        "\ufeffobject,split,label,image\npart,train,normal,ok/1.png\npart,test,anomaly,bad/burr/2.png\n",
        "utf-8",
    )
    return tmp_path


def test_masks_and_defects_are_optional(folder):
    anomaly, normal = split_csv.read(folder, csv="my.csv")
    assert (anomaly.defect, anomaly.mask, normal.image) == ("", "", "ok/1.png")


def test_the_defect_from_the_path(folder):
    anomaly, normal = split_csv.read(folder, csv="my.csv", defect_component=1)
    assert (anomaly.defect, normal.defect) == ("burr", "")
    assert next(iter(split_csv.read(folder, csv="my.csv", defect_component=-2))).defect == "burr"
    with pytest.raises(ValueError, match=r"my\.csv: image bad/burr/2\.png has no path component 7"):
        split_csv.read(folder, csv="my.csv", defect_component=7)


def test_a_defect_column_wins(folder):
    table = pd.read_csv(folder / "my.csv").assign(defect=["", "NA"])
    table.to_csv(folder / "my.csv", index=False)
    assert next(iter(split_csv.read(folder, csv="my.csv", defect_component=0))).defect == "NA"


def test_an_absolute_csv_may_lie_elsewhere(folder, tmp_path):
    manifest = split_csv.read("images", csv=tmp_path / "my.csv")
    assert next(manifest.image_path(row) for row in manifest).as_posix() == "images/bad/burr/2.png"


def test_errors_name_the_file(folder):
    with pytest.raises(ValueError, match=r"other\.csv: no such file"):
        split_csv.read(folder, csv="other.csv")
    path = folder / "my.csv"
    path.write_text("object,split,image\n")
    with pytest.raises(ValueError, match=r"my\.csv: no column label"):
        split_csv.read(folder, csv="my.csv")
    for text in ("", 'a,b\n1,"2"3\n', b"object\n\xff\n"):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ValueError, match=r"my\.csv: no CSV in UTF-8"):
            split_csv.read(folder, csv="my.csv")
    path.write_text("object,split,label,image\npart,test,anomaly\n")  # a short row
    with pytest.raises(ValueError, match=r"my\.csv: line 2: image must not be empty"):
        split_csv.read(folder, csv="my.csv", defect_component=None)
    path.write_text("object,split,label,image\npart,train,anomaly,a.png\n")
    with pytest.raises(ValueError, match=r"my\.csv: 1 anomalous images in train \(a\.png"):
        split_csv.read(folder, csv="my.csv")
    assert len(split_csv.read(folder, "2cls_highshot", csv="my.csv")) == 1


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        ("1cls", [722, 0, 230, 388]),
        ("2cls_highshot", [573, 234, 379, 154]),
        ("2cls_fewshot", [192, 79, 760, 309]),
    ],
)
def test_magnetic_tile(spd_data, setup, expected):
    root = spd_data / "magnetic_tile"
    manifest = split_csv.read(root, setup, csv=f"split_csv/{setup}.csv", defect_component=0)
    assert manifest.counts().to_numpy().tolist() == [["magnetic_tile", *expected]]
    # Counted by another program: one line for each row, after the header.
    assert len(manifest) == len((root / "split_csv" / f"{setup}.csv").read_text().splitlines()) - 1
    defects = {row.defect for row in manifest if row.label == "anomaly"}
    assert defects == {"MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Uneven"}
    assert all(manifest.image_path(row).is_file() for row in manifest)
    assert all(manifest.mask_path(row).is_file() for row in manifest if row.label == "anomaly")
