import numpy as np
import pytest

from spd.detectors.maps import pixel_maps
from spd.detectors.options import PatchCoreOptions
from spd.detectors.patchcore import PatchCore, estimate_bytes
from spd.detectors.registry import DETECTORS

SMALL = {"stage_dim": 32, "dim": 48, "projection_dim": 16}


def make(n, seed):
    rng = np.random.default_rng(seed)
    return {
        "layer1": rng.normal(size=(n, 8, 12, 12)).astype(np.float32),
        "layer2": rng.normal(size=(n, 12, 6, 6)).astype(np.float32),
        "layer3": rng.normal(size=(n, 20, 3, 3)).astype(np.float32),
    }


def nearest(model, features):
    """All distances to the memory bank, the plain way: (patches, K) float64, and the embedded patches."""
    vectors = model._embedder([features[s] for s in model.stages])
    return np.sqrt(np.square(vectors[:, None].astype(np.float64) - model.memory_bank[None]).sum(-1)), vectors


@pytest.mark.parametrize("search", ["torch", "faiss"])
@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("k", [1, 3])
def test_scores_and_maps_by_definition(search, squared, k):
    if search == "faiss":
        pytest.importorskip("faiss")
    options = PatchCoreOptions(search=search, squared=squared, neighbours=k, **SMALL)
    model, test = PatchCore(options).fit(make(10, 1)), make(3, 2)
    assert model.stages == ("layer2", "layer3")
    assert model.memory_bank.shape == (36, 48)
    images, maps = model.score(test, (24, 24))
    distances, _ = nearest(model, test)
    patches = np.sort(distances ** (2 if squared else 1), axis=1)[:, :k].mean(1).reshape(3, 6, 6)
    np.testing.assert_allclose(images, patches.max((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(maps, pixel_maps(patches, (24, 24)), rtol=1e-5)
    assert images.dtype == maps.dtype == np.float32


def test_reweighting_by_definition():
    options = PatchCoreOptions(**{**DETECTORS["patchcore"].profiles["anomalib"], "projection_dim": 16})
    model, test = PatchCore(options).fit(make(10, 1)), make(3, 2)
    images, _ = model.score(test, (24, 24))
    distances, vectors = nearest(model, test)
    for image in range(3):
        rows = distances[image * 36 : (image + 1) * 36]
        patch = rows.min(1).argmax()
        found = rows[patch].argmin()
        to_found = np.linalg.norm(model.memory_bank - model.memory_bank[found], axis=1)
        support = np.argsort(to_found)[:9]
        assert support[0] == found
        d = np.linalg.norm(model.memory_bank[support] - vectors[image * 36 + patch], axis=1)
        weight = 1 - np.exp(d[0]) / np.exp(d).sum()
        np.testing.assert_allclose(images[image], weight * rows.min(1).max(), rtol=1e-5)


def test_memory_bank_holds_the_chosen_patches_in_order():
    train = make(10, 1)
    model = PatchCore(PatchCoreOptions(**SMALL)).fit(train)
    vectors = model._embedder([train[s] for s in model.stages])
    np.testing.assert_array_equal(model.memory_bank, vectors[model.coreset_indices])
    assert len(set(model.coreset_indices.tolist())) == 36


def test_whole_memory_scores_training_patches_zero():
    train = make(4, 1)
    model = PatchCore(PatchCoreOptions(coreset_share=1, **SMALL)).fit(train)
    images, maps = model.score(train, (24, 24))
    assert not images.any()
    assert not maps.any()


@pytest.mark.parametrize("projection", ["gaussian", "sparse", "none"])
def test_fit_is_reproducible_and_batches_do_not_matter(projection):
    options = PatchCoreOptions(**{**SMALL, "projection": projection})
    a, b = PatchCore(options).fit(make(10, 1)), PatchCore(options).fit(make(10, 1))
    np.testing.assert_array_equal(a.coreset_indices, b.coreset_indices)
    test = make(5, 2)
    for x, y in zip(a.score(test, (24, 24), batch=2), b.score(test, (24, 24)), strict=True):
        np.testing.assert_array_equal(x, y)


def test_narrow_features_are_not_projected_and_this_is_said():
    model = PatchCore(PatchCoreOptions(embedding="avgpool")).fit(make(10, 1))
    assert "32 channels are fewer than projection_dim 128" in model.notes[0]


def test_any_single_stage_as_of_a_vision_transformer():
    model = PatchCore(PatchCoreOptions(stages=("layer3",), **SMALL)).fit(make(10, 1))
    assert model.score(make(2, 2), (24, 24))[1].shape == (2, 24, 24)


def test_clear_errors():
    train, names = make(5, 1), [f"img{i}.png" for i in range(5)]
    with pytest.raises(ValueError, match=r"'layer7'; extracted are: layer1, layer2, layer3"):
        PatchCore(PatchCoreOptions(stages=("layer7",))).fit(train)
    with pytest.raises(ValueError, match="one training image"):
        PatchCore().fit({k: v[:1] for k, v in train.items()})
    with pytest.raises(ValueError, match=r"coreset of 181 patches was asked of 5 images with 180 patches"):
        PatchCore(PatchCoreOptions(coreset_size=181)).fit(train)
    with pytest.raises(ValueError, match=r"9 neighbours asked of a coreset of 5"):
        PatchCore(PatchCoreOptions(coreset_size=5, reweighting=9)).fit(train)
    with pytest.raises(ValueError, match=r"constant over all training images \(img0\.png"):
        PatchCore().fit({k: np.ones_like(v) for k, v in train.items()}, names)
    train["layer3"][2, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"img2\.png \(image 2\) at stage 'layer3'"):
        PatchCore().fit(train, names)
    with pytest.raises(MemoryError, match="coreset_share"):
        PatchCore(PatchCoreOptions(memory_gib=1e-3)).fit(make(5, 1))


def test_the_paper_sized_problem_fits_in_eight_gib():
    for projection_dim in (128, 301):
        assert estimate_bytes(200_000, 1536, projection_dim, 20_000) < 8 * 2**30
