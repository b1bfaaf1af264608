"""What a reader leaves is said: by folder and kind, with a reason; and what cannot matter is not."""

import shutil

import pytest

from spd.data.checks import check, require_listed
from spd.data.examine import examine
from spd.data.readers import class_folders, elpv, mvtec, split_csv, visa
from spd.data.unused import MOST_FOLDERS, unused


def found(*manifests):
    """Path -> (files, kind, reason)."""
    seen = examine(manifests, progress=False).unused
    return {rest.path: (rest.files, rest.kind, rest.reason) for rest in seen}


def test_every_file_beside_mvtecs_layout_is_said(mvtec_folder, images):
    gear = mvtec_folder / "gear"
    for path in ("train/good/session2/a.png", "train/good/session2/b.png", "test/cut/rgb/x.png"):
        images.save(gear / path, images.texture(1))
    for path in ("validation/good/000.png", "test/000.png", "masks/cut/000.png", "ground_truth/Cut/000.png"):
        images.save(gear / path, images.texture(2))
    for name in ("000.gif", "001.GIF", "notes"):
        (gear / "train/good" / name).write_bytes(b"x")
    (gear / "test/cut/gone.png").symlink_to(gear / "nowhere.png")
    (gear / "test/cut/circle.png").symlink_to(gear / "test/cut/circle.png")
    images.save(mvtec_folder / "extra/000.png", images.texture(3))
    truth = mvtec_folder / "felt/ground_truth"
    (truth / "cut/000_mask.png").rename(truth / "cut/000_gt.png")  # named otherwise
    (mvtec_folder / "felt/test/hole/000.png").unlink()  # the mask's image is missing
    for name in (".DS_Store", "Thumbs.db", "._000.png", "desktop.ini", "README.md", "LICENSE"):
        (gear / "train/good" / name).write_bytes(b"x")
    said = found(mvtec.read(mvtec_folder))
    sub = "in a sub-folder of images: only those directly in the folder itself are read"
    masks = "masks, by their name: looked for is ground_truth/<defect>/<image>.*"
    assert said.pop("gear/train/good/session2/") == (2, "image", sub)
    assert said.pop("gear/test/cut/rgb/x.png") == (1, "image", sub)
    assert said.pop("gear/validation/good/000.png")[2].startswith("a part for validation")
    for path in (
        "gear/masks/cut/000.png",
        "gear/ground_truth/Cut/000.png",
        "felt/ground_truth/cut/000_gt.png",
        "felt/ground_truth/hole/000_mask.png",
    ):
        assert said.pop(path)[2].startswith(masks), path
    files, kind, reason = said.pop("gear/train/good/")
    assert (files, kind) == (2, ".gif file") and reason.startswith("read are .png, .jpg")
    assert said.pop("gear/train/good/notes")[1] == "nameless file"
    links = said.pop("gear/test/cut/")
    assert links == (2, "link", "links to nothing")
    for path in ("gear/test/000.png", "extra/000.png"):
        assert said.pop(path)[2].startswith("read are <object>/train/good/*"), path
    assert not said
    # Asked for one object, nothing is said of the others, and what belongs to none still is.
    assert {path.split("/")[0] for path in found(mvtec.read(mvtec_folder, objects=["gear"]))} == {
        "gear",
        "extra",
    }
    assert {path.split("/")[0] for path in found(mvtec.read(gear))} == {"gear"}


def test_masks_of_several_files_an_image_are_not_passed_over(mvtec_folder, images):
    # MVTec LOCO's layout: ground_truth/<defect>/<image>/000.png.
    for i in range(MOST_FOLDERS + 3):
        images.save(mvtec_folder / f"gear/ground_truth/logical/{i:03d}/000.png", images.texture(0)[..., 0])
    (one,) = check(mvtec.read(mvtec_folder), progress=False).warnings
    assert (one.kind, one.paths) == ("unused", ("gear/ground_truth/logical/",))
    assert one.detail.startswith(
        "23 images in 23 folders, such as gear/ground_truth/logical/000/000.png: masks"
    )


