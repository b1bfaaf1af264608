import numpy as np
import pytest
import torch

from spd.detectors.coreset import greedy_coreset
from spd.detectors.options import PatchCoreOptions
from spd.detectors.patchcore import PatchCore
from spd.detectors.registry import DETECTORS

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def anomalib():
    try:
        from anomalib.models.components import KCenterGreedy
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    except ImportError as error:
        pytest.skip(f"anomalib cannot be imported ({error}); install the extra `parity`")
    return PatchcoreModel, KCenterGreedy


def test_scores_and_maps_given_the_same_memory_bank(anomalib):
    torch.manual_seed(0)
    model = anomalib[0](layers=["layer2", "layer3"], backbone="resnet18", pre_trained=False, num_neighbors=9)
    images = torch.nn.functional.interpolate(torch.randn(26, 3, 16, 16), size=64, mode="bicubic")
    # In float64: in float32 its expanded squares lose more digits than this compares, differently each time.
    model, images = model.double(), images.double()
    model.train()
    model.feature_extractor.eval()
    model(images[:20])
    model.subsample_embedding(0.2)
    model.eval()
    with torch.no_grad():
        features = {k: v.float().numpy() for k, v in model.feature_extractor(images).items()}
        batch = model(images[20:])
    options = PatchCoreOptions(**DETECTORS["patchcore"].profiles["anomalib"])
    for search in ("torch", "faiss"):
        ours = PatchCore(options.model_copy(update={"search": search, "coreset_share": 0.2}))
        ours.fit({k: v[:20] for k, v in features.items()})
        ours.set_memory_bank(model.memory_bank.float().numpy())
        scores, maps = ours.score({k: v[20:] for k, v in features.items()}, images.shape[-2:])
        np.testing.assert_allclose(scores, batch.pred_score.numpy().ravel(), rtol=1e-6)
        np.testing.assert_allclose(maps, batch.anomaly_map[:, 0].numpy(), rtol=1e-6)


def test_selection_given_the_same_projected_patches_and_first_point(anomalib):
    torch.manual_seed(0)
    sampler = anomalib[1](embedding=torch.randn(1500, 64), sampling_ratio=0.2)
    sampler.model.fit(sampler.embedding)
    projected = sampler.model.transform(sampler.embedding)
    seed = 11
    first = int(np.random.default_rng(seed).integers(1500))
    sampler.features = projected
    sampler.reset_distances()
    chosen = [first]
    for _ in range(299):  # the loop of select_coreset_idxs, from a first point of our choosing
        sampler.update_distances(cluster_center=torch.tensor(chosen[-1]))
        index = sampler.get_new_idx()
        sampler.min_distances.scatter_(0, index[None, None], 0.0)
        chosen.append(int(index))
    np.testing.assert_array_equal(greedy_coreset(projected.numpy(), 300, start="random", seed=seed), chosen)
