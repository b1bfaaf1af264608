import dataclasses
import re
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from spd.data.checks import DatasetError, check, require_listed
from spd.data.decoding import read_rgb
from spd.data.examine import examine
from spd.data.manifest import make
from spd.data.masks import read_mask
from spd.data.readers import class_folders, mvtec, split_csv, visa


def kinds(findings):
    return {(finding.kind, finding.paths) for finding in findings}


def run(manifest, **options):
    return check(manifest, progress=False, **options)


def test_a_sound_data_set_has_no_findings(mvtec_folder, visa_folder):
    for manifest in (
        mvtec.read(mvtec_folder),
        visa.read(visa_folder),
        visa.read(visa_folder, "2cls_fewshot"),
    ):
        report = run(manifest)
        assert report.text() == ""
        report.require_sound("d")


def test_every_problem_is_listed_with_its_path(mvtec_folder, images):
    felt, gear = mvtec_folder / "felt", mvtec_folder / "gear"
    manifest = mvtec.read(mvtec_folder)
    (felt / "train/good/000.png").unlink()
    (felt / "ground_truth/hole/000_mask.png").unlink()
    data = (felt / "test/good/000.png").read_bytes()
    (felt / "test/good/000.png").write_bytes(data[: len(data) // 2])
    (felt / "test/good/001.png").write_bytes(b"<html>")
    (felt / "ground_truth/cut/000_mask.png").write_bytes(b"")
    images.save(gear / "ground_truth/cut/000.png", np.zeros((80, 96), np.uint8))
    images.save(gear / "ground_truth/hole/000.png", np.eye(96, 80, dtype=np.uint8) * 255)
    shutil.copy(gear / "train/good/000.png", gear / "test/good/000.png")
    shutil.copy(gear / "test/cut/000.png", gear / "test/good/001.png")
    for workers in (1, 3):
        report = run(manifest, workers=workers)
        assert kinds(report.problems) == {
            ("missing", ("felt/train/good/000.png",)),
            ("missing", ("felt/ground_truth/hole/000_mask.png",)),
            ("unreadable", ("felt/test/good/000.png",)),
            ("unreadable", ("felt/test/good/001.png",)),
            ("unreadable", ("felt/ground_truth/cut/000_mask.png",)),
            ("empty mask", ("gear/ground_truth/cut/000.png",)),
            ("mask size", ("gear/ground_truth/hole/000.png", "gear/test/hole/000.png")),
            ("exact duplicate", ("gear/test/good/000.png", "gear/train/good/000.png")),
            ("exact duplicate", ("gear/test/cut/000.png", "gear/test/good/001.png")),
        }
        assert report.warnings == ()  # what is an exact duplicate is no near one
    with pytest.raises(DatasetError) as caught:
        report.require_sound("MVTec")
    message = str(caught.value)
    assert message.startswith("MVTec: 9 problems:")
    assert all(path in message for finding in report.problems for path in finding.paths)
    assert "mask is 80 x 96 pixels, its image 96 x 80" in message
    assert "test and train" in message and "anomaly and normal" in message


def spoilt(mvtec_folder, images):
    """One problem of each kind that can be accepted, and one that cannot."""
    gear = mvtec_folder / "gear"
    images.save(gear / "ground_truth/cut/000.png", np.zeros((80, 96), np.uint8))
    shutil.copy(gear / "train/good/000.png", gear / "test/good/000.png")
    (gear / "test/good/001.png").write_bytes(b"<html>")
    return run(mvtec.read(mvtec_folder))


def test_an_object_of_one_training_image_is_named_where_1_class_detectors_need_two(mvtec_folder):
    whole = mvtec.read(mvtec_folder)
    rows = whole.rows
    train, test = rows["split"] == "train", rows["split"] == "test"
    first = rows[train].index[0]

    def found(manifest):
        return [(f.object, f.detail) for f in run(manifest).warnings if f.kind == "too few images"]

    one = whole.where(test | (rows.index == first))
    assert found(whole) == []
    (name, detail), *others = found(one)
    assert name == rows["object"][first]
    assert detail.startswith(f"1 to train on and {sum(test & (rows['object'] == name))} to test")
    assert {detail.split()[0] for _, detail in others} <= {"0"}
    assert all(detail.split(" and ")[1].startswith("0 to test") for _, detail in found(whole.where(train)))
    assert len(found(whole.where(train))) == len(whole.objects)
    for meta in ({"setup": "2cls_highshot"}, {"reader": "class_folders"}):
        assert found(dataclasses.replace(one, meta={**one.meta, **meta})) == []


def test_a_known_problem_is_accepted_by_its_path(mvtec_folder, images):
    report = spoilt(mvtec_folder, images)
    assert len(report.problems) == 3
    with pytest.raises(DatasetError) as caught:
        report.require_sound("VisA 1cls", key="datasets.visa")
    for words in ("`datasets.visa.accept`", "`datasets.visa.checks: warn`", "these cannot be accepted"):
        assert words in str(caught.value)
    one = report.accepting("stop", ["gear/ground_truth/cut/000.png"])
    assert kinds(one.accepted) == {("empty mask", ("gear/ground_truth/cut/000.png",))}
    assert len(one.problems) == 2 and "1 accepted problem:" in one.text()
    either = report.accepting("stop", ["gear/train/good/000.png"])  # one of a duplicate's two paths
    assert {p.kind for p in either.accepted} == {"exact duplicate"}
    for tolerant in (
        report.accepting("warn", []),
        report.accepting("stop", [path for problem in report.problems for path in problem.paths]),
    ):
        assert {p.kind for p in tolerant.problems} == {"unreadable"}  # nothing can be made of it
        assert {p.kind for p in tolerant.accepted} == {"empty mask", "exact duplicate"}
        assert sorted(tolerant.let_through().split("; ")) == [
            "1 empty mask in gear",
            "1 exact duplicate (test and train) in gear",
        ]
        with pytest.raises(DatasetError, match="1 problem:") as caught:
            tolerant.require_sound("VisA 1cls", key="datasets.visa")
        assert "checks: warn" not in str(caught.value)
    assert report.accepting("stop", []) == report and report.let_through() == ""
    (mvtec_folder / "gear/test/good/001.png").unlink()
    run(mvtec.read(mvtec_folder)).accepting("warn", []).require_sound("VisA 1cls")


def test_a_path_accepted_for_nothing_is_said(mvtec_folder, images):
    report = spoilt(mvtec_folder, images)
    sound, spoilt_mask = "felt/train/good/000.png", "gear/ground_truth/cut/000.png"
    accepted = report.accepting("stop", [sound, spoilt_mask])
    assert kinds(accepted.warnings) == {("nothing to accept", (sound,))}
    assert {p.kind for p in accepted.accepted} == {"empty mask"}
    # What may not be accepted is said by the problem itself.
    assert report.accepting("stop", ["gear/test/good/001.png"]) == report


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("gear/ground_truht/cut/000.png", "gear/ground_truth/cut/000.png"),  # a folder
        ("gear/ground_truth/cut/00.png", "gear/ground_truth/cut/00[01].png"),  # a name
        (
            "data/unpacked/gear/ground_truth/cut/001.png",
            "gear/ground_truth/cut/001.png",
        ),  # below another root
        ("./gear/test/cut/000.png", "gear/test/cut/000.png"),
        ("gaer/test/cut/000.pgn", "gear/test/cut/000.png"),  # neither folder nor name
        ("nothing like it", None),
    ],
)
def test_an_accepted_path_that_is_nowhere_is_refused_with_the_nearest(mvtec_folder, path, nearest):
    manifest = mvtec.read(mvtec_folder)
    seen = examine([manifest], progress=False)
    require_listed([row.image for row in manifest] + [row.mask for row in manifest if row.mask], seen)
    with pytest.raises(DatasetError, match=r"datasets\.mine\.accept: no image or mask in use") as caught:
        require_listed(["gear/test/cut/000.png", path], seen, key="datasets.mine")
    (line,) = str(caught.value).splitlines()[1:-1]
    hint = rf" \(did you mean {nearest}\?\)" if nearest else ""
    assert re.fullmatch(re.escape(f"  {path}") + hint, line), line


