"""SimSiam (https://arxiv.org/abs/2011.10566): two views, one predictor, no negatives. Equations:
docs/methods/simsiam.md."""

from torch import Tensor, nn

from spd.losses.cosine import simsiam
from spd.methods.base import Method
from spd.methods.options import SimSiamRecipe


class SimSiam(Method):
    """Backbone, 3-layer projector, 2-layer predictor. Parameters are drawn from torch's global generator."""

    Options = SimSiamRecipe

    def __init__(self, backbone: nn.Module, width: int, recipe: SimSiamRecipe, classes: int):
        super().__init__(backbone, width, recipe, classes)
        first, second, out = recipe.projector
        self.projector = nn.Sequential(
            nn.Linear(width, first, bias=False),
            nn.BatchNorm1d(first),
            nn.ReLU(inplace=True),
            nn.Linear(first, second, bias=False),
            nn.BatchNorm1d(second),
            nn.ReLU(inplace=True),
            # the repository has a frozen bias here, which the BatchNorm takes away again
            nn.Linear(second, out, bias=False),
            nn.BatchNorm1d(out, affine=False),
        )
        self.predictor = nn.Sequential(
            nn.Linear(out, recipe.predictor, bias=False),
            nn.BatchNorm1d(recipe.predictor),
            nn.ReLU(inplace=True),
            nn.Linear(recipe.predictor, out),
        )
        self.fixed_lr = self.predictor if recipe.fixed_predictor_lr else None
        self.embedding_width = out

    def forward(self, views: dict[str, Tensor], labels: Tensor, seed: int) -> dict[str, Tensor]:
        """Views `q`, `k` (B, 3, H, W) -> `loss` (scalar) and `z` (B, D), the projections of q. Each view has
        its own BN statistics."""
        z1, z2 = self.embed(views["q"]), self.embed(views["k"])  # (B, D)
        p1, p2 = self.predictor(z1), self.predictor(z2)  # (B, D)
        return {"loss": simsiam(p1, p2, z1, z2), "z": z1}
