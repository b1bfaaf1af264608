"""What one job of each stage takes: operations, CPU time, bytes moved, bytes left on the disk.

Networks are counted on torch's meta device (workflow_scripts.planning.cost), image counts are the publications' or those of a
manifest that is there. CPU times are what docs/performance.md and this module's constants say: minutes beside
the trainings' days. A stage that is not listed here (tables, pages, the store) takes `REPORT_SECONDS`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from spd.backbones.architectures import build
from spd.backbones.stages import StageNetwork
from spd.data.geometry import final_size
from spd.detectors.options import default_stages
from spd.detectors.projection import johnson_lindenstrauss_dim
from workflow_scripts.planning import cost, disk
from workflow_scripts.planning import twoclass_cost as twoclass
from workflow_scripts.planning.cost import PUBLISHED
from workflow_scripts.planning.disk import Images
from workflow_scripts.planning.files import Files
from workflow_scripts.planning.schedule import Job

EXAMINE_SECONDS = {"mvtec": 0.0234}
"""Core seconds an image to check a file, by reader: MVTec-AD's are large PNGs (docs/performance.md: 10,000 in
117 s of two cores)."""
EXAMINE_JPEG_SECONDS = 0.0022
"""The same for JPEGs of VisA's size (10,000 in 11 s of two cores)."""
DECODE_SECONDS = 0.020
"""Core seconds to decode and resize a photograph of 1500 x 1000 (benchmarks/images.py's; measured alike)."""
CORPUS_SECONDS = 0.003
"""Core seconds to decode and squash a photograph of 500 x 375 (benchmarks/packed.py's; measured alike)."""
DRAW_SECONDS = 30.0
"""Core seconds of a generated archive (docs/performance.md: 21, 5 and 7)."""
REPORT_SECONDS = 60.0
"""Of a table, a page or the store: an assumption of ours."""
VISA_SIZE = (1000, 1500)
"""Height and width that `mode: short` is taken to resize."""


@dataclass(frozen=True)
class Work:
    """What one job takes; see `Stages.seconds`."""

    flops: float = 0.0
    """Of networks: a GPU's work where the job has one."""
    view_bytes: float = 0.0
    """Bytes that making views reads and writes on a GPU."""
    core_seconds: float = 0.0
    core_flops: float = 0.0
    """Of a detector's products, on CPUs."""
    moved: int = 0
    """Bytes of a download or an unpacking."""
    kept: int = 0
    temporary: int = 0
    """Bytes written, that stay or that go with the last reader (`workflow_scripts.planning.schedule.Job`)."""


class Node(NamedTuple):
    """A job of the workflow's graph."""

    stage: str
    """Name of its rule."""
    at: Mapping[str, str]
    """Its wildcards."""
    gpus: int
    """GPUs that it asks for, on all nodes together."""
    local: bool
    """Whether it runs on the login node."""
    after: tuple[int, ...]
    """Indices of the jobs that it waits for."""
    reads: tuple[int, ...] = ()
    """Those of them whose temporary files it reads."""
    left: bool = True
    """Whether it is still to run."""


