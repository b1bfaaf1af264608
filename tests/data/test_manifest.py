import hashlib
import json
import subprocess
import sys

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spd.data.manifest import COLUMNS, LABELS, SPLITS, make, read, write

ROWS = [
    ("nut", "train", "normal", "", "nut/b.png", ""),
    ("nut", "test", "anomaly", "bent, rusty", "nut/c.png", "nut/c_mask.png"),
    ("bolt", "train", "normal", "", "bolt/a.png", ""),
    ("nut", "test", "normal", "", "nut/a.png", ""),
]


def test_rows_are_sorted_whatever_their_order():
    manifests = [make(rows, "data", 127) for rows in (ROWS, ROWS[::-1])]
    assert [row.image for row in manifests[0]] == ["bolt/a.png", "nut/c.png", "nut/a.png", "nut/b.png"]
    assert manifests[0].split_hash == manifests[1].split_hash
    assert manifests[0].objects == ["bolt", "nut"]


def test_split_hash_is_the_hash_of_the_file(tmp_path):
    manifest = make(ROWS, "data", 127)
    write(manifest, tmp_path / "1cls.csv")
    assert hashlib.sha256((tmp_path / "1cls.csv").read_bytes()).hexdigest() == manifest.split_hash
    assert manifest.split_hash != make(ROWS[1:], "data", 127).split_hash


def test_written_and_read_again(tmp_path):
    manifest = make(ROWS, "some/root", 0, dataset="parts", setup="1cls", fingerprint="f")
    write(manifest, tmp_path / "new" / "1cls.csv")
    again = read(tmp_path / "new" / "1cls.csv")
    pd.testing.assert_frame_equal(again.rows, manifest.rows)
    assert (again.root, again.mask_threshold, again.meta) == (manifest.root, 0, manifest.meta)
    sidecar = json.loads((tmp_path / "new" / "1cls.json").read_text())
    assert sidecar["counts"]["nut"] == {
        "train_normal": 1,
        "train_anomaly": 0,
        "test_normal": 1,
        "test_anomaly": 1,
    }
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["1cls.csv", "1cls.json"]


# Names that a CSV reader could take for something else, or that need quoting.
names = st.text(
    st.characters(codec="utf-8", exclude_characters="\\/\0", exclude_categories=["Cs", "Cc"]), min_size=1
).filter(lambda s: s not in ("mean", ".", ".."))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            names, st.sampled_from(SPLITS), st.sampled_from(LABELS), st.one_of(st.just(""), names), names
        ),
        min_size=1,
        unique_by=lambda r: r[4],
    )
)
def test_every_name_survives(tmp_path_factory, rows):
    rows = [(*row, "") for row in rows]
    path = tmp_path_factory.mktemp("m") / "m.csv"
    write(make(rows, ".", 127), path)
    assert [tuple(row) for row in read(path)] == sorted(rows, key=lambda r: (r[0], r[1], r[2], r[4]))


def test_paths_and_parts():
    manifest = make(ROWS, "root", 127, dataset="d")
    by_image = {row.image: row for row in manifest}
    assert manifest.image_path(by_image["nut/a.png"]).as_posix() == "root/nut/a.png"
    assert manifest.mask_path(by_image["nut/a.png"]) is None
    assert manifest.mask_path(by_image["nut/c.png"]).as_posix() == "root/nut/c_mask.png"
    part = manifest.part(["nut"])
    assert part.objects == ["nut"] and len(part) == 3 and part.meta == {"dataset": "d"}
    assert list(part.rows.index) == [0, 1, 2]
    with pytest.raises(ValueError, match="no object screw; there are bolt, nut"):
        manifest.part(["screw"])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("image", "a\rb.png", "image must have no control characters"),
        ("defect", "bent\n", "defect must have no control characters"),
        ("image", "a\udcff.png", r"the name 'a\\udcff\.png' is not UTF-8"),
        ("split", "val", "split must be one of train, test"),
        ("label", "good", "label must be one of normal, anomaly"),
        ("object", "", "object must be a name"),
        ("object", "mean", "object must be a name"),
        ("image", "", "image must not be empty"),
        ("image", "/etc/passwd", "image must be a path below the root"),
        ("image", "a/../../b.png", "image must be a path below the root"),
        ("mask", "..", "mask must be a path below the root"),
        ("image", "a\\b.png", "image must be a path below the root"),
        ("image", "bolt/a.png", "the same image is listed more than once"),
    ],
)
def test_bad_rows_are_refused(column, value, message):
    bad = dict(zip(COLUMNS, ROWS[0], strict=True)) | {column: value}
    with pytest.raises(ValueError, match=f"my.csv: {message}"):
        make([*ROWS[1:], tuple(bad.values())], ".", 127, where="my.csv")


def test_nothing_found_is_an_error():
    with pytest.raises(ValueError, match="folder: no images found"):
        make([], "folder", 127)


def test_an_edited_csv_is_refused(tmp_path):
    path = tmp_path / "m.csv"
    write(make(ROWS, ".", 127), path)
    path.write_text(path.read_text().replace("nut,train", "nut,test"))
    with pytest.raises(ValueError, match=r"not those m\.json was written for"):
        read(path)
    path.write_text(path.read_text().replace("object,", "thing,"))
    with pytest.raises(ValueError, match=r"columns are \['thing', "):
        read(path)
    (tmp_path / "m.json").unlink()
    with pytest.raises(ValueError, match=r"m\.json is missing"):
        read(path)


def test_counts_equal_a_plain_count():
    counts = make(ROWS, ".", 127).counts().set_index("object")
    for name in ("bolt", "nut"):
        for split in SPLITS:
            for label in LABELS:
                expected = sum(r[:3] == (name, split, label) for r in ROWS)
                assert counts.at[name, f"{split}_{label}"] == expected


def test_the_data_door_is_light():
    heavy = "{'torch', 'numba', 'mlflow'}"
    code = f"import sys, spd.data.readers.registry; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