def test_masks_of_normal_images_and_missing_ones(mvtec_folder, images):
    rows = list(mvtec.read(mvtec_folder, objects=["gear"]))
    masked, unmasked = (row for row in rows if row.defect == "cut")
    normal = next(row for row in rows if row.label == "normal")
    changed = [row for row in rows if row not in (unmasked, normal)]
    changed += [unmasked._replace(mask=""), normal._replace(mask=masked.mask)]
    report = run(make(changed, mvtec_folder, 127))
    assert kinds(report.problems) == {("marked normal", (masked.mask,))}
    assert kinds(report.warnings) == {("no mask", (unmasked.image,))}
    # Without any mask there is nothing to miss, and a mask of zeros on a normal image is as it should be.
    images.save(mvtec_folder / "gear/zeros.png", np.zeros((80, 96), np.uint8))
    without = [r._replace(mask="gear/zeros.png" if r.label == "normal" else "") for r in rows]
    assert run(make(without, mvtec_folder, 127)).text() == ""


def test_class_ids_read_as_grey_are_empty_masks(visa_folder):
    manifest = visa.read(visa_folder, mask_threshold=127)
    assert {finding.kind for finding in run(manifest).problems} == {"empty mask"}


@pytest.mark.parametrize("name", ["image.jpg", "progressive.jpg", "image.png", "image.bmp", "image.tif"])
def test_truncation_is_seen_wherever_it_is(tmp_path, images, name):
    path = tmp_path / name
    options = {"progressive": True} if name.startswith("progressive") else {}
    images.save(path, images.texture(3, (400, 320)), **options)
    manifest = make([("o", "train", "normal", "", name, "")], tmp_path, 127)
    data = path.read_bytes()
    assert run(manifest).problems == ()
    for kept in (*(int(share * len(data)) for share in (0.0, 0.02, 0.3, 0.7, 0.97)), len(data) - 1):
        path.write_bytes(data[:kept])
        assert kinds(run(manifest).problems) == {("unreadable", (name,))}, kept
    path.write_bytes(data + b"whatever a camera writes behind it")
    assert run(manifest).problems == ()