@dataclass
class Stages(Files):
    """Costs of the jobs of one experiment."""

    _found: dict[tuple, Work] = field(default_factory=dict, repr=False)

    def work(self, stage: str, at: Mapping[str, str]) -> Work:
        """What a job takes; `at`: its wildcards, as the rules name them."""
        key = (stage, *sorted(at.items()))
        if key not in self._found:
            known = getattr(self, f"_{stage}", None)
            self._found[key] = known(at) if known else Work(core_seconds=REPORT_SECONDS)
        return self._found[key]

    def seconds(self, node: Node, work: Work) -> tuple[float, float]:
        """(least, most) seconds of a job: the spread is that of the published throughputs and of the
        views' (`workflow_scripts.planning.cost`)."""
        plan, threads = self.experiment.plan, self.experiment.compute.threads
        core = plan.cpu_gflops * 1e9 * (1 if node.local else threads)
        fixed = plan.start_seconds + work.moved / (plan.mb_per_second * 1e6) + work.core_flops / core
        # What shows results is one process's work.
        fixed += work.core_seconds / (1 if node.local or node.stage not in _PARALLEL else threads)
        if not node.gpus:
            return (fixed + work.flops / core,) * 2
        rates = [work.flops / rate + work.view_bytes / bandwidth for rate, bandwidth in _rates(plan.gpu)]
        return fixed + min(rates) / node.gpus, fixed + max(rates) / node.gpus

    def jobs(self, nodes: Mapping[int, Node], *, most: bool) -> dict[int, Job]:
        """The graph's jobs for `workflow_scripts.planning.schedule`, at the published rates' slower or faster end.

        What is there already takes no time, but its room on the disk.
        """
        found = {}
        for index, node in nodes.items():
            work = self.work(node.stage, node.at)
            if not node.left:
                found[index] = Job(0.0, {}, node.after, kept=work.kept)
                continue
            # Nodes with GPUs have CPUs of their own; the login node's jobs are few.
            needs = {} if node.local else {"cpus": self.experiment.compute.threads}
            needs = {"gpus": node.gpus} if node.gpus else needs
            length = self.seconds(node, work)[most]
            found[index] = Job(length, needs, node.after, work.kept, work.temporary, node.reads)
        return found

    # --- data ----------------------------------------------------------------------------------------

    def _demo_archive(self, at: Mapping[str, str]) -> Work:
        return Work(core_seconds=DRAW_SECONDS)

    def _download(self, at: Mapping[str, str]) -> Work:
        size = self.kept("download", at)
        return Work(moved=size, kept=size)

    def _unpack(self, at: Mapping[str, str]) -> Work:
        size = self.kept("unpack", at)
        return Work(moved=2 * size, kept=size)

    def _examine(self, at: Mapping[str, str]) -> Work:
        reader = self.experiment.datasets[at["dataset"]].reader
        each = EXAMINE_SECONDS.get(reader, EXAMINE_JPEG_SECONDS)
        return Work(core_seconds=each * self.files_of(at["dataset"]))

    def _manifest(self, at: Mapping[str, str]) -> Work:
        return Work()

    def _draws(self, at: Mapping[str, str]) -> Work:
        return Work()

    def _corpus(self, at: Mapping[str, str]) -> Work:
        return Work(core_seconds=CORPUS_SECONDS * self.corpus_images(), kept=self.kept("corpus", at))

    def _images(self, at: Mapping[str, str]) -> Work:
        images = self.images_of(at["dataset"], at["setup"], at["part"])
        return Work(
            core_seconds=DECODE_SECONDS * sum(one.train + one.test for one in images),
            kept=self.kept("images", at),
        )

    # --- networks ------------------------------------------------------------------------------------

    def _architecture(self, row: str) -> str:
        return disk.network(self.experiment, row)[0]

    def _pretrain(self, at: Mapping[str, str]) -> Work:
        row = self.experiment.pretrainings[at["pretraining"]]
        architecture = self._architecture(at["pretraining"])
        counted = cost.cost(
            architecture,
            self.experiment.recipes[row.recipe],
            self.experiment.spd[row.spd],
            images=self.corpus_images(),
        )
        return Work(
            flops=counted.images * counted.flops,
            view_bytes=counted.images * counted.view_bytes,
            kept=disk.parameter_bytes(architecture),
        )

    def _linear_classifier(self, at: Mapping[str, str]) -> Work:
        """Forward passes of one view of every image, each epoch; a supervised training has measured its
        classifier."""
        row = self.experiment.pretrainings[at["pretraining"]]
        method = row.recipe and self.experiment.recipes[row.recipe].method
        if method == "supervised":
            return Work()
        _, options = self.experiment.linear_protocol.of(method, row.source and row.source.source)
        images = options.epochs * self.corpus_images()
        return Work(
            flops=images * cost.forward_flops(self._architecture(at["pretraining"]), options.size),
            view_bytes=images * cost.view_traffic(options.views(), ("x",)),
        )

    def _link_backbone(self, at: Mapping[str, str]) -> Work:
        return Work()

    def _import_backbone(self, at: Mapping[str, str]) -> Work:
        return Work(kept=disk.parameter_bytes(self._architecture(at["pretraining"])))

    def _features(self, at: Mapping[str, str]) -> Work:
        architecture, stages = disk.network(self.experiment, at["pretraining"])
        geometry = self.geometry(at)
        images = self.images_of(at["dataset"], at["setup"], at["part"])
        size = sum(disk.feature_bytes(one, architecture, stages, geometry) for one in images)
        keep = self.experiment.compute.keep_features
        each = _forward_flops(architecture, stages, final_size(*VISA_SIZE, geometry))
        return Work(
            flops=each * sum(one.train + one.test for one in images),
            kept=size if keep else 0,
            temporary=0 if keep else size,
        )

    # --- detectors -----------------------------------------------------------------------------------

    def _detect(self, at: Mapping[str, str]) -> Work:
        profile = self.experiment.detectors[at["detector"]][at["profile"]]
        architecture, stages = disk.network(self.experiment, at["pretraining"])
        shapes = disk.stage_shapes(architecture, stages, final_size(*VISA_SIZE, self.geometry(at)))
        images = self.images_of(at["dataset"], at["setup"], at["part"])
        # Nothing is known of a detector of the user's own.
        products = {"padim": _padim, "patchcore": _patchcore}.get(at["detector"])
        return Work(
            core_flops=2 * sum(products(profile.options, shapes, one) for one in images) if products else 0.0,
            kept=self.kept("detect", at),
        )

    def _finetune(self, at: Mapping[str, str], setup: str) -> Work:
        profile = self.experiment.detectors[at["detector"]][at["profile"]]
        size = final_size(*VISA_SIZE, self.experiment.geometries[profile.geometry])
        few, total = self.experiment.fewshot, twoclass.Cost()
        shots = few.shots if setup == "2cls_fewshot" else (None,)
        for one in self.images_of(at["dataset"], setup, at["part"]):
            for k in shots:
                total += twoclass.cost(
                    self._architecture(at["pretraining"]),
                    profile.options,
                    size,
                    train_images=2 * k if k else one.train,
                    test_images=one.test,
                    trainings=few.draws if k else 1,
                )
        return Work(flops=total.flops)

    def _finetune_fewshot(self, at: Mapping[str, str]) -> Work:
        return self._finetune(at, "2cls_fewshot")

    def _finetune_highshot(self, at: Mapping[str, str]) -> Work:
        return self._finetune(at, "2cls_highshot")


