import pytest

from spd.data.readers import class_folders


@pytest.fixture
def folder(tmp_path, images):
    for name, count in (("n01", 3), ("n02", 1)):
        for i in range(count):
            images.save(tmp_path / "corpus" / "train" / name / f"{name}_{i}.JPEG", images.texture(i))
    return tmp_path / "corpus"


def test_imagenet_s_layout_and_bare_class_folders(folder):
    manifest = class_folders.read(folder)
    assert manifest.counts()["train_normal"].tolist() == [3, 1]
    assert next(iter(manifest)).image == "train/n01/n01_0.JPEG"
    bare = class_folders.read(folder / "train")
    assert [row.image for row in bare] == [row.image.removeprefix("train/") for row in manifest]
    assert class_folders.read(folder, objects=["n02"]).objects == ["n02"]


def test_val_beside_train_is_what_pretrainings_are_judged_on(folder, images):
    for name in ("n01", "n02", "n03"):  # n03 has no training images
        images.save(folder / "val" / name / "0.JPEG", images.texture(9))
    manifest = class_folders.read(folder)
    assert [row.image for row in manifest if row.split == "test"] == ["val/n01/0.JPEG", "val/n02/0.JPEG"]
    assert manifest.counts()["test_normal"].tolist() == [1, 1]
    (folder / "train" / "n01").rename(folder / "n01")  # without train/ a folder val is a class
    (folder / "train" / "n02").rename(folder / "val" / "n02" / "inner")
    (folder / "train").rmdir()
    assert {row.split for row in class_folders.read(folder)} == {"train"}


def test_the_error_says_what_was_found(folder, tmp_path):
    with pytest.raises(ValueError, match=r"is a file; .*nested: true"):
        class_folders.read(folder / "train" / "n01" / "n01_0.JPEG")
    (tmp_path / "tars").mkdir()
    (tmp_path / "tars" / "n01.tar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 tar file not yet unpacked \(n01\.tar\); .*nested: true"):
        class_folders.read(tmp_path / "tars")
    with pytest.raises(ValueError, match="no such folder"):
        class_folders.read(tmp_path / "nothing")
    (tmp_path / "empty" / "n01").mkdir(parents=True)
    with pytest.raises(
        ValueError, match=r"expected <class>/ folders with images, none found; n01: it holds nothing"
    ):
        class_folders.read(tmp_path / "empty")


def test_the_level_at_which_images_were_found_is_named(tmp_path, images):
    for i in range(3):
        images.save(tmp_path / f"tiny/train/n01/images/{i}.JPEG", images.texture(i))  # Tiny ImageNet
        images.save(tmp_path / f"flat/{i}.JPEG", images.texture(i))
    (tmp_path / "gifs/n01").mkdir(parents=True)
    (tmp_path / "gifs/n01/0.gif").write_bytes(b"")
    (tmp_path / "gifs/n01/1.GIF").write_bytes(b"")
    for name, says in (
        ("tiny", "none found; 3 images lie one level deeper, in n01/images/"),
        ("flat", "none found; 3 images lie in the folder itself"),
        ("gifs", r"none found; n01: it holds 2 \.gif files; read are \.png, \.jpg"),
    ):
        with pytest.raises(ValueError, match=says):
            class_folders.read(tmp_path / name)


def test_caltech(spd_data):
    manifest = class_folders.read(spd_data / "caltech101_128px" / "101_ObjectCategories")
    assert len(manifest) == 3 * 1010 and len(manifest.objects) == 101
