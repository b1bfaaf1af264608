"""What an embedding knows, on images held out of training: kNN, a linear probe, and how local changes weigh
against global ones."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

from spd.data.corpus import Corpus
from spd.methods.build import base
from spd.methods.options import Recipe
from spd.methods.spd import WithSPD
from spd.seeds import permutation, seed_of
from spd.views.options import ViewsOptions
from spd.views.views import apply, apply_local, centre_crop, draw, normalise, whole_image

CHUNK = 256
JUDGED = 10_000
"""At most so many held-out images are asked for their views, evenly spaced; kNN and the linear probe ask all.
(ours)"""


@torch.no_grad()
def knn(
    bank: torch.Tensor,
    bank_labels: torch.Tensor,
    queries: torch.Tensor,
    labels: torch.Tensor,
    *,
    classes: int,
    k: int = 200,
    temperature: float = 0.1,
) -> float:
    """Accuracy in [0, 1] of the weighted nearest-neighbour classifier: each of k neighbours votes with
    exp(cos / temperature).

    bank (N, D), queries (M, D), integer labels (N,) and (M,). Source: Instance Discrimination, section 3.4
    (https://arxiv.org/abs/1805.01978).
    """
    bank, k = normalize(bank, dim=1), min(k, len(bank))
    right = 0
    for part, truth in zip(queries.split(CHUNK), labels.split(CHUNK), strict=True):
        similarity, neighbours = (normalize(part, dim=1) @ bank.T).topk(k, dim=1)  # (m, k)
        votes = torch.zeros(len(part), classes, device=part.device, dtype=similarity.dtype)
        votes.scatter_add_(1, bank_labels[neighbours], ((similarity - 1) / temperature).exp())
        right += int((votes.argmax(1) == truth).sum())
    return right / len(labels)


def linear(
    features: torch.Tensor,
    labels: torch.Tensor,
    queries: torch.Tensor,
    truth: torch.Tensor,
    *,
    classes: int,
    weight_decay: float = 1e-3,
    iterations: int = 100,
) -> float:
    """Accuracy in [0, 1] of a softmax classifier on frozen, standardised features, fitted to its optimum by
    L-BFGS.

    features (N, D), queries (M, D), integer labels (N,) and (M,). Ours: without augmentation the problem is
    convex, so no learning rate has to be chosen as in the repositories' SGD probes; the values are not
    comparable with theirs.
    """
    mean, std = features.mean(0), features.std(0).clamp_min(1e-6)
    x, queries = (features - mean) / std, (queries - mean) / std
    weight = torch.zeros(classes, x.shape[1], dtype=x.dtype, device=x.device, requires_grad=True)
    bias = torch.zeros(classes, dtype=x.dtype, device=x.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=iterations, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = cross_entropy(x @ weight.T + bias, labels) + weight_decay * (weight**2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        return float(((queries @ weight.T + bias).argmax(1) == truth).double().mean())


@torch.no_grad()
def sensitivity(
    embed: nn.Module, images: Corpus, indices: np.ndarray, views: ViewsOptions, seed: int
) -> dict[str, float]:
    """How much more a local change moves an embedding than a weak global one does, on the images at
    `indices`.

    embed: images (B, 3, H, W) -> (B, D), in eval mode. Returns `cos_plus`, `cos_minus` (means of cos(z,
    z_plus) and cos(z, z_minus), the anchor being the image itself) and `ratio`, (1 - cos_minus) / (1 -
    cos_plus): higher means more sensitive to local change. z_minus has a weak change of its own beside the
    local one, so `cos_local` and `ratio_local` say the same of the local change alone, blended into the image
    itself. `std`: std * sqrt(d) of the images' unit embeddings, 1 spread, 0 collapsed. Ours.
    """
    weight = next(embed.parameters())
    views = views.model_copy(update={"anchor": "image", "weak_draws": "independent"})
    anchors: list[torch.Tensor] = []
    cosines: dict[str, list[torch.Tensor]] = {"plus": [], "minus": [], "local": []}
    for number, part in enumerate(_chunks(indices)):
        draws = draw(
            views,
            seed=seed_of(seed, "sensitivity"),
            step=number,
            batch=len(part),
            names=("anchor", "plus", "minus"),
        )
        batch = images.batch(part).to(weight.device)
        seen = apply(batch, images.sizes[part], draws, views)
        whole = whole_image(batch, views.weak.size)
        seen["local"] = normalise(apply_local(whole, draws["minus"], views.local), views)
        z = {name: embed(x.to(weight.dtype)) for name, x in seen.items()}  # (B, D) each
        anchors.append(z["anchor"])
        for name, values in cosines.items():
            values.append(cosine_similarity(z["anchor"], z[name], dim=1))
    means = {name: float(torch.cat(values).mean()) for name, values in cosines.items()}
    away = {name: 1 - mean for name, mean in means.items()}
    weak = max(away["plus"], 1e-12)
    return {
        **{f"cos_{name}": mean for name, mean in means.items()},
        "ratio": away["minus"] / weak,
        "ratio_local": away["local"] / weak,
        "std": float(spread(torch.cat(anchors))),
    }


@torch.no_grad()
def perturbed(
    model: WithSPD, images: Corpus, indices: np.ndarray, views: ViewsOptions, seed: int
) -> dict[str, float]:
    """How well the classifier of the xent objective tells views with a local change from views without, on
    fresh views of the images at `indices`.

    model: in eval mode, as detectors will use the backbone. Returns `perturbed_accuracy` in [0, 1], 0.5 where
    it guesses, and a 95 % normal interval over the images, `perturbed_ci_low` and `perturbed_ci_high` (none
    of a single image). Ours.
    """
    weight = next(model.parameters())
    names = views.names(model.method.views[:1], spd=True)
    right = []
    for number, part in enumerate(_chunks(indices)):
        draws = draw(views, seed=seed_of(seed, "perturbed"), step=number, batch=len(part), names=names)
        seen = apply(images.batch(part).to(weight.device), images.sizes[part], draws, views)
        z_plus, z_minus = model.embed_pair(seen["plus"].to(weight.dtype), seen["minus"].to(weight.dtype))
        said = torch.stack(
            [model.perturbed(z_plus).argmax(1), 1 - model.perturbed(z_minus).argmax(1)]
        )  # (2, b)
        right.append((said == 0).double().mean(0))
    right = torch.cat(right)
    accuracy = float(right.mean())
    if len(right) < 2:
        return {"perturbed_accuracy": accuracy}
    margin = 1.96 * float(right.std()) / math.sqrt(len(right))
    return {
        "perturbed_accuracy": accuracy,
        "perturbed_ci_low": accuracy - margin,
        "perturbed_ci_high": accuracy + margin,
    }


def spread(z: torch.Tensor) -> torch.Tensor:
    """std * sqrt(d) of the rows of z (N, D), made unit vectors: 1 for directions spread evenly over the
    sphere, 0 for one direction. Source: SimSiam, section 4.1 (https://arxiv.org/abs/2011.10566)."""
    z = normalize(z.double(), dim=1)
    return z.std(0, correction=0).mean() * math.sqrt(z.shape[1])


@torch.no_grad()
def features(
    embed: nn.Module, images: Corpus, indices: np.ndarray, views: ViewsOptions, size: int
) -> torch.Tensor:
    """Embeddings (N, D) of the images' central squares, resized to `size`: the crop of an evaluation
    (`spd.views.views.centre_crop`). `embed` is in eval mode."""
    weight = next(embed.parameters())
    parts = []
    for part in _chunks(indices):
        seen = centre_crop(images.batch(part).to(weight.device), images.sizes[part], size)
        parts.append(embed(normalise(seen, views).to(weight.dtype)))
    return torch.cat(parts)


@dataclass(frozen=True)
class Probe:
    """Judges the backbone of a training on the images at `held_out`, with those at `train` as reference.

    train, held_out: int64, places in `images`. views: those of the training, with SPD's changes. The model's
    mode (train, eval) is as before afterwards.
    """

    images: Corpus
    train: np.ndarray
    held_out: np.ndarray
    recipe: Recipe
    views: ViewsOptions
    seed: int

    def in_training(self, model: nn.Module) -> dict[str, float]:
        """`knn`, the accuracy of the backbone's pooled feature, and with the xent objective what `perturbed`
        says."""
        with evaluating(model):
            return {"knn": self._knn(*self._labelled(base(model).backbone)), **self._perturbed(model)}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """The end of a training: `knn` and `linear` (accuracies of the pooled feature of central crops), of a
        supervised one `classifier` (its own), with the xent objective what `perturbed` says, and
        `sensitivity_{z,h}_...`."""
        method = base(model)
        with evaluating(model):
            bank, bank_labels, queries, truth = self._labelled(method.backbone)
            result = {
                "knn": self._knn(bank, bank_labels, queries, truth),
                "linear": linear(bank, bank_labels, queries, truth, classes=len(self.images.classes)),
            }
            if method.classifier is not None:
                right = method.classifier(queries).argmax(1) == truth
                result["classifier"] = float(right.double().mean())
            result |= self._perturbed(model)
            embeddings = {"h": method.backbone}
            if not isinstance(method.projector, nn.Identity):
                embeddings["z"] = nn.Sequential(method.backbone, method.projector)
            for name, embed in embeddings.items():
                values = sensitivity(embed, self.images, self._sample(), self.views, self.seed)
                result |= {f"sensitivity_{name}_{key}": value for key, value in values.items()}
        return result

    @property
    def protocol(self) -> str:
        """How `knn` and `linear` came about. Ours: not the linear protocol of the repositories."""
        source = "of the data set's own validation" if len(self.images.validation) else "held out of training"
        return (
            "central crops of the corpus' images, pooled features computed once; kNN: "
            f"k = {self.recipe.probe_neighbours}; linear: softmax by L-BFGS without augmentation; reference: "
            f"{min(len(self.train), self.recipe.probe_bank)} training images, judged: {len(self.held_out)} "
            f"images {source}, local changes: {min(len(self.held_out), JUDGED)} of them"
        )

    def _labelled(self, backbone: nn.Module) -> tuple[torch.Tensor, ...]:
        """Features and labels of the reference, then of the held-out images."""
        size = self.recipe.views.augmentation("q").size
        drawn = permutation(len(self.train), self.seed, "probe bank").numpy()[: self.recipe.probe_bank]
        device = next(backbone.parameters()).device
        result = []
        for places in (np.sort(self.train[drawn]), self.held_out):
            result.append(features(backbone, self.images, places, self.recipe.views, size))
            result.append(torch.from_numpy(self.images.labels[places]).to(device))
        return tuple(result)

    def _knn(self, bank, bank_labels, queries, truth) -> float:
        classes, k = len(self.images.classes), self.recipe.probe_neighbours
        return knn(bank, bank_labels, queries, truth, classes=classes, k=k)

    def _perturbed(self, model: nn.Module) -> dict[str, float]:
        if getattr(model, "perturbed", None) is None:
            return {}
        return perturbed(model, self.images, self._sample(), self.views, self.seed)

    def _sample(self) -> np.ndarray:
        """At most `JUDGED` of the held-out images, evenly spaced."""
        places = np.linspace(0, len(self.held_out) - 1, min(len(self.held_out), JUDGED))
        return self.held_out[places.round().astype(int)]


def notes(found: Mapping[str, float]) -> list[str]:
    """What a reader of a table must know of a pre-training that was judged so (`evaluate`)."""
    if found.get("perturbed_ci_low", 1.0) > 0.5:
        return []
    accuracy, low, high = (100 * found[f"perturbed_{key}"] for key in ("accuracy", "ci_low", "ci_high"))
    return [
        "its xent objective taught it nothing that is seen in eval mode: on held-out images the classifier "
        f"of local changes is right in {accuracy:.1f} % [{low:.1f}, {high:.1f}], which is chance"
    ]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode inside the block, each part's own mode afterwards: a probe must not move BatchNorm's
    statistics."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _chunks(indices: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(indices), CHUNK):
        yield indices[start : start + CHUNK]
