"""What 2-class training costs: GPU-hours from counted FLOPs and the published rates of workflow_scripts.planning.cost.

python -m workflow_scripts.planning.twoclass_cost [config.yaml] [--preset paper]
"""

import argparse
import csv
import functools
import importlib.resources
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from spd.backbones.architectures import build
from spd.data.geometry import final_size
from spd.detectors.finetuned.classifier import Classifier
from spd.detectors.finetuned.options import FineTuningOptions, UNetOptions
from spd.detectors.finetuned.training import steps_of
from spd.detectors.finetuned.unet import UNet
from spd.losses.focal import focal_loss
from workflow_scripts.planning.cost import PUBLISHED, flops_of


@dataclass(frozen=True)
class Cost:
    """What some trainings need together."""

    trainings: int = 0
    flops: float = 0.0
    """Of training and of scoring the test images; 2 a multiply-add."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.trainings + other.trainings, self.flops + other.flops)

    def gpu_hours(self, gpu: str = "A100") -> tuple[float, float]:
        """(least, most) hours of one GPU at the rates that published trainings kept up (`workflow_scripts.planning.cost`).

        Those are mixed-precision rates of whole batches; scoring in float32 and batches of 8 can be slower.
        Raises ValueError for a GPU without a published rate.
        """
        rates = [p.images_per_second * flops_of("resnet50", p.recipe) for p in PUBLISHED if p.gpu == gpu]
        if not rates:
            known = sorted({p.gpu for p in PUBLISHED})
            raise ValueError(f"gpu: no published rate for {gpu!r}; there are {', '.join(known)}")
        return self.flops / max(rates) / 3600, self.flops / min(rates) / 3600


def cost(
    architecture: str,
    options: FineTuningOptions,
    size: tuple[int, int],
    *,
    train_images: int,
    test_images: int,
    trainings: int = 1,
) -> Cost:
    """Of trainings on `train_images` images of `size` (H, W), each of which scores `test_images`.

    Counted on torch's meta device: nothing is computed.
    """
    batch = min(options.batch, train_images)
    step, image = _flops(architecture, options, size)
    seen = steps_of(train_images, options) * batch
    return Cost(trainings, trainings * (seen * step + test_images * image))


@functools.cache
def _flops(architecture: str, options: FineTuningOptions, size: tuple[int, int]) -> tuple[float, float]:
    """(an image of a training step, a scored image)."""
    counts = []
    with torch.device("meta"):
        backbone = build(architecture)
        unet = isinstance(options, UNetOptions)
        network = UNet(backbone, options) if unet else Classifier(backbone, options)
        network.backbone.requires_grad_(options.tune == "all")
        x = torch.empty(2, 3, *size)
        target = torch.zeros(2, *size) if unet else torch.zeros(2)
        for training in (True, False):
            network.train(training)
            with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(training):
                logits = network(x)
                if training:
                    focal_loss(logits, target, gamma=options.gamma, alpha=options.alpha).backward()
            counts.append(counter.get_total_flops() / 2)
    return counts[0], counts[1]


def plan(experiment: Any) -> dict[tuple[str, str], Cost]:
    """(table, detector) -> the cost of all its trainings in a spd.config.model.Config.

    Data sets need published counts (`facts: visa`); others are left out.
    """
    found: dict[tuple[str, str], Cost] = {}
    for name, table in experiment.tables.items():
        if table.setup == "1cls":
            continue
        few = table.setup == "2cls_fewshot"
        draws, shots = (experiment.fewshot.draws, experiment.fewshot.shots) if few else (1, (None,))
        for detector in ("classifier", "unet"):
            found[name, detector] = Cost()
            for profile, row, dataset, k in _product(experiment, table, detector, shots):
                size = final_size(*TYPICAL, experiment.geometries[profile.geometry])
                for counts in _counts(dataset, table.setup):
                    found[name, detector] += cost(
                        _architecture(experiment, row),
                        profile.options,
                        size,
                        train_images=2 * k if few else counts["train_normal"] + counts["train_anomaly"],
                        test_images=counts["test_normal"] + counts["test_anomaly"],
                        trainings=draws * len(row.seeds),
                    )
    return found


TYPICAL = (1000, 1500)
"""Height and width of a VisA image: what `mode: short` resizes."""


def _product(experiment: Any, table: Any, detector: str, shots: tuple[int | None, ...]):
    for profile in table.profiles:
        for row in table.rows:
            for dataset in table.datasets:
                for k in shots:
                    yield (
                        experiment.detectors[detector][profile],
                        experiment.pretrainings[row],
                        experiment.datasets[dataset],
                        k,
                    )


def _architecture(experiment: Any, row: Any) -> str:
    return row.source.architecture if row.source else experiment.backbones[row.backbone].architecture


def _counts(dataset: Any, setup: str) -> list[dict[str, int]]:
    """The published counts of each object that is evaluated."""
    if dataset.facts != "visa":
        return []
    file = importlib.resources.files("spd.facts") / "visa_split_counts.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["setup"] == setup]
    wanted = [row for row in rows if dataset.objects is None or row["object"] in dataset.objects]
    return [{key: int(value) for key, value in row.items() if "_" in key} for row in wanted]


def table(config_path: Path, preset: str) -> str:
    """Markdown: trainings and GPU-hours of each table and task, and of all."""
    from spd.config.model import load

    gpus = list(dict.fromkeys(p.gpu for p in PUBLISHED))
    lines = [f"| table | detector | trainings | PFLOP | {' | '.join(f'{gpu}-hours' for gpu in gpus)} |"]
    lines.append("|---" * (4 + len(gpus)) + "|")
    costs = plan(load(config_path, {"preset": preset}))
    for (name, detector), of in [*costs.items(), (("all", ""), sum(costs.values(), Cost()))]:
        hours = " | ".join("{:,.0f} - {:,.0f}".format(*of.gpu_hours(gpu)) for gpu in gpus)
        lines.append(f"| {name} | {detector} | {of.trainings:,} | {of.flops / 1e15:,.0f} | {hours} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="GPU-hours of every 2-class training of a config")
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"))
    parser.add_argument("--preset", default="paper")
    arguments = parser.parse_args()
    print(table(arguments.config, arguments.preset))


if __name__ == "__main__":
    main()
