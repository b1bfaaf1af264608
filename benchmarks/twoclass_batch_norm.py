"""What BatchNorm statistics of a few similar images do to pre-trained features: a table of docs/two-class.md.

    python benchmarks/twoclass_batch_norm.py --draws DRAWS.csv --backbone FILE FILE --images CACHE CACHE

No network is trained: a logistic regression on pooled features of a draw's images is measured (image AU-ROC)
on the images of the pool that the draw left out. The features come from the weights with their own
statistics, and from the same weights with the statistics of the draw's images, at which training in batches
arrives. Test images are not read.
"""

import argparse
import copy
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from report import write_section

from spd.backbones import files
from spd.backbones.architectures import pooled
from spd.data.cache import ImageCache
from spd.detectors.finetuned.draws import read_draws
from spd.detectors.finetuned.evaluation import training_set
from spd.detectors.finetuned.runs import Run
from spd.detectors.finetuned.selection import parts
from spd.detectors.finetuned.training import Normalise
from spd.metrics.image import image_metrics

AT_ONCE = 16


def with_statistics_of(backbone: nn.Module, x: torch.Tensor) -> nn.Module:
    """A copy of the backbone whose BatchNorms have the statistics of the batch x (B, 3, H, W)."""
    backbone = copy.deepcopy(backbone).train()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    pooled(backbone, x)
    return backbone.eval()


def features(backbone: nn.Module, images: torch.Tensor, normalise: Normalise) -> np.ndarray:
    """(N, C) pooled features of uint8 images (N, 3, H, W)."""
    return torch.cat([pooled(backbone, normalise(block)) for block in images.split(AT_ONCE)]).numpy()


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", required=True, help="the CSV of draws")
    parser.add_argument("--backbone", nargs="+", required=True)
    parser.add_argument("--images", nargs="+", required=True, help="image caches, one a size")
    parser.add_argument("--shots", type=int, default=10)
    parser.add_argument("--first-draws", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="replace the table of docs/two-class.md")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    drawn = read_draws(arguments.draws)
    lines = ["| weights | size | their own statistics | the draw's statistics |", "| :-- | --: | --: | --: |"]
    for path in arguments.backbone:
        backbone, metadata = files.load(path)
        normalise = Normalise(metadata.mean, metadata.std, "cpu")
        for cache in map(ImageCache, arguments.images):
            found = {"own": [], "draw": []}
            for name in cache.objects:
                rows = np.arange(len(cache.rows(name, "train")))
                images, labels = training_set(cache, name, rows, "classifier")
                own = features(backbone.eval(), images, normalise)
                for number in range(arguments.first_draws):
                    ((trained, held),) = parts(cache, name, Run(arguments.shots, number), drawn, folds=2)
                    moved = with_statistics_of(backbone, normalise(images[trained]))
                    for kind, z in (("own", own), ("draw", features(moved, images, normalise))):
                        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
                        probe.fit(z[trained], labels[trained])
                        metrics = image_metrics(probe.decision_function(z[held]), labels.numpy()[held] == 1)
                        found[kind].append(100 * metrics["AU-ROC"])
            cells = " | ".join(f"{np.mean(of):.1f} ± {np.std(of, ddof=1):.1f}" for of in found.values())
            size = " x ".join(str(side) for side in images.shape[2:])
            lines.append(f"| {Path(path).parent.name} | {size} | {cells} |")
            print(lines[-1], flush=True)
    if arguments.write:
        write_section("batch-norm", "\n".join(lines), "two-class.md")


if __name__ == "__main__":
    main()
