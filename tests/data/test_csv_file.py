"""CSVs as people write them give one table; a wrong line is named by its number."""

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spd.data.csv_file import named_paths, read_table
from spd.data.readers import split_csv, visa

PLAIN = "object,split,label,image,mask\nnut,train,normal,a.png,\nnut,test,anomaly,b.png,m.png\n"


def written(tmp_path, text):
    path = tmp_path / "my.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ", "),
        PLAIN.replace(",", " ; "),
        PLAIN.replace("object,split", "Object, SPLIT"),
        "\ufeff" + PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("a.png,\n", "a.png\n\n ,,,,\n"),  # a short row, empty rows
        PLAIN.replace("nut", '"nut"'),
    ],
)
def test_as_people_write_them(tmp_path, text):
    path = written(tmp_path, text)
    expected = [row[:3] + row[4:] for row in csv.reader(io.StringIO(PLAIN))][1:]
    manifest = split_csv.read(tmp_path, csv=path)
    assert [[r.object, r.split, r.label, r.mask] for r in sorted(manifest, key=lambda r: r.image)] == [
        [a, b, c, d] for a, b, c, d in expected
    ]
    assert named_paths(path) == {"a.png", "b.png", "m.png"}


@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"])), min_size=2, max_size=2
        ),
        max_size=5,
    ),
    st.sampled_from(",;\t"),
)
def test_what_a_csv_writer_wrote_is_read_back(tmp_path_factory, rows, separator):
    file = io.StringIO()
    csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    path = written(tmp_path_factory.mktemp("csv"), file.getvalue())
    assert read_table(path).to_numpy().tolist() == [row for row in rows if any(row)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PLAIN + "nut,test,normal,c, d.png,\nnut,,,,,,\n", r"line 4, 5: more values .*5, .*comma; .*quotes"),
        (PLAIN.replace("train,normal", "train,fine"), r"line 2: label must be one of normal, anomaly"),
        (PLAIN.replace("\nnut,test", "\n\n\nnut,tset"), r"line 5: split must be one of train, test"),
        (PLAIN.replace("a.png", "../a.png"), r"line 2: image must be a path below the root"),
        (PLAIN.replace("b.png", "a.png"), r"line 2, 3: the same image is listed more than once"),
        (PLAIN.replace(",", "|"), r"no column object, .*separated by comma, are 'object\|split"),
        (PLAIN.replace("split", "part").replace(",", ";"), r"no column split; .*by semicolon, are .*'part'"),
        (PLAIN + 'nut,test,normal,"c"d.png,\n', r"no CSV in UTF-8: line 4: "),
        (PLAIN.splitlines()[0], "no images found"),
        (b"object\n\xff\n", "no CSV in UTF-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, says):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=rf"my\.csv: {says}"):
        split_csv.read(tmp_path, csv=path)


def test_a_name_in_another_unicode_form_is_found(visa_folder):
    # A file copied from macOS (NFD), a CSV typed elsewhere (NFC), or the other way round.
    source = visa_folder / "nuts/Data/Images/Normal/000.JPG"
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        path = unicodedata.normalize(form, "nut/Brötchen/Körner.JPG")
        named = unicodedata.normalize(other, path)
        root = visa_folder.parent / form
        (root / path).parent.mkdir(parents=True)
        (root / path).write_bytes(source.read_bytes())
        (root / "split_csv").mkdir()
        header = "object,split,label,image"
        (root / "split_csv/1cls.csv").write_text(f"{header}\nnut,test,anomaly,{named}\n", "utf-8")
        (root / "nut/image_anno.csv").write_text(f"image,label\n{path},burnt\n", "utf-8")
        (row,) = split_csv.read(root, csv="split_csv/1cls.csv")
        assert named != row.image == path and (root / row.image).is_file()
        (row,) = visa.read(root)
        assert (row.image, row.defect) == (path, "burnt")
    missing = "object,split,label,image\nnut,train,normal,ä/ö.png\n"
    (row,) = split_csv.read(root, csv=written(root, missing))
    assert row.image == "ä/ö.png"  # the checks say that it is missing


def test_an_unreadable_csv_names_nothing(tmp_path):
    assert named_paths(tmp_path / "none.csv") == set()
    assert named_paths(written(tmp_path, b"\xff\xfe")) == set()
    assert named_paths(written(tmp_path, "a,b\n1,2\n")) == set()
