import math

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from spd.losses import nce

T = 0.1


def embeddings(n=7, d=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, d, generator=generator, dtype=dtype).requires_grad_() for _ in range(2)]


def brute_infonce(z, z_hat):
    z, z_hat = normalize(z, dim=1), normalize(z_hat, dim=1)
    rows = []
    for i in range(len(z)):
        similarities = [torch.exp(z[i] @ z_hat[j] / T) for j in range(len(z))]
        rows.append(-torch.log(similarities[i] / sum(similarities)))
    return sum(rows) / len(rows)


def brute_ntxent(z, z_hat):
    both = normalize(torch.cat([z, z_hat]), dim=1)
    n, rows = len(z), []
    for i in range(2 * n):
        others = sum(torch.exp(both[i] @ both[j] / T) for j in range(2 * n) if j != i)
        rows.append(-torch.log(torch.exp(both[i] @ both[(i + n) % (2 * n)] / T) / others))
    return sum(rows) / len(rows)


@pytest.mark.parametrize(("ours", "brute"), [(nce.infonce, brute_infonce), (nce.ntxent, brute_ntxent)])
@pytest.mark.parametrize("rows_in_block", [1, 3, 100])
def test_equals_brute_force_in_value_and_gradient(ours, brute, rows_in_block, monkeypatch):
    z, z_hat = embeddings()
    columns = 7 if ours is nce.infonce else 14
    monkeypatch.setattr(nce, "BLOCK_BYTES", rows_in_block * columns * 8)
    monkeypatch.setattr(nce, "TILE", {"cpu": rows_in_block})
    expected = torch.autograd.grad(2 * brute(z, z_hat), [z, z_hat])
    value = ours(z, z_hat, T)
    got = torch.autograd.grad(2 * value, [z, z_hat])
    assert value.item() == pytest.approx(brute(z, z_hat).item(), abs=1e-12)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rows_in_block", [1, 5, 100])
def test_rows_that_are_the_columns_need_half_the_matrix(rows_in_block, monkeypatch):
    # both classes serve ntxent: one process the symmetric, several ranks the general
    monkeypatch.setattr(nce, "TILE", {"cpu": rows_in_block})
    x = torch.cat([normalize(e.detach(), dim=1) for e in embeddings(9)]).requires_grad_()
    own = torch.arange(18)
    general = nce._CrossEntropyOfCosines.apply(x, x, own.roll(9), own, T)
    symmetric = nce._SymmetricCrossEntropyOfCosines.apply(x, T)
    torch.testing.assert_close(symmetric, general, rtol=0, atol=1e-12)
    expected, got = (torch.autograd.grad(3 * loss, x)[0] for loss in (general, symmetric))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", [nce.infonce, nce.ntxent])
def test_gradcheck(loss):
    z, z_hat = embeddings(4, 3)
    assert torch.autograd.gradcheck(lambda a, b: loss(a, b, T), (z, z_hat))


@pytest.mark.parametrize(("loss", "options"), [(nce.infonce, 8), (nce.ntxent, 15)])
def test_equal_embeddings_give_the_logarithm_of_the_choices(loss, options):
    z = torch.ones(8, 4)
    assert loss(z, z, T).item() == pytest.approx(math.log(options), rel=1e-6)


def test_infonce_has_one_direction_and_no_negatives_within_a_view():
    z, z_hat = embeddings()
    # Two equal rows of z would be each other's hardest negatives in NT-Xent; infonce never compares them.
    with torch.no_grad():
        swapped = nce.infonce(z_hat, z, T)
    assert nce.infonce(z, z_hat, T).item() != pytest.approx(swapped.item(), abs=1e-6)


@pytest.mark.parametrize(("ours", "brute"), [(nce.infonce, brute_infonce), (nce.ntxent, brute_ntxent)])
def test_a_temperature_beyond_float32s_range(ours, brute, monkeypatch):
    z, z_hat = (x.detach().float().requires_grad_() for x in embeddings())
    monkeypatch.setattr(f"{__name__}.T", 0.01)
    wide = [x.detach().double().requires_grad_() for x in (z, z_hat)]
    expected = torch.autograd.grad(brute(*wide), wide)
    got = torch.autograd.grad(ours(z, z_hat, 0.01), [z, z_hat])
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4)
    assert torch.isfinite(ours(z, -z, 1e-3))


def test_bfloat16_embeddings_are_compared_in_float32():
    z, z_hat = (x.detach().bfloat16() for x in embeddings(64, 16, torch.float32))
    with torch.autocast("cpu", torch.bfloat16):
        value = nce.ntxent(z, z_hat, T)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(nce.ntxent(z.float(), z_hat.float(), T).item(), rel=1e-6)


def test_queue_nce_is_cross_entropy_with_the_positive_first():
    q, k = embeddings()
    k = normalize(k.detach(), dim=1)
    queue = normalize(torch.randn(11, 5, dtype=torch.float64), dim=1)
    unit = normalize(q, dim=1)
    logits = torch.cat([(unit * k).sum(1, keepdim=True), unit @ queue.T], dim=1) / T
    expected = cross_entropy(logits, torch.zeros(7, dtype=torch.int64))
    torch.testing.assert_close(nce.queue_nce(q, k, queue, T), expected)
    torch.testing.assert_close(
        torch.autograd.grad(nce.queue_nce(q, k, queue, T), q)[0], torch.autograd.grad(expected, q)[0]
    )


@pytest.mark.parity
def test_ntxent_equals_lightly():
    lightly = pytest.importorskip("lightly.loss", reason="install the extra `parity`")
    z, z_hat = embeddings(16, 8, torch.float32)
    expected = lightly.NTXentLoss(temperature=T)(z, z_hat)
    torch.testing.assert_close(nce.ntxent(z, z_hat, T), expected)
    ours = torch.autograd.grad(nce.ntxent(z, z_hat, T), z)[0]
    torch.testing.assert_close(ours, torch.autograd.grad(expected, z)[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parity
def test_queue_nce_equals_lightlys_memory_bank():
    lightly = pytest.importorskip("lightly.loss", reason="install the extra `parity`")
    peer = lightly.NTXentLoss(temperature=T, memory_bank_size=(32, 8))
    q, k = embeddings(16, 8, torch.float32)
    k = normalize(k.detach(), dim=1)
    peer(q, k)  # the bank fills at the first call
    queue = peer.memory_bank.bank.clone()  # (K, D) or (D, K), with the version
    queue = queue if queue.shape == (32, 8) else queue.T
    expected = peer(q, k)
    torch.testing.assert_close(nce.queue_nce(q, k, queue, T), expected)
    ours = torch.autograd.grad(nce.queue_nce(q, k, queue, T), q)[0]
    torch.testing.assert_close(ours, torch.autograd.grad(expected, q)[0], rtol=1e-4, atol=1e-6)