def test_splits_say_nothing_of_what_any_setup_reads(visa_folder):
    setups = [visa.read(visa_folder, setup) for setup in ("1cls", "2cls_highshot", "2cls_fewshot")]
    assert found(*setups) == {}
    csv = visa_folder / "split_csv/1cls.csv"
    lines = [line for line in csv.read_text().splitlines() if "Anomaly" not in line]
    csv.write_text("\n".join(lines) + "\n")
    left = found(visa.read(visa_folder))
    assert left["nuts/Data/Images/Anomaly/"] == (3, "image", "read is what split_csv/<setup>.csv names")
    assert left["nuts/Data/Masks/Anomaly/"][2].startswith("masks, by their name: no row of split_csv")
    assert found(visa.read(visa_folder), visa.read(visa_folder, "2cls_highshot")) == {}
    assert found(visa.read(visa_folder, "2cls_highshot", objects=["nuts"])) == {}
    own = split_csv.read(visa_folder, csv="split_csv/1cls.csv")
    assert found(own)["nuts/Data/Masks/Anomaly/"][2].startswith("masks, by their name: no row of the files")


def test_class_folders(tmp_path, images):
    for name in ("a", "b"):
        images.save(tmp_path / f"train/{name}/0.JPEG", images.texture(0))
        images.save(tmp_path / f"train/{name}/masks/0.png", images.texture(0))
    (tmp_path / "train/a/1.jfif").write_bytes(b"x")
    images.save(tmp_path / "test/0.JPEG", images.texture(1))
    images.save(tmp_path / "val/a/0.JPEG", images.texture(2))  # judged on
    images.save(tmp_path / "val/0.JPEG", images.texture(2))  # as ImageNet's archive has them
    said = found(class_folders.read(tmp_path))
    assert said.pop("val/0.JPEG")[2].startswith("read is val/<class>/ of the classes in train/; sort them")
    assert said.pop("train/a/masks/0.png")[2] == said.pop("train/b/masks/0.png")[2]
    assert said.pop("train/a/1.jfif")[1] == ".jfif file"
    assert said.pop("test/0.JPEG")[2].startswith("read are the images directly in train/<class>/")
    assert not said


def test_elpv_leaves_uncertain_images_on_purpose(tmp_path, images):
    lines = []
    for i, probability in enumerate((0, 0, 0.3333333333333333, 1)):
        images.save(tmp_path / f"images/{i}.png", images.texture(i))
        lines.append(f"images/{i}.png {probability} mono")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    assert found(elpv.read(tmp_path)) == {}
    images.save(tmp_path / "images/9.png", images.texture(9))
    assert found(elpv.read(tmp_path)) == {"images/9.png": (1, "image", "read is what labels.csv names")}


def test_many_folders_are_counted_together_and_no_file_is_lost(tmp_path):
    for i in range(3 * MOST_FOLDERS):
        for name in ("a.txt", "b.txt"):
            path = tmp_path / f"train/{i % 30}/{i}/{name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    (one,) = unused(tmp_path, (), (), "class_folders")
    assert (one.path, one.files, one.folders, one.example) == ("train/", 120, 60, "train/0/0/a.txt")
    shutil.rmtree(tmp_path / "train")
    (tmp_path / "a.txt").write_bytes(b"")
    (one,) = unused(tmp_path, (), (), "class_folders")
    assert one.path == "a.txt" and str(one).startswith("1 .txt file: read are")


@pytest.mark.parametrize("path", ["gear/train/good/session2/", "gear/train/good/session2", "gear/train/good"])
def test_what_is_left_on_purpose_is_accepted_by_its_folder(mvtec_folder, images, path):
    for name in ("a", "b"):
        images.save(mvtec_folder / f"gear/train/good/session2/{name}.png", images.texture(1))
    manifest = mvtec.read(mvtec_folder)
    seen = examine([manifest], progress=False)
    require_listed([path], seen)
    report = check(manifest, seen).accepting("stop", [path])
    assert not report.warnings and [finding.kind for finding in report.accepted] == ["unused"]
    assert report.counts() == {"unused": 1}
    # Another folder is no way to it.
    idle, left = sorted(check(manifest, seen).accepting("stop", ["gear/train/goo"]).warnings)
    assert (idle.kind, left.kind) == ("nothing to accept", "unused")