_PARALLEL = {"examine", "corpus", "images"}
"""Stages whose CPU time is divided among the job's cores."""


def _padim(options, shapes: Mapping[str, tuple[int, int, int]], images: Images) -> float:
    """Multiply-adds: a covariance or Gram matrix, its factor, and the distances, at each position."""
    wanted = default_stages("padim", tuple(shapes)) if options.stages == "default" else options.stages
    height, width = shapes[wanted[0]][1:]
    dim = min(options.dim, sum(shapes[stage][0] for stage in wanted))
    rank = min(dim, images.train)
    return height * width * (dim * rank * (images.train + images.test) / 2 + rank**3 / 3)


def _patchcore(options, shapes: Mapping[str, tuple[int, int, int]], images: Images) -> float:
    """Multiply-adds: the coreset's distances in the projection, then each test patch to the coreset."""
    wanted = default_stages("patchcore", tuple(shapes)) if options.stages == "default" else options.stages
    positions = math.prod(shapes[wanted[0]][1:])
    patches = max(1, images.train * positions)
    kept = options.coreset_size or max(1, int(patches * options.coreset_share))
    width = options.dim if options.embedding == "official" else sum(shapes[stage][0] for stage in wanted)
    projected = options.projection_dim
    if projected == "johnson-lindenstrauss":
        projected = johnson_lindenstrauss_dim(patches, options.projection_eps)
    choosing = patches * kept * (width if options.projection == "none" else projected)
    return (choosing if kept < patches else 0) + images.test * positions * kept * width


@lru_cache
def _rates(gpu: str) -> list[tuple[float, float]]:
    """(FLOP/s, bytes/s of making views) of each published training on a GPU."""
    return [
        (one.images_per_second * cost.flops_of("resnet50", one.recipe), one.view_bandwidth)
        for one in PUBLISHED
        if one.gpu == gpu
    ]


@lru_cache
def _forward_flops(architecture: str, stages: tuple[str, ...], size: tuple[int, int]) -> float:
    """Operations of one image, up to the last stage that is read; 2 a multiply-add."""
    with torch.device("meta"), torch.inference_mode():
        network = StageNetwork(build(architecture), stages, image_size=size).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, *size))
    return counter.get_total_flops()
