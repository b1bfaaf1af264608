import torch
from torch.nn.functional import normalize

from spd.methods.build import build

LABELS = torch.zeros(8, dtype=torch.int64)


def test_loss_is_the_papers_algorithm_1(small_recipe, small_views):
    model = build("resnet10_w4", small_recipe("simsiam"), classes=3)
    f = torch.nn.Sequential(model.backbone, model.projector)
    z1, z2 = f(small_views["q"]), f(small_views["k"])
    p1, p2 = model.predictor(z1), model.predictor(z2)

    def distance(p, z):  # D(p, z) of the paper's pseudocode
        return -(normalize(p, dim=1) * normalize(z.detach(), dim=1)).sum(1).mean()

    expected = distance(p1, z2) / 2 + distance(p2, z1) / 2
    out = model(small_views, LABELS, 0)
    torch.testing.assert_close(out["loss"], expected)
    parameters = [p for p in model.parameters() if p.requires_grad]
    for got, wanted in zip(
        torch.autograd.grad(out["loss"], parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)


def test_heads_are_the_repositorys(small_recipe):
    model = build("resnet10_w4", small_recipe("simsiam"), classes=3)
    assert model.projector[-1].weight is None  # the last BatchNorm has no affine
    assert [m.bias is None for m in model.projector if isinstance(m, torch.nn.Linear)] == [True] * 3
    assert model.predictor[-1].bias is not None
    assert isinstance(model.predictor[-1], torch.nn.Linear)
    assert model.fixed_lr is model.predictor
    assert build("resnet10_w4", small_recipe("simsiam", fixed_predictor_lr=False), classes=3).fixed_lr is None


def test_zero_init_residual(small_recipe):
    model = build("resnet10_w4", small_recipe("simsiam"), classes=3)
    assert model.backbone.layer2[0].bn2.weight.abs().max() == 0
