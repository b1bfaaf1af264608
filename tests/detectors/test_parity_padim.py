import numpy as np
import pytest
import torch

from spd.detectors.options import PaDiMOptions
from spd.detectors.padim import PaDiM
from spd.detectors.registry import DETECTORS

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def peer():
    """anomalib's PaDiM on random weights (parity needs none), its own channels, and the features it saw."""
    try:
        from anomalib.models.image.padim.torch_model import PadimModel
    except ImportError as error:
        pytest.skip(f"anomalib cannot be imported ({error}); install the extra `parity`")
    torch.manual_seed(0)
    model = PadimModel(
        backbone="resnet18", layers=["layer1", "layer2", "layer3"], pre_trained=False, n_features=60
    )
    # Blurred noise: neighbouring pixels agree, as in photographs.
    images = torch.nn.functional.interpolate(torch.randn(26, 3, 16, 16), size=64, mode="bicubic")
    model.train()
    model.feature_extractor.eval()
    model(images[:20])
    model.fit()
    model.eval()
    with torch.no_grad():
        features = {k: v.numpy() for k, v in model.feature_extractor(images).items()}
        batch = model(images[20:])
    return model.idx.numpy(), features, batch.pred_score.numpy(), batch.anomaly_map[:, 0].numpy()


@pytest.mark.parametrize("solver", ["dual", "primal"])
def test_maps_and_scores_under_profile_anomalib(peer, solver):
    channels, features, scores, maps = peer
    options = PaDiMOptions(**{**DETECTORS["padim"].profiles["anomalib"], "dim": 60, "solver": solver})
    model = PaDiM(options).fit({k: v[:20] for k, v in features.items()}, channels=channels)
    ours, our_maps = model.score({k: v[20:] for k, v in features.items()}, maps.shape[1:])
    np.testing.assert_allclose(our_maps, maps, rtol=2e-5)
    np.testing.assert_allclose(ours, scores.ravel(), rtol=2e-5)
