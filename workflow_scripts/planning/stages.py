"""What one job of each stage takes: operations, CPU time, bytes moved and bytes left on the disk."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from spd.detectors.finetuned.training import steps_of
from spd.detectors.options import default_stages
from spd.detectors.projection import johnson_lindenstrauss_dim
from spd.methods.options import seen_views
from workflow_scripts.planning import rates
from workflow_scripts.planning.counting import (
    fine_tuning_flops,
    forward,
    parameter_bytes,
    training_flops,
    view_bytes,
)
from workflow_scripts.planning.files import Files, Images
from workflow_scripts.planning.graph import Node


@dataclass(frozen=True)
class Work:
    """What one job takes."""

    flops: float = 0.0  # of networks: a GPU's work where the job has one
    view_bytes: float = 0.0  # that making views reads and writes on a GPU
    core_seconds: float = 0.0
    files: int = 0  # bytes that it leaves on the disk

    def gpu_seconds(self, gpu: str) -> tuple[float, float]:
        """(least, most) seconds of one GPU at the published rates."""
        seconds = [self.flops / rate + self.view_bytes / bandwidth for rate, bandwidth in _rates(gpu)]
        return min(seconds), max(seconds)


@cache
def _rates(gpu: str) -> list[tuple[float, float]]:
    """(FLOP/s, bytes/s of making views) of each published training on a GPU."""
    return [
        (one.images_per_second * training_flops("resnet50", one.recipe), one.view_bandwidth)
        for one in rates.PUBLISHED
        if one.gpu == gpu
    ]


SHARED = ("examine", "corpus", "images", "detect")
"""Stages whose work is divided among the job's cores; what shows results is one process's."""


class Stages(Files):
    """Costs of the jobs of one experiment."""

    def seconds(self, node: Node, work: Work) -> tuple[float, float]:
        """(least, most) seconds of a job; the spread is that of the published rates."""
        plan, threads = self.experiment.plan, 1 if node.local else self.experiment.compute.threads
        fixed = plan.start_seconds + work.core_seconds / (threads if node.stage in SHARED else 1)
        if not node.gpus:
            return (fixed + work.flops / (plan.cpu_gflops * 1e9 * threads),) * 2
        least, most = work.gpu_seconds(plan.gpu)
        return fixed + least / node.gpus, fixed + most / node.gpus

    def work(self, stage: str, at: Mapping[str, str]) -> Work:
        """What a job takes; `at`: its wildcards, as the rules name them."""
        files, rate = self.bytes_of(stage, at), self.experiment.plan.mb_per_second * 1e6
        match stage:
            case "download":
                return Work(core_seconds=files / rate, files=files)
            case "unpack":  # read and written
                return Work(core_seconds=2 * files / rate, files=files)
            case "demo_archive":
                return Work(core_seconds=rates.DRAW_SECONDS)
            case "examine":
                entry = self.experiment.datasets[at["dataset"]]
                one = rates.EXAMINE_SECONDS.get(entry.reader, rates.EXAMINE_JPEG_SECONDS)
                if at["dataset"] == self.experiment.corpus.dataset:
                    return Work(core_seconds=one * sum(self.corpus()[:2]))
                return Work(core_seconds=one * self._number({**at, "setup": entry.setups[0]}))
            case "manifest" | "draws" | "link_backbone":
                return Work()
            case "corpus":
                return Work(core_seconds=rates.CORPUS_SECONDS * self.corpus().train, files=files)
            case "images":
                return Work(core_seconds=rates.DECODE_SECONDS * self._number(at), files=files)
            case "pretrain":
                return self._pretrain(at["pretraining"])
            case "import_backbone":
                return Work(files=parameter_bytes(self.experiment.architecture(at["pretraining"])))
            case "linear_classifier":
                return self._linear_classifier(at["pretraining"])
            case "features":
                (flops, shapes), images = self._forward(at), self._number(at)
                return Work(images * flops, files=images * 4 * sum(map(math.prod, shapes.values())))
            case "detect":
                # Nothing is known of a detector of the user's own.
                products = {"padim": _padim, "patchcore": _patchcore}.get(at["detector"], lambda *_: 0)
                options, (_, shapes) = self._options(at), self._forward(at)
                flops = 2 * sum(products(options, shapes, one) for one in self.images(**at))
                return Work(core_seconds=flops / (self.experiment.plan.cpu_gflops * 1e9), files=files)
            case "finetune_fewshot":
                few = self.experiment.fewshot
                return self._finetune(at, "2cls_fewshot", {2 * k: few.draws for k in few.shots})
            case "finetune_highshot":
                return self._finetune(at, "2cls_highshot", {None: 1})
        return Work(core_seconds=rates.REPORT_SECONDS)

    def _number(self, at: Mapping[str, str]) -> int:
        return sum(images.train + images.test for images in self.images(**at))

    def _pretrain(self, name: str) -> Work:
        recipe = self.experiment.recipes[self.experiment.pretrainings[name].recipe]
        architecture, spd = self.experiment.architecture(name), self.experiment.term(name)
        images, validation, _ = self.corpus()
        held_out = 0 if validation else recipe.held_out  # a corpus with val/ is judged on that
        trained = images - round(images * held_out if held_out < 1 else held_out)
        seen = (recipe.steps or recipe.epochs * (trained // recipe.batch)) * recipe.batch
        return Work(
            flops=seen * training_flops(architecture, recipe, spd),
            view_bytes=seen * view_bytes(*seen_views(recipe, spd)),
            files=parameter_bytes(architecture),
        )

    def _linear_classifier(self, name: str) -> Work:
        """Forward passes of one view of every image, each epoch; a supervised one is measured already."""
        row = self.experiment.pretrainings[name]
        method = row.recipe and self.experiment.recipes[row.recipe].method
        if method == "supervised":
            return Work()
        _, options = self.experiment.linear_protocol.of(method, row.source and row.source.source)
        images = options.epochs * self.corpus().train
        flops, _ = forward(self.experiment.architecture(name), (options.size, options.size))
        return Work(images * flops, images * view_bytes(options.views(), ("x",)))

    def _forward(self, at: Mapping[str, str]) -> tuple[float, dict[str, tuple[int, int, int]]]:
        """(operations, maps' shapes) of one image that a detector's features are made of."""
        name = at["pretraining"]
        return forward(self.experiment.architecture(name), self.size(at), self.experiment.stages(name))

    def _options(self, at: Mapping[str, str]):
        return self.experiment.profile(at["detector"], at["profile"]).options

    def _finetune(self, at: Mapping[str, str], setup: str, trainings: Mapping[int | None, int]) -> Work:
        """trainings: training images (None: all of the object's) -> how often, for each object."""
        options, architecture = self._options(at), self.experiment.architecture(at["pretraining"])
        step, scored = fine_tuning_flops(architecture, options, self.size(at))
        flops = 0.0
        for one in self.images(at["dataset"], setup, at["part"]):
            for images, times in ((images or one.train, times) for images, times in trainings.items()):
                seen = steps_of(images, options) * min(options.batch, images)
                flops += times * (seen * step + one.test * scored)
        return Work(flops)


def _padim(options, shapes: Mapping[str, tuple[int, int, int]], images: Images) -> float:
    """Multiply-adds: a covariance or Gram matrix, its factor, and the distances, at each position."""
    stages = default_stages("padim", tuple(shapes)) if options.stages == "default" else options.stages
    height, width = shapes[stages[0]][1:]
    dim = min(options.dim, sum(shapes[stage][0] for stage in stages))
    rank = min(dim, images.train)
    return height * width * (dim * rank * (images.train + images.test) / 2 + rank**3 / 3)


def _patchcore(options, shapes: Mapping[str, tuple[int, int, int]], images: Images) -> float:
    """Multiply-adds: the coreset's distances in the projection, then each test patch to the coreset."""
    stages = default_stages("patchcore", tuple(shapes)) if options.stages == "default" else options.stages
    positions = math.prod(shapes[stages[0]][1:])
    patches = max(1, images.train * positions)
    coreset = options.coreset_size or max(1, int(patches * options.coreset_share))
    width = options.dim if options.embedding == "official" else sum(shapes[stage][0] for stage in stages)
    projected = options.projection_dim
    if projected == "johnson-lindenstrauss":
        projected = johnson_lindenstrauss_dim(patches, options.projection_eps)
    choice = patches * coreset * (width if options.projection == "none" else projected)
    return (choice if coreset < patches else 0) + images.test * positions * coreset * width
