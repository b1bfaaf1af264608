import hashlib
import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spd.data import manifest
from spd.data.options import DatasetOptions
from spd.data.readers.registry import make_manifest
from spd.detectors.finetuned.draws import COLUMNS, draw, read_draws, write_draws

IMAGES = st.sets(st.integers(0, 999), min_size=12, max_size=40).map(lambda s: [f"o/{i:03}.png" for i in s])


def rows(objects=("candle", "täfel 2"), train=12, test=20):
    return [
        (name, split, label, "", f"{name}/{split}/{label}/{i:03}.png", "")
        for name in objects
        for split, count in (("train", train), ("test", test))
        for label in ("normal", "anomaly")
        for i in range(count)
    ]


@pytest.fixture
def pool(tmp_path):
    return manifest.make(rows(), tmp_path, 0)


@given(images=IMAGES, shots=st.integers(1, 12), number=st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_a_draw_is_k_distinct_images_of_the_pool_whatever_its_order(images, shots, number):
    drawn = draw(images, object="o", shots=shots, draw=number)
    assert len(set(drawn)) == shots
    assert set(drawn) <= set(images)
    assert drawn == draw(reversed(images), object="o", shots=shots, draw=number)


def test_a_draw_is_the_documented_function_of_object_k_and_draw():
    images = [f"{i}.png" for i in range(30)]
    by_hand = sorted(images, key=lambda i: hashlib.sha256(f"candle/5/3/{i}".encode()).hexdigest())[:5]
    assert draw(images, object="candle", shots=5, draw=3) == sorted(by_hand)
    others = [("capsules", 5, 3), ("candle", 5, 2)]
    assert all(draw(images, object=o, shots=k, draw=d) != sorted(by_hand) for o, k, d in others)


def test_every_image_is_drawn_equally_often():
    images = [f"{i:02}.png" for i in range(20)]
    counts = dict.fromkeys(images, 0)
    for number in range(4000):
        for image in draw(images, object="o", shots=5, draw=number):
            counts[image] += 1
    # 4000 draws of 5 of 20: 1000 each, standard deviation 27
    assert max(abs(count - 1000) for count in counts.values()) < 5 * 27.4


def test_the_file_lists_k_training_images_of_each_class_and_nothing_else(pool, tmp_path):
    write_draws(pool, (5, 10), 5, tmp_path / "draws.csv")
    found = pd.read_csv(tmp_path / "draws.csv")
    assert tuple(found.columns) == COLUMNS
    split = pool.rows.set_index("image")
    assert (split.loc[found["image"], "split"] == "train").all()
    assert (split.loc[found["image"], "label"].to_numpy() == found["label"]).all()
    sizes = found.groupby(["object", "shots", "draw", "label"]).size()
    assert len(sizes) == 2 * 2 * 5 * 2
    assert (sizes == sizes.index.get_level_values("shots")).all()
    assert {key: len(images) for key, images in read_draws(tmp_path / "draws.csv").items()} == {
        (name, k, number): 2 * k for name in pool.objects for k in (5, 10) for number in range(5)
    }


def test_test_images_and_other_objects_do_not_change_a_draw(pool, tmp_path):
    write_draws(pool, (5,), 2, tmp_path / "all.csv")
    alone = manifest.make(
        [r for r in rows(("candle",)) if not r[4].endswith("test/normal/000.png")], tmp_path, 0
    )
    write_draws(alone, (5,), 2, tmp_path / "alone.csv")
    everything, less = read_draws(tmp_path / "all.csv"), read_draws(tmp_path / "alone.csv")
    assert {key: images for key, images in everything.items() if key[0] == "candle"} == less


def test_a_pool_that_is_too_small_is_refused_with_object_and_class(tmp_path):
    small = manifest.make(rows(train=4), tmp_path, 0)
    message = "object candle: 5 images of each class are wanted, the pool has 4.*class normal"
    with pytest.raises(ValueError, match=message):
        write_draws(small, (5,), 1, tmp_path / "draws.csv")
    assert not list(tmp_path.glob("*draws*"))


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("image,label\n")
    with pytest.raises(ValueError, match="columns are"):
        read_draws(tmp_path / "x.csv")


@pytest.mark.parametrize("setup", ["2cls_highshot", "2cls_fewshot"])
def test_no_test_image_of_a_setup_is_trained_on(setup, tmp_path):
    """On a real split; training images of high-shot are test images of few-shot, so setups must not mix."""
    if not os.environ.get("SPD_DATA"):
        pytest.skip("SPD_DATA is not set: no real split to check")
    root = Path(os.environ["SPD_DATA"]) / "magnetic_tile"
    options = DatasetOptions(
        name="tiles",
        reader="split_csv",
        root=str(root),
        csv={s: f"split_csv/{s}.csv" for s in ("2cls_highshot", "2cls_fewshot")},
        setups=["2cls_highshot", "2cls_fewshot"],
    )
    read = {s: make_manifest(options, s, None) for s in options.setups}
    by_split = {s: {k: set(g["image"]) for k, g in m.rows.groupby("split")} for s, m in read.items()}
    write_draws(read["2cls_fewshot"], (5, 10), 5, tmp_path / "draws.csv")
    trained = {image for images in read_draws(tmp_path / "draws.csv").values() for image in images}
    if setup == "2cls_fewshot":
        assert trained <= by_split[setup]["train"]
        assert not trained & by_split[setup]["test"]
        assert by_split["2cls_highshot"]["train"] & by_split[setup]["test"]
    else:
        assert not by_split[setup]["train"] & by_split[setup]["test"]
