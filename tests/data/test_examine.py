import dataclasses
import hashlib

import numpy as np
import pytest
from PIL import Image

from spd.data import examine as module
from spd.data.checks import check
from spd.data.examine import examine, read_examined, write_examined
from spd.data.readers import mvtec, visa
from spd.tensors import write_tensors

SETUPS = ("1cls", "2cls_highshot", "2cls_fewshot")


def test_what_is_seen_is_what_the_files_hold(visa_folder):
    seen = examine([visa.read(visa_folder)], progress=False)
    assert len(seen.images) == 14 and len(seen.masks) == 6 and seen.thumbnails.shape == (14, 64, 64)
    for path, image in seen.images.items():
        assert image.digest == hashlib.sha256((visa_folder / path).read_bytes()).digest()
        assert (image.width, image.height, image.reason) == (96, 80, "")
        with Image.open(visa_folder / path) as file:
            small = np.asarray(file.convert("L").resize((64, 64), Image.Resampling.BOX), np.float64)
        assert np.abs(seen.thumbnails[image.thumbnail] - small).mean() < 2
    for path, mask in seen.masks.items():
        ids = np.asarray(Image.open(visa_folder / path))
        assert (mask.width, mask.height, mask.marked) == (96, 80, np.count_nonzero(ids))


@pytest.mark.parametrize("workers", [1, 3])
def test_each_file_is_decoded_once_for_all_setups(visa_folder, monkeypatch, workers):
    looked = []
    look_at, look_at_mask = module._look_at, module._look_at_mask
    monkeypatch.setattr(module, "_look_at", lambda path, *a: looked.append(path) or look_at(path, *a))
    monkeypatch.setattr(
        module, "_look_at_mask", lambda path, *a: looked.append(path) or look_at_mask(path, *a)
    )
    manifests = [visa.read(visa_folder, setup) for setup in SETUPS]
    seen = examine(manifests, workers=workers, progress=False)
    assert len(looked) == len(set(looked)) == 14 + 6
    for manifest in manifests:
        assert check(manifest, seen) == check(manifest, progress=False)


def test_the_file_gives_back_what_was_seen(mvtec_folder, tmp_path):
    (mvtec_folder / "gear/train/good/note.gif").write_bytes(b"")
    Image.new("I;16", (96, 80), 99).save(mvtec_folder / "gear/train/good/001.png")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.new("L", (96, 80), 99).save(mvtec_folder / "felt/test/cut/001.png", exif=exif)
    Image.new("LA", (96, 80), (255, 9)).save(mvtec_folder / "felt/ground_truth/cut/001_mask.png")
    (mvtec_folder / "gear/train/good/000.png").unlink()
    (mvtec_folder / "gear/test/good/000.png").write_bytes(b"<html>")
    (mvtec_folder / "gear/ground_truth/hole/000.png").unlink()
    manifest = mvtec.read(mvtec_folder)
    rows = manifest.rows.copy()
    gone = {"object": "gear", "split": "train", "label": "normal", "defect": "", "mask": ""}
    rows.loc[len(rows)] = {**gone, "image": "gear/train/good/000.png"}
    manifest = dataclasses.replace(manifest, rows=rows)
    seen = examine([manifest], progress=False)
    assert (
        seen.images["gear/train/good/001.png"].largest == 99 and seen.images["felt/test/cut/001.png"][5] == 3
    )
    assert seen.masks["felt/ground_truth/cut/001_mask.png"][2:] == (96 * 80, "", True, 255, False)
    assert [rest.path for rest in seen.unused] == ["gear/train/good/note.gif"]
    for name in ("a", "b"):
        write_examined(seen, tmp_path / name)
    again = read_examined(tmp_path / "a")
    assert (again.images, again.masks, again.unused) == (seen.images, seen.masks, seen.unused)
    assert np.array_equal(again.thumbnails, seen.thumbnails) and again.mask_threshold == 127
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    report = check(manifest, again)
    assert report == check(manifest, seen)
    assert {finding.kind for finding in report.problems} == {"missing", "unreadable"}


def test_a_file_of_another_version_is_named(tmp_path):
    write_tensors(tmp_path / "old", {"images": np.zeros(0, np.uint8)}, {"mask_threshold": "127"})
    with pytest.raises(ValueError, match="old: was written by another version; delete it"):
        read_examined(tmp_path / "old")


def test_without_masks_and_without_a_test_split(mvtec_folder, tmp_path):
    manifest = mvtec.read(mvtec_folder)
    trained = manifest.where(manifest.rows["split"] == "train")
    seen = examine([trained], progress=False)
    assert len(seen.thumbnails) == 0 and not seen.masks  # nothing to compare: no pixels are kept
    write_examined(seen, tmp_path / "seen")
    report = check(trained, read_examined(tmp_path / "seen"))
    assert report.problems == () and {finding.kind for finding in report.warnings} == {"too few images"}


def test_another_threshold_or_another_data_set_is_refused(visa_folder, mvtec_folder):
    seen = examine([visa.read(visa_folder)], progress=False)
    with pytest.raises(ValueError, match="another mask threshold"):
        check(visa.read(visa_folder, mask_threshold=3), seen)
    with pytest.raises(ValueError, match="not of one data set"):
        examine([visa.read(visa_folder), mvtec.read(mvtec_folder)], progress=False)
