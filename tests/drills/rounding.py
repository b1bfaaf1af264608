"""Why another number of threads gives another backbone: how a difference in the last bit grows in a training.

    snakemake --cores 2 --config preset=tiny -- results/tiny/corpus/imagenet.safetensors
    python tests/drills/rounding.py --results results/tiny

Trains SimSiam of the preset five times from one seed and prints, step by step, by how much the gradient's
norm differs: 1 against 2 threads in float32 and in float64, and 1 thread against itself from weights that
were multiplied by 1 + 1e-7 (about one bit of float32).
"""

import argparse
import json
import tempfile
from pathlib import Path
from unittest import mock

import torch
from runs import publish

from spd.config.model import load
from spd.data.corpus import open_packed
from spd.data.manifest import read
from spd.training import state
from spd.training.loop import pretrain
from spd.training.settings import Outputs, Settings

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results/tiny"))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--write", action="store_true", help="write the figures into docs/trust.md")
    options = parser.parse_args()
    one, two = norms(options), norms(options, threads=2)
    double, double_two = (norms(options, threads=n, precision="float64") for n in (1, 2))
    nudged = norms(options, nudge=1e-7)
    text = [
        "| step | 2 threads, float32 | weights x (1 + 1e-7), float32 | 2 threads, float64 |",
        "|---|---|---|---|",
    ]
    for step in range(options.steps):
        row = [abs(b[step] / a[step] - 1) for a, b in ((one, two), (one, nudged), (double, double_two))]
        text.append(f"| {step + 1} | {' | '.join(f'{value:.0e}' for value in row)} |")
    publish(
        "rounding", "\n".join(text), f"python tests/drills/rounding.py --steps {options.steps}", options.write
    )


def norms(
    options: argparse.Namespace, threads: int = 1, precision: str = "float32", nudge: float = 0.0
) -> list[float]:
    """The norm of the gradient at each step of a training."""
    preset = options.results.name
    experiment = load(REPOSITORY / "config.yaml", overrides={"preset": preset})
    change = {"precision": precision, "steps": options.steps, "log_interval": 1, "held_out": 0}
    build = state.build

    def nudged(*arguments, **more):
        model = build(*arguments, **more)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1 + nudge)
        return model

    manifest = read(options.results / "manifests/imagenet/1cls.csv")
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(state, "build", nudged):
        settings = Settings(
            architecture=experiment.backbones["resnet50"].architecture,
            recipe=experiment.recipes["simsiam"].model_copy(update=change),
            seed=0,
        )
        images = open_packed(options.results / "corpus/imagenet.safetensors", manifest)
        outputs = Outputs.in_folder(Path(folder))
        pretrain(images, settings, outputs, device="cpu", threads=threads, progress=False)
        lines = outputs.history.read_text().splitlines()
    return [json.loads(line)["gradient_norm"] for line in lines]


if __name__ == "__main__":
    main()
