import pytest
import torch


def smooth_images(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """uint8 (count, 3, height, width): coloured blobs with fine noise, so that every operation shows."""
    generator = torch.Generator().manual_seed(seed)
    blobs = torch.rand(count, 3, 5, 6, generator=generator)
    blobs = torch.nn.functional.interpolate(blobs, size=(height, width), mode="bicubic")
    noise = 0.05 * torch.randn(count, 3, height, width, generator=generator)
    return ((blobs + noise).clamp(0, 1) * 255).round().to(torch.uint8)


@pytest.fixture
def images() -> torch.Tensor:
    return smooth_images(6, 72, 90)


@pytest.fixture
def squares() -> torch.Tensor:
    """float32 (24, 3, 40, 40) in [0, 1]."""
    return smooth_images(24, 40, 40, seed=1) / 255
