import pytest
import torch

from spd.float32 import full_float32


def flags():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def put(cudnn, matmul):
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = cudnn, matmul


@pytest.fixture(autouse=True)
def as_before():
    before = flags()
    yield
    put(*before)


@pytest.mark.parametrize("before", [(True, False), (False, True)])
def test_off_inside_and_as_before_after_an_error_too(before):
    put(*before)

    @full_float32()
    def inside():
        assert flags() == (False, False)
        raise KeyError

    with pytest.raises(KeyError):
        inside()
    assert flags() == before
