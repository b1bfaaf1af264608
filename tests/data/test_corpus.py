from pathlib import Path

import numpy as np
import pytest
import safetensors
from PIL import Image

from spd.config.model import load as load_config
from spd.data import corpus
from spd.data.readers.class_folders import read
from spd.tensors import open_tensors, write_tensors

COLOURS = {"ant": (200, 30, 30), "bee": (30, 200, 30)}


@pytest.fixture
def manifest(tmp_path):
    """Two classes of three images each, 30 wide and 20 high: the upper half of the class's colour, the lower
    half black."""
    for name, colour in COLOURS.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(3):
            pixels = np.zeros((20, 30, 3), dtype=np.uint8)
            pixels[:10] = np.array(colour) + i
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    return read(tmp_path / "images")


def test_images_are_squashed_whole_and_keep_their_true_size(manifest):
    images = corpus.load(manifest, 10)
    assert images.images.shape == (6, 3, 10, 10) and images.images.dtype == np.uint8
    assert images.sizes.tolist() == [[20, 30]] * 6
    assert images.classes == ("ant", "bee") and images.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert images.names[4] == "bee/1.png"
    assert images.images[4, :, 1, 5].tolist() == [31, 201, 31]  # far from the edge, no interpolation shows
    assert images.images[4, :, 8, 5].tolist() == [0, 0, 0]
    batch = images.batch([4, 0])
    assert batch.shape == (2, 3, 10, 10) and batch[0, 1, 1, 5] == 201 and batch[1, 0, 1, 5] == 200


def test_grey_and_palette_images_become_rgb(tmp_path):
    folder = tmp_path / "images" / "only"
    folder.mkdir(parents=True)
    Image.new("L", (8, 8), 77).save(folder / "0.png")
    Image.new("P", (8, 8), 0).save(folder / "1.png")
    assert corpus.load(read(tmp_path / "images"), 8).images[0].tolist() == [[[77] * 8] * 8] * 3


def test_a_packed_corpus_is_the_loaded_one(manifest, tmp_path):
    loaded = corpus.load(manifest, 10, workers=1)
    corpus.pack(manifest, 10, tmp_path / "packed.safetensors", workers=2)
    packed = corpus.open_packed(tmp_path / "packed.safetensors", manifest)
    assert isinstance(packed.images, np.memmap)
    for field in ("images", "sizes", "labels"):
        assert np.array_equal(getattr(packed, field), getattr(loaded, field))
    assert (packed.classes, packed.names, packed.digest) == (loaded.classes, loaded.names, loaded.digest)
    assert packed.digest != corpus.load(manifest, 12).digest
    with pytest.raises(ValueError, match="packed from another manifest"):
        corpus.open_packed(tmp_path / "packed.safetensors", manifest.part(["ant"]))


def test_validation_images_are_judged_on_and_never_trained_on(manifest, tmp_path):
    for name in ("ant", "bee", "cow"):  # cow has no training images
        (tmp_path / "images" / "train").mkdir(exist_ok=True)
        (tmp_path / "images" / "val" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / "val" / name / "v.png")
    for name in ("ant", "bee"):
        (tmp_path / "images" / name).rename(tmp_path / "images" / "train" / name)
    corpus.pack(read(tmp_path / "images"), 10, tmp_path / "packed.safetensors")
    images = corpus.open_packed(tmp_path / "packed.safetensors", read(tmp_path / "images"))
    kept, judged = images.split(0.5, seed=0)  # nothing is held out
    assert [images.names[i] for i in judged] == ["val/ant/v.png", "val/bee/v.png"]
    assert [images.names[i] for i in kept] == [f"train/{c}/{i}.png" for c in ("ant", "bee") for i in range(3)]
    assert images.labels[judged].tolist() == [0, 1]


def test_the_header_says_how_it_was_packed(manifest, tmp_path):
    path = tmp_path / "packed.safetensors"
    corpus.pack(manifest, 10, path)
    with safetensors.safe_open(path, "np") as file:  # the format's own library
        header = file.metadata()
        images = file.get_tensor("images")
    assert {key: header[key] for key in ("format", "size", "crop", "order")} == {
        "format": "1",
        "size": "10",
        "crop": "none",
        "order": "object, split, label, image",
    }
    for image, row in zip(images, manifest, strict=True):  # in the order that the header states
        squashed = Image.open(manifest.image_path(row)).resize((10, 10), Image.Resampling.BILINEAR)
        assert np.array_equal(image.transpose(1, 2, 0), np.asarray(squashed))
    keys = [(row.object, row.split, row.label, row.image) for row in manifest]
    assert keys == sorted(keys)


