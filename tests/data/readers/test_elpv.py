from collections import Counter

import pytest

from spd.data.readers import elpv


@pytest.fixture
def folder(tmp_path):
    """The wheel's data folder in small: its labels.csv has one line an image and no header."""
    lines = []
    for i in range(60):
        probability = (0.0, 0.3333333333333333, 0.6666666666666666, 1.0)[i % 4]
        lines.append(f"images/cell{i:04d}.png  {probability}                 {('mono', 'poly')[i % 3 == 0]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_certain_labels_alone_are_kept(folder):
    manifest = elpv.read(folder)
    counts = manifest.counts().set_index("object")
    assert counts.loc["mono"].tolist() == [8, 0, 2, 10]  # 10 normals, 10 anomalies
    assert counts.loc["poly"].tolist() == [4, 0, 1, 5]
    assert {row.mask for row in manifest} == {""}
    assert "CC BY-NC-SA 4.0" in manifest.meta["notice"] and "non-commercial" in manifest.meta["notice"]


def test_the_split_follows_the_seed(folder):
    hashes = {elpv.read(folder, seed=seed).split_hash for seed in range(5)}
    assert len(hashes) == 5
    assert elpv.read(folder, seed=3).split_hash == elpv.read(folder, seed=3).split_hash
    # The split of an object does not depend on the others.
    alone = elpv.read(folder, objects=["mono"], seed=3)
    assert alone.split_hash == elpv.read(folder, seed=3).part(["mono"]).split_hash


def test_errors(folder, tmp_path):
    with pytest.raises(ValueError, match="1cls alone"):
        elpv.read(folder, "2cls_fewshot")
    with pytest.raises(ValueError, match=r"labels\.csv: not found"):
        elpv.read(tmp_path / "nothing")
    (folder / "labels.csv").write_text("images/cell.png 0.5\n")
    with pytest.raises(ValueError, match=r"labels\.csv: expected `image probability type`"):
        elpv.read(folder)


def test_the_installed_wheel():
    pytest.importorskip("elpv_dataset", reason="the wheel elpv-dataset is not installed")
    manifest = elpv.read()
    lines = (elpv.packaged_root() / "labels.csv").read_text().split("\n")
    stated = Counter((f[2], float(f[1])) for f in map(str.split, lines) if f)
    for name, n in manifest.counts().set_index("object").iterrows():
        assert n["train_normal"] + n["test_normal"] == stated[name, 0.0]
        assert n["test_anomaly"] == stated[name, 1.0]
        assert n["train_normal"] == round(0.8 * stated[name, 0.0])
    assert all(manifest.image_path(row).is_file() for row in manifest)
    assert elpv.fingerprint().startswith("elpv-dataset ")
