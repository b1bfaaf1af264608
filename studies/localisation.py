"""Where a backbone's maps see a local change: AU-ROC of |f(x) - f(SmoothBlend x)| against the patch."""

import numpy as np
import torch
from torch.nn.functional import interpolate

from spd.backbones.files import load
from spd.backbones.stages import StageNetwork
from spd.data.corpus import Corpus
from spd.metrics.pixel import pixel_metrics
from spd.seeds import seed_of
from spd.views.colour import apply_jitter
from spd.views.options import ViewsOptions
from spd.views.views import apply_local, draw, normalise, whole_image

CHUNK = 128


@torch.no_grad()
def localisation(
    backbone_path,
    images: Corpus,
    indices: np.ndarray,
    views: ViewsOptions,
    stages: tuple[str, ...],
    seed: int,
) -> dict[str, float]:
    """Pixel AU-ROC in [0, 1] per stage and of all stages together (`all`), over the images at `indices`.

    A stage's map is the distance over channels, each in units of its standard deviation over images and
    places, made as large as the image (bilinear). `jitter_STAGE`: the changed image has the weak view's
    colour jitter too, so that a stage has to see the patch against a global change; geometry is left alone,
    or places would not correspond. Positive are the patch's own pixels. Ours.
    """
    model, _metadata = load(backbone_path)
    network = StageNetwork(model, stages).eval()
    size = views.weak.size
    maps: dict[str, list[np.ndarray]] = {}
    masks = []
    scale = None
    for number, start in enumerate(range(0, len(indices), CHUNK)):
        part = indices[start : start + CHUNK]
        draws = draw(
            views, seed=seed_of(seed, "localisation"), step=number, batch=len(part), names=("q", "minus")
        )["minus"]
        whole = whole_image(images.batch(part), size)  # (B, 3, S, S)
        before = network(normalise(whole.clone(), views))
        if scale is None:  # of the first chunk, for all
            scale = {name: f.std((0, 2, 3), keepdim=True).clamp_min(1e-6) for name, f in before.items()}
        masks.append(_masks(draws["local_target"], draws["local_patch"], size))
        jittered = apply_jitter(whole.clone(), draws["factors"], draws["order"])
        for prefix, source in (("", whole.clone()), ("jitter_", jittered)):
            after = network(normalise(apply_local(source, draws, views.local), views))
            squares, channels = 0, 0
            for name, f in before.items():
                square = (((f - after[name]) / scale[name]) ** 2).sum(1, keepdim=True)  # (B, 1, h, w)
                maps.setdefault(prefix + name, []).append(_large(square.sqrt(), size))
                squares = squares + interpolate(square, size=(size, size), mode="bilinear")
                channels += f.shape[1]
            maps.setdefault(prefix + "all", []).append((squares / channels).sqrt()[:, 0].numpy())
    truth = np.concatenate(masks)
    return {
        name: pixel_metrics(np.concatenate(values), truth, pro=False)["AU-ROC"]
        for name, values in maps.items()
    }


def _large(maps: torch.Tensor, size: int) -> np.ndarray:
    return interpolate(maps, size=(size, size), mode="bilinear")[:, 0].contiguous().numpy()


def _masks(target: np.ndarray, patch: np.ndarray, size: int) -> np.ndarray:
    place = np.arange(size)
    inside = [
        (place >= target[:, axis, None]) & (place < target[:, axis, None] + patch[:, axis, None])
        for axis in (0, 1)
    ]
    return (inside[0][:, :, None] & inside[1][:, None, :]).astype(np.uint8)  # (B, S, S)
