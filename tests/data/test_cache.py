"""The image cache: the pixels of each file, brought to the geometry once, with the rows they belong to."""

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from spd.data.cache import ImageCache, write_cache
from spd.data.decoding import read_rgb
from spd.data.geometry import apply_to_image
from spd.data.geometry_options import GeometryOptions
from spd.data.manifest import make

GEOMETRY = GeometryOptions(resize=16)
CLASS_IDS = 0


def _manifest(root, objects=("Schraube Ä/2", "screw"), masks=True, size=(20, 30)):
    """Per object 3 training images, 2 normal and 2 anomalous test images with a rectangle as mask."""
    rng, rows = np.random.default_rng(0), []
    for k, name in enumerate(objects):
        for i in range(7):
            split = "train" if i < 3 else "test"
            label = "normal" if i < 5 else "anomaly"
            image, mask = f"{k}/{i}.png", f"{k}/{i}_mask.png"
            (root / str(k)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(root / image)
            marked = label == "anomaly" and masks
            if marked:
                ids = np.zeros(size, np.uint8)
                ids[: size[0] // 2, : size[1] // 2] = i  # class ids, not 255
                Image.fromarray(ids).save(root / mask)
            rows.append(
                (name, split, label, "scratch" if label == "anomaly" else "", image, mask if marked else "")
            )
    return make(rows, root, CLASS_IDS)


@pytest.mark.parametrize("workers", [1, 3])
def test_pixels_masks_and_rows(tmp_path, workers):
    manifest = _manifest(tmp_path)
    write_cache(manifest, None, GEOMETRY, tmp_path / "cache", workers=workers, progress=False)
    cache = ImageCache(tmp_path / "cache")
    assert cache.objects == ["Schraube Ä/2", "screw"] and cache.geometry == GEOMETRY
    assert cache.split_hash == manifest.split_hash
    for name in cache.objects:
        rows, images, masks = cache.rows(name), cache.images(name), cache.masks(name)
        assert list(rows["split"]) == ["train"] * 3 + ["test"] * 4
        assert sorted(map(tuple, rows.to_numpy())) == sorted(
            map(tuple, manifest.part([name]).rows.to_numpy())
        )
        assert images.shape == (7, 3, 16, 16) and images.dtype == np.uint8
        for row, image, mask in zip(rows.itertuples(), images, masks, strict=True):
            expected = apply_to_image(read_rgb(manifest.root / row.image), GEOMETRY)
            assert np.array_equal(image.transpose(1, 2, 0), expected)
            quarter = np.zeros((16, 16), np.uint8)
            quarter[:8, :8] = row.label == "anomaly"
            assert np.array_equal(mask, quarter)


def test_splits_are_slices(tmp_path):
    write_cache(_manifest(tmp_path), ["screw"], GEOMETRY, tmp_path / "cache", progress=False)
    cache = ImageCache(tmp_path / "cache")
    for read in (cache.images, cache.masks, cache.rows):
        assert len(read("screw", "train")) == 3 and len(read("screw", "test")) == 4
    assert np.array_equal(cache.images("screw", "test"), cache.images("screw")[3:])
    assert list(cache.rows("screw", "test").index) == [0, 1, 2, 3]
    assert isinstance(cache.images("screw"), np.memmap)  # mapped, not loaded
    with pytest.raises(ValueError, match="train or test, not 'val'"):
        cache.images("screw", "val")
    with pytest.raises(ValueError, match="no object 'nut'; there are screw"):
        cache.images("nut")


def test_bytes_depend_on_no_worker(tmp_path):
    manifest = _manifest(tmp_path)
    for workers in (1, 4):
        write_cache(manifest, None, GEOMETRY, tmp_path / f"cache{workers}", workers=workers, progress=False)
    assert (tmp_path / "cache1").read_bytes() == (tmp_path / "cache4").read_bytes()


def test_the_library_reads_it(tmp_path):
    write_cache(_manifest(tmp_path), None, GEOMETRY, tmp_path / "cache", progress=False)
    with safetensors.safe_open(tmp_path / "cache", "np") as file:
        assert set(file.keys()) == {
            f"{o}/{k}" for o in ("Schraube Ä/2", "screw") for k in ("images", "masks")
        }


def test_an_object_without_masks_has_none(tmp_path):
    write_cache(_manifest(tmp_path, masks=False), None, GEOMETRY, tmp_path / "cache", progress=False)
    assert ImageCache(tmp_path / "cache").masks("screw") is None


def test_some_masks_missing_is_said(tmp_path):
    manifest = _manifest(tmp_path, objects=["screw"])
    manifest.rows.loc[manifest.rows["mask"] == "0/5_mask.png", "mask"] = ""
    with pytest.warns(UserWarning, match=r"screw: 1 of 2 anomalous images have no mask .*0/5\.png"):
        write_cache(manifest, None, GEOMETRY, tmp_path / "cache", progress=False)
    assert ImageCache(tmp_path / "cache").masks("screw") is None


def test_sizes_must_agree_within_an_object(tmp_path):
    manifest = _manifest(tmp_path, objects=["screw"])
    Image.new("RGB", (40, 20)).save(tmp_path / "0/1.png")
    short = GeometryOptions(resize=16, mode="short")
    with pytest.raises(ValueError, match=r"1\.png becomes 32 x 16 pixels.*screw 24 x 16: set geometry mode"):
        write_cache(manifest, None, short, tmp_path / "cache", progress=False)
    assert not (tmp_path / "cache").exists()
    cropped = GeometryOptions(resize=16, mode="short", crop=12)
    write_cache(manifest, None, cropped, tmp_path / "cache", progress=False)
    assert ImageCache(tmp_path / "cache").images("screw").shape == (7, 3, 12, 12)


def test_bad_files_are_named(tmp_path):
    manifest = _manifest(tmp_path, objects=["screw"])
    Image.new("L", (9, 9)).save(tmp_path / "0/6_mask.png")
    with pytest.raises(ValueError, match=r"6_mask\.png is 9 x 9 pixels, its image 30 x 20"):
        write_cache(manifest, None, GEOMETRY, tmp_path / "cache", progress=False)
    (tmp_path / "0/2.png").write_text("")
    with pytest.raises(ValueError, match=r"2\.png: cannot be decoded"):
        write_cache(manifest, None, GEOMETRY, tmp_path / "cache", progress=False, workers=2)


def test_other_files_are_no_cache(tmp_path):
    safetensors.numpy.save_file({"a": np.zeros(1)}, tmp_path / "other")
    with pytest.raises(ValueError, match="other is no image cache"):
        ImageCache(tmp_path / "other")


def test_the_bound_on_pixels_is_the_manifests(tmp_path):
    manifest = _manifest(tmp_path, objects=["screw"])
    manifest.meta["max_pixels"] = 20 * 30
    write_cache(manifest, None, GEOMETRY, tmp_path / "cache", progress=False)
    manifest.meta["max_pixels"] -= 1
    with pytest.raises(ValueError, match="more than 599 pixels"):
        write_cache(manifest, None, GEOMETRY, tmp_path / "cache", progress=False)