def test_a_truncated_mask_is_seen_though_its_pixels_are_whole(mvtec_folder):
    path = mvtec_folder / "gear/ground_truth/hole/000.png"
    path.write_bytes(path.read_bytes()[:-5])
    assert read_mask(path, 127).any()
    assert kinds(run(mvtec.read(mvtec_folder)).problems) == {
        ("unreadable", ("gear/ground_truth/hole/000.png",))
    }


def test_pixels_without_a_range_are_refused_and_16_bit_are_not(tmp_path):
    grey = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    Image.fromarray(grey).save(tmp_path / "16.png")
    Image.fromarray(grey.astype(np.float32)).save(tmp_path / "float.tif")
    rows = [("o", "train", "normal", "", "16.png", ""), ("o", "test", "normal", "", "float.tif", "")]
    report = run(make(rows, tmp_path, 127))
    assert kinds(report.problems) == {("unreadable", ("float.tif",))}
    assert "no defined range" in report.text()


def exposed(pixels, gain, offset):
    return np.clip(pixels * gain + offset, 0, 255).astype(np.uint8)


def parts(tmp_path, images, n):
    """n different images, every fifth of them in test, on a bright frame that all of them share."""
    rows = []
    for i in range(n):
        pixels = images.texture(i, (128, 128)).copy()
        pixels[:12] = pixels[-12:] = 255
        images.save(tmp_path / f"{i:03d}.png", pixels)
        rows.append(("o", "test" if i % 5 == 0 else "train", "normal", "", f"{i:03d}.png", ""))
    return rows


@pytest.mark.parametrize("n", [10, 60])
def test_the_same_part_under_another_exposure(tmp_path, images, n):
    rows = parts(tmp_path, images, n)
    assert run(make(rows, tmp_path, 127)).text() == ""
    again = exposed(images.texture(1, (128, 128)), 0.6, 20)
    images.save(tmp_path / "again.jpg", again, quality=80)
    images.save(tmp_path / "also.png", exposed(again, 1.1, 5))
    rows += [("o", "test", "normal", "", "again.jpg", ""), ("o", "train", "normal", "", "also.png", "")]
    report = run(make(rows, tmp_path, 127))
    assert report.problems == ()
    # Both in train, 001 and also.png are no pair.
    expected = {("near duplicates", ()), ("near duplicate", ("001.png", "again.jpg"))}
    expected.add(("near duplicate", ("also.png", "again.jpg")))
    assert kinds(report.warnings) == expected
    assert f"2 pairs across train and test, 1 of {n // 5 + 1} test images" in report.text()
    # Other objects are not compared with it.
    apart = [("p" if row[4] == "again.jpg" else row[0], *row[1:]) for row in rows]
    assert run(make(apart, tmp_path, 127)).warnings == ()


