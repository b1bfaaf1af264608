import numpy as np
import pytest
import torch
from torch.nn import functional as F

from spd.detectors.embedding import Embedder, combinations


def literal_official(stages, stage_dim, dim, patch_size=3):
    """The official definition step by step: unfold, interpolate whole patches, pool, stack, pool
    (float64)."""
    reference, unfolded = stages[0].shape[2:], []
    for values in stages:
        n, c, h, w = values.shape
        patches = F.unfold(torch.from_numpy(values).double(), patch_size, padding=patch_size // 2)
        patches = patches.reshape(n, c * patch_size**2, h, w)
        if (h, w) != reference:
            patches = F.interpolate(patches, size=reference, mode="bilinear", align_corners=False)
        unfolded.append(patches.permute(0, 2, 3, 1).reshape(-1, c * patch_size**2))
    pooled = [F.adaptive_avg_pool1d(p[:, None], stage_dim)[:, 0] for p in unfolded]
    return F.adaptive_avg_pool1d(torch.stack(pooled, 1).reshape(len(pooled[0]), 1, -1), dim)[:, 0].numpy()


@pytest.mark.parametrize(
    ("channels", "stage_dim", "dim"),
    [
        ((512, 1024), 1024, 1024),  # Wide ResNet-50, layers 2 and 3
        ((128, 256), 1024, 1024),  # ResNet-18
        ((40, 112), 1024, 1024),  # lite0
        ((24, 40, 112), 300, 250),  # bins that straddle two stages
        ((7,), 20, 30),
    ],
)
def test_official_equals_its_definition(channels, stage_dim, dim):
    rng = np.random.default_rng(0)
    sizes = [(6, 5), (3, 3), (2, 2)]
    stages = [rng.normal(size=(2, c, *s)).astype(np.float32) for c, s in zip(channels, sizes, strict=False)]
    embedder = Embedder(list(channels), patch_size=3, embedding="official", stage_dim=stage_dim, dim=dim)
    np.testing.assert_allclose(embedder(stages), literal_official(stages, stage_dim, dim), atol=2e-6)


def test_wide_resnet_has_the_closed_form():
    parts, _ = combinations([512, 1024], patch_size=3, embedding="official", stage_dim=1024, dim=1024)
    layer2, layer3 = parts
    for output in (0, 17, 511):
        rows = slice(layer2.pointer[output], layer2.pointer[output + 1])
        assert set(layer2.channel[rows]) == {output}
        np.testing.assert_allclose(layer2.weight[rows], np.array([1, 1, 1, 1, 2, 1, 1, 1, 1]) / 10)
        rows = slice(layer3.pointer[output], layer3.pointer[output + 1])
        assert set(layer3.channel[rows]) == {2 * output, 2 * output + 1}
        np.testing.assert_allclose(layer3.weight[rows], 1 / 18)


@pytest.mark.parametrize("patch_size", [1, 3, 5])
def test_avgpool_equals_torch(patch_size):
    rng = np.random.default_rng(0)
    stages = [
        rng.normal(size=(2, 8, 6, 6)).astype(np.float32),
        rng.normal(size=(2, 5, 3, 3)).astype(np.float32),
    ]
    pooled = [F.avg_pool2d(torch.from_numpy(s), patch_size, 1, patch_size // 2) for s in stages]
    pooled[1] = F.interpolate(pooled[1], size=(6, 6), mode="bilinear")
    expected = torch.cat(pooled, 1).permute(0, 2, 3, 1).reshape(-1, 13)
    embedder = Embedder([8, 5], patch_size=patch_size, embedding="avgpool", stage_dim=1, dim=1)
    np.testing.assert_allclose(embedder(stages), expected, atol=1e-6)