@pytest.mark.parametrize("key", ["format", "crop", "order"])
def test_another_format_is_refused(manifest, tmp_path, key):
    path = tmp_path / "packed.safetensors"
    corpus.pack(manifest, 10, path)
    tensors, header = open_tensors(path)
    write_tensors(tmp_path / "other.safetensors", tensors, {**header, key: "centre 224"})
    with pytest.raises(ValueError, match=rf"other\.safetensors: another packed format \({key} 'centre 224'"):
        corpus.open_packed(tmp_path / "other.safetensors", manifest)


@pytest.mark.parametrize("workers", [1, 3])
def test_all_unreadable_images_are_listed_and_no_file_is_left(manifest, tmp_path, workers):
    data = (tmp_path / "images/ant/0.png").read_bytes()
    (tmp_path / "images/ant/0.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "images/bee/1.png").write_bytes(b"no image")
    (tmp_path / "images/bee/2.png").unlink()
    for attempt in (
        lambda: corpus.pack(manifest, 10, tmp_path / "packed.safetensors", workers=workers),
        lambda: corpus.load(manifest, 10, workers=workers),
    ):
        with pytest.raises(ValueError, match="3 of 6 images") as caught:
            attempt()
        for name in ("ant/0.png", "bee/1.png", "bee/2.png"):
            assert str(tmp_path / "images" / name) in str(caught.value)
        assert [p.name for p in tmp_path.iterdir()] == ["images"]


def test_the_documented_size_on_disk_is_that_of_imagenet(manifest, tmp_path):
    root = Path(__file__).resolve().parents[2]
    size = load_config(root / "config.yaml", {"preset": "paper"}).corpus.size
    needed = 1_281_167 * 3 * size * size
    text = " ".join((root / "docs/data.md").read_text().split())
    assert (
        f"1,281,167 images at the stored {size} px are {needed / 1e9:.1f} GB ({needed / 2**30:.1f} GiB)"
        in text
    )
    corpus.pack(manifest, 64, tmp_path / "packed.safetensors")
    written = (tmp_path / "packed.safetensors").stat().st_size
    assert 0 < written - 6 * 3 * 64 * 64 < 1000  # the header and the sizes come on top


def test_from_arrays_checks_what_it_is_given():
    with pytest.raises(ValueError, match="uint8"):
        corpus.from_arrays(np.zeros((2, 3, 4, 4)), np.zeros(2))
    images = np.zeros((2, 3, 4, 4), dtype=np.uint8)
    assert corpus.from_arrays(images, np.array([7, 3])).labels.tolist() == [1, 0]
    digests = {corpus.from_arrays(images + i, np.array([7, 3])).digest for i in (0, 1)}
    assert len(digests) == 2


def test_order_is_a_permutation_of_its_own_for_each_seed_and_epoch():
    orders = [corpus.order(50, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(np.array_equal(np.sort(o), np.arange(50)) for o in orders)
    assert len({tuple(o) for o in orders}) == 4
    assert np.array_equal(orders[0], corpus.order(50, 0, 0))


def test_order_is_the_same_on_every_machine():
    assert corpus.order(8, 0, 0).tolist() == [7, 5, 6, 0, 3, 4, 1, 2]


def test_split_takes_a_share_of_each_class():
    labels = np.repeat([0, 1, 2], [40, 20, 3])
    kept, held_out = corpus.split(labels, 0.1, seed=0)
    assert np.bincount(labels[held_out]).tolist() == [4, 2, 1]
    assert sorted([*kept, *held_out]) == list(range(63))
    assert not np.array_equal(held_out, corpus.split(labels, 0.1, seed=1)[1])
    kept, held_out = corpus.split(labels, 13, seed=0)  # so many in all: 13 of 63 are a share of 0.206
    assert np.bincount(labels[held_out]).tolist() == [8, 4, 1] and len(kept) == 50
    with pytest.raises(ValueError, match="held_out: 63 leaves none of the 63 images"):
        corpus.split(labels, 63, seed=0)
    kept, held_out = corpus.split(labels, 0, seed=0)
    assert len(kept) == 63 and len(held_out) == 0


def test_the_bound_on_pixels_is_the_manifests(manifest):
    manifest.meta["max_pixels"] = 20 * 30 - 1
    with pytest.raises(ValueError, match=r"6 of 6 images:\n.*more than 599 pixels"):
        corpus.load(manifest, 10)