@pytest.mark.parametrize("n", [10, 60])
def test_the_correlation_is_the_documented_one(tmp_path, images, n):
    rows = parts(tmp_path, images, n)
    mixed = images.texture(1, (128, 128)) // 2 + images.texture(999, (128, 128)) // 3
    images.save(tmp_path / "mixed.png", mixed)
    rows.append(("o", "test", "normal", "", "mixed.png", ""))
    (stated,) = (f.detail for f in run(make(rows, tmp_path, 127)).warnings if f.paths)

    def thumbnail(name):
        grey = np.asarray(Image.open(tmp_path / name).convert("L"), np.float64)
        small = grey.reshape(64, 2, 64, 2).mean((1, 3))
        detail = small - gaussian_filter(small, 1, mode="mirror")
        return detail / np.sqrt(gaussian_filter(detail**2, 4, mode="mirror") + 1)

    thumbnails = {row[4]: thumbnail(row[4]) for row in rows}
    shared = np.mean(list(thumbnails.values()), axis=0) if n >= 32 else 0
    a, b = ((thumbnails[name] - shared).ravel() for name in ("001.png", "mixed.png"))
    assert float(stated.removeprefix("correlation ")) == pytest.approx(np.corrcoef(a, b)[0, 1], abs=0.02)


@pytest.mark.parametrize(("n", "alike"), [(10, True), (60, False)])
def test_what_all_images_of_an_object_share_does_not_count(tmp_path, images, n, alike):
    # Aligned parts, as boards are: told apart from duplicates once there are enough of them to know.
    rows = []
    for i in range(n):
        pixels = images.texture(777, (128, 128)) // 2 + images.texture(i, (128, 128)) // 3
        images.save(tmp_path / f"{i}.png", pixels)
        rows.append(("o", ("train", "test")[i % 2], "normal", "", f"{i}.png", ""))
    assert bool(run(make(rows, tmp_path, 127)).warnings) == alike


def copies(tmp_path, images, others):
    """14 noisy copies of one part, alternately in train and test, and as many other parts in test."""
    rows = []
    for i in range(14):
        noise = np.random.default_rng(i).integers(-3 * i - 1, 3 * i + 2, (128, 128, 3))
        pixels = np.clip(images.texture(0, (128, 128)).astype(int) + noise, 0, 255)
        images.save(tmp_path / f"{i}.png", pixels.astype(np.uint8))
        rows.append(("o", ("train", "test")[i % 2], "normal", "", f"{i}.png", ""))
    for i in range(others):
        images.save(tmp_path / f"other{i}.png", images.texture(100 + i, (128, 128)))
        rows.append(("o", "test", "normal", "", f"other{i}.png", ""))
    return make(rows, tmp_path, 127)


def test_many_pairs_are_counted_and_the_strongest_listed(tmp_path, images):
    first, *pairs = run(copies(tmp_path, images, others=8)).warnings
    assert first.detail == "49 pairs across train and test, 7 of 15 test images"
    correlations = [float(pair.detail.split()[1]) for pair in pairs]
    assert len(pairs) == 20 and correlations == sorted(correlations, reverse=True)
    assert pairs[0].paths == ("0.png", "1.png")


def test_where_most_images_look_alike_few_are_listed(tmp_path, images):
    first, *pairs = run(copies(tmp_path, images, others=0)).warnings
    assert first.detail.startswith("49 pairs across train and test, 7 of 7 test images; so many come from")
    assert len(pairs) == 3


@pytest.mark.parametrize("setup", ["1cls", "2cls_highshot", "2cls_fewshot"])
def test_magnetic_tile_keeps_its_near_duplicates_apart(spd_data, setup):
    manifest = split_csv.read(spd_data / "magnetic_tile", setup, csv=f"split_csv/{setup}.csv")
    report = run(manifest)
    assert report.problems == ()
    # The empty masks of normal tiles, and the images of a tile whose exposures are cut otherwise.
    assert {(w.kind, *w.paths) for w in report.warnings} == {
        ("unused", "MT_Free/Imgs/"),
        ("unused", "MT_Uneven/Imgs/"),
    }


def test_magnetic_tile_split_at_random_does_not(spd_data):
    manifest = split_csv.read(spd_data / "magnetic_tile", csv="split_csv/1cls.csv")
    rows = [row for row in manifest if row.label == "normal"]
    mixed = [row._replace(split=("train", "test")[i % 2]) for i, row in enumerate(rows)]
    report = run(make(mixed, manifest.root, 127))
    assert report.problems == ()
    assert int(report.warnings[0].detail.split()[0]) > 200


