import numpy as np
import pytest
import torch

from spd.detectors.bounds import error_bounds, filter_dtype, operand


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_no_product_exceeds_its_bound(dtype, offset, scale):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(64, 200))
    points = (centres[rng.integers(0, 64, 500)] + 0.01 * rng.normal(size=(500, 200)) + offset) * scale
    a, b = points.astype(np.float32), ((centres + offset) * scale).astype(np.float32)
    mean = a.mean(0, dtype=np.float64)
    left, right = operand(a, mean, dtype, left=True), operand(b, mean, dtype, left=False)
    products = torch.mm(left.values, right.values.T).double().numpy()
    half = ((a[:, None].astype(np.float64) - b[None]) ** 2).sum(-1) / 2
    e, r = error_bounds(left, right)
    slack = e[:, None] + r * half
    assert (np.abs(products - half) <= slack).all()
    # A bound that rules nothing out would be useless: it must be far below typical distances.
    assert np.median(e) < 0.05 * np.median(half)


def test_auto_is_a_type_the_processor_multiplies():
    assert filter_dtype("auto", torch.device("cpu")) in (torch.float32, torch.bfloat16)
    assert filter_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