@pytest.mark.parametrize("name", ["Good", "OK", "normal", "no_defect"])
def test_a_folder_of_normal_images_among_the_defects_is_a_problem(mvtec_folder, images, name):
    images.save(mvtec_folder / f"gear/test/{name}/000.png", images.texture(7))
    images.save(mvtec_folder / f"gear/test/{name}/001.png", images.texture(8))
    report = run(mvtec.read(mvtec_folder))
    assert kinds(report.problems) == {("normal as anomaly", (f"gear/test/{name}/",))}
    with pytest.raises(DatasetError, match=rf"gear/test/{name}/ \(2 images of the defect '{name}'") as caught:
        report.require_sound("d")
    assert "`datasets.<name>.accept`" in str(caught.value)
    accepted = report.accepting("stop", [f"gear/test/{name}"])
    assert not accepted.problems and not any(w.kind == "nothing to accept" for w in accepted.warnings)


def inverted(mvtec_folder, images, names):
    for name in names:
        path = mvtec_folder / f"gear/ground_truth/{name}.png"
        images.save(path, 255 - np.asarray(Image.open(path)))


def test_masks_that_mark_what_a_defect_seldom_is(mvtec_folder, images):
    inverted(mvtec_folder, images, ["cut/000", "hole/000"])
    frame = np.full((80, 96), 255, np.uint8)
    frame[1:-1, 1:-1] = 0  # all of the border, and little else
    images.save(mvtec_folder / "felt/ground_truth/cut/001_mask.png", frame)
    report = run(mvtec.read(mvtec_folder))
    assert report.problems == ()
    said = {finding.paths[0]: finding.detail for finding in report.warnings if finding.kind == "large mask"}
    assert len(said) == len(report.warnings) == 3
    marked = 100 * (1 - 4 * 23 / (80 * 96))
    assert said["gear/ground_truth/cut/"].startswith(
        f"of 2 masks in it 1 mark more than half of their image and 1 all of its border, such as 000.png "
        f"({marked:.1f} %)"
    )
    assert "of 1 masks in it 1 mark" in said["gear/ground_truth/hole/"]
    assert "of 2 masks in it 0 mark more than half of their image and 1 all" in said["felt/ground_truth/cut/"]
    known = report.accepting("stop", ["gear/ground_truth/cut"])
    assert {finding.kind for finding in known.accepted} == {"large mask"} and len(known.warnings) == 2


@pytest.mark.parametrize(("colour", "kind"), [(255, "large mask"), (0, "empty mask")])
def test_a_mask_that_is_drawn_in_alpha_is_named(mvtec_folder, images, colour, kind):
    path = mvtec_folder / "gear/ground_truth/hole/000.png"
    alpha = np.asarray(Image.open(path))
    images.save(path, np.dstack([np.full_like(alpha, colour)] * 3 + [alpha]))
    report = run(mvtec.read(mvtec_folder))
    (found,) = report.problems + report.warnings
    assert found.kind == kind and "its transparency shows something, and is ignored" in found.detail


def test_class_ids_in_a_grey_data_set_name_the_threshold(mvtec_folder, images):
    path = mvtec_folder / "gear/ground_truth/hole/000.png"
    images.save(path, np.asarray(Image.open(path)) // 255)
    (found,) = run(mvtec.read(mvtec_folder)).problems
    assert found.kind == "empty mask"
    assert "no pixel above 127, its largest value is 1" in found.detail
    assert "set `mask_threshold: 0`" in found.detail
    assert run(mvtec.read(mvtec_folder, objects=["gear"], mask_threshold=0)).text() == ""
    images.save(path, np.zeros((80, 96), np.uint8))
    (found,) = run(mvtec.read(mvtec_folder)).problems
    assert found.detail == "no pixel above 127, its largest value is 0"


def turned(path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).save(path, exif=exif)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_images_that_a_screen_turns(mvtec_folder, images, suffix):
    gear = mvtec_folder / "gear"
    for path in [*gear.glob("train/good/*.png"), *gear.glob("test/*/*.png")]:
        Image.open(path).save(path.with_suffix(suffix))
        if suffix != ".png":
            path.unlink()
    masked, plain = gear / f"test/hole/000{suffix}", gear / f"train/good/000{suffix}"
    turned(masked, 3)  # by half: the mask still fits, upside down
    turned(plain, 6)
    report = run(mvtec.read(mvtec_folder))
    assert report.problems == ()
    (found,) = (w for w in report.warnings if w.kind == "turned")
    assert (found.object, found.paths) == ("gear", ("gear/",))
    assert "of 8 images 2 have an EXIF orientation (1 with 3, 1 with 6)" in found.detail
    assert "their masks (1) must be drawn on the stored pixels" in found.detail
    # A mask drawn on what the screen shows: the sizes differ, and the reason is named.
    turned(masked, 6)
    mask = gear / "ground_truth/hole/000.png"
    images.save(mask, np.asarray(Image.open(mask)).T.copy())
    (found,) = run(mvtec.read(mvtec_folder)).problems
    assert found.kind == "mask size" and "its EXIF orientation 6" in found.detail


def test_images_that_are_all_turned_alike_and_have_no_masks_are_in_order(tmp_path, images):
    rows = []
    for i in range(3):
        images.save(tmp_path / f"{i}.jpg", images.texture(i))
        turned(tmp_path / f"{i}.jpg", 8)
        rows.append(("o", "train", "normal", "", f"{i}.jpg", ""))
    assert run(make(rows, tmp_path, 127)).text() == ""
    turned(tmp_path / "0.jpg", 99)  # no orientation that there is
    assert kinds(run(make(rows, tmp_path, 127)).warnings) == {("turned", ("./",))}


@pytest.mark.parametrize("name", ["image.png", "image.tif"])
@pytest.mark.parametrize(("bits", "few"), [(10, True), (12, True), (14, True), (15, False), (16, False)])
def test_a_cameras_bits_in_a_16_bit_file(tmp_path, name, bits, few):
    grey = (np.arange(64 * 64).reshape(64, 64) * (2**bits - 1) // (64 * 64 - 1)).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / name)
    report = run(make([("o", "train", "normal", "", name, "")], tmp_path, 127))
    assert report.problems == () and bool(report.warnings) == few
    if few:
        levels = len(np.unique(np.asarray(read_rgb(tmp_path / name))))
        assert f"largest value of 1 16-bit images is {2**bits - 1:,} of 65,535" in report.text()
        assert f"at most {levels} of 256 grey levels" in report.text()
        assert f"multiply their values by {2 ** (16 - bits)}" in report.text()


def test_colour_of_16_bits_is_seen_too(tmp_path):
    values = np.linspace(0, 4095, 300).reshape(10, 10, 3).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), values)
    row = ("o", "train", "normal", "", "a.png", "")
    assert "few grey levels" in run(make([row], tmp_path, 127)).text()
    cv2.imwrite(str(tmp_path / "a.png"), values * 16)
    assert run(make([row], tmp_path, 127)).text() == ""


def test_a_corpus_of_one_class(tmp_path, images):
    for i in range(2):
        images.save(tmp_path / f"cats/{i}.png", images.texture(i))
    report = run(class_folders.read(tmp_path))
    assert kinds(report.warnings) == {("one class", ("cats/",))} and report.problems == ()
    assert "all 2 images are of one class" in report.text()
    images.save(tmp_path / "dogs/0.png", images.texture(3))
    assert run(class_folders.read(tmp_path)).text() == ""


def test_a_line_scan_needs_a_higher_bound(tmp_path, images):
    images.save(tmp_path / "a.png", images.texture(0, (300, 200)))
    rows = [("o", "train", "normal", "", "a.png", "a.png")]
    report = run(make(rows, tmp_path, 127, max_pixels=300 * 200 - 1))
    assert {f.kind for f in report.problems} == {"unreadable"} and len(report.problems) == 2
    assert "more than 59,999 pixels" in report.text() and "raise `max_pixels`" in report.text()
    report = run(make(rows, tmp_path, 127, max_pixels=300 * 200))
    assert {f.kind for f in report.problems} == {"marked normal"}


def test_a_corpus_is_not_compared_with_its_validation_images(tmp_path, images):
    for path, seed in (("train/a/0", 0), ("train/a/1", 1), ("val/a/0", 0), ("train/b/0", 2), ("val/b/0", 3)):
        images.save(tmp_path / f"{path}.png", images.texture(seed))
    report = run(class_folders.read(tmp_path))
    assert report.problems == ()
    (twice,) = [w for w in report.warnings if w.kind == "exact duplicate"]
    assert set(twice.paths) == {"train/a/0.png", "val/a/0.png"}
    assert not [w for w in report.warnings if w.kind.startswith("near")]
    assert examine([class_folders.read(tmp_path)], progress=False).thumbnails.shape[0] == 0
