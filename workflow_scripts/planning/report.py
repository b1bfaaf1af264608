"""A plan as Markdown: jobs and hours of each stage, wall time and price for G GPUs, disk, trainings."""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np

from spd.config.design import Design
from spd.config.model import Config
from spd.methods.options import seen_views
from spd.training.memory import SHARE, least_ranks, memory_of
from workflow_scripts.planning.counting import training_flops, view_bytes
from workflow_scripts.planning.graph import Node
from workflow_scripts.planning.rates import PUBLISHED
from workflow_scripts.planning.stages import Stages

KINDS = {  # files -> the stages that leave them
    "archives": ("download",),
    "unpacked archives (about their size)": ("unpack",),
    "packed corpus": ("corpus",),
    "image caches": ("images",),
    "backbones": ("pretrain", "import_backbone"),
    "anomaly maps": ("detect",),
}


class Plan:
    """The jobs of an experiment, in an order in which they can run, and what each takes.

    seconds: (jobs, 2), least and most by the published rates; 0 where a job need not run. gpus, cores, and
    bytes of its files: (jobs,). Nodes with GPUs have cores of their own, and the login node's jobs are small.
    """

    def __init__(self, experiment: Config, nodes: Mapping[int, Node], manifests: Path):
        """nodes: the graph of jobs. manifests: the folder of those that are made already."""
        self.experiment, self.costs = experiment, Stages(experiment, manifests)
        order = list(TopologicalSorter({i: node.after for i, node in nodes.items()}).static_order())
        place = {i: position for position, i in enumerate(order)}
        self.nodes = [nodes[i]._replace(after=tuple(place[j] for j in nodes[i].after)) for i in order]
        works = [self.costs.work(node.stage, node.at) for node in self.nodes]
        jobs, threads = list(zip(self.nodes, works, strict=True)), experiment.compute.threads
        seconds = [self.costs.seconds(node, work) if node.left else (0.0, 0.0) for node, work in jobs]
        self.seconds = np.array(seconds).reshape(-1, 2)
        self.stages = np.array([node.stage for node in self.nodes])
        self.gpus = np.array([node.gpus for node in self.nodes], dtype=int)
        self.cores = np.array([0 if node.gpus or node.local else threads for node in self.nodes], dtype=int)
        self.bytes = np.array([work.files for work in works], dtype=float)

    def longest_chain(self) -> np.ndarray:
        """(least, most) seconds of jobs that wait for each other, which no machine shortens."""
        ends = np.zeros_like(self.seconds)
        for i, node in enumerate(self.nodes):
            ends[i] = self.seconds[i] + ends[list(node.after)].max(axis=0, initial=0.0)
        return ends.max(axis=0, initial=0.0)

    def wall_time(self, gpus: int) -> np.ndarray:
        """(least, most) seconds: the longest chain, or the work divided by the GPUs or by the cores. No
        schedule is shorter."""
        work = self.gpus @ self.seconds / max(1, gpus), self.cores @ self.seconds / self.experiment.plan.cpus
        return np.maximum.reduce([self.longest_chain(), *work])

    def files(self) -> dict[str, float]:
        """Bytes of each kind of file at their most; temporary features count while detectors read them."""
        kinds = {kind: self.bytes[np.isin(self.stages, stages)].sum() for kind, stages in KINDS.items()}
        features, compute = np.sort(self.bytes[self.stages == "features"]), self.experiment.compute
        if compute.keep_features:
            return {**kinds, "features": features.sum()}
        jobs = max(1, self.experiment.plan.cpus // compute.threads)
        name = f"features of {jobs} detector jobs, of {features.sum() / 2**30:,.0f} GiB in all"
        return {**kinds, name: features[-jobs:].sum()}


def report(experiment: Config, nodes: Mapping[int, Node], manifests: Path) -> str:
    """The whole plan; arguments as those of `Plan`."""
    plan = Plan(experiment, nodes, manifests)
    sizes = [*plan.files().items(), ("**at its peak**", sum(plan.files().values()))]
    disk = _table(["files", "GiB"], [[name, f"{size / 2**30:,.1f}"] for name, size in sizes])
    parts = ["### Jobs", _jobs(plan), "### Time", *_time(plan), "### Disk", disk]
    if any(node.stage == "pretrain" and node.gpus for node in plan.nodes):
        parts += ["### Trainings", *_trainings(plan)]
    return "\n\n".join(parts) + "\n"


def _jobs(plan: Plan) -> str:
    left, rows = np.array([node.left for node in plan.nodes], dtype=int), []
    for stage in [*dict.fromkeys(plan.stages), None]:
        part = plan.stages == stage if stage else np.ones(len(left), dtype=bool)
        hours = [_range(of[part] @ plan.seconds[part] / 3600) for of in (plan.gpus, plan.cores)]
        rows.append([stage or "**all**", f"{part.sum():,}", f"{left[part].sum():,}", *hours])
    return _table(["stage", "jobs", "left", "GPU-hours", "core-hours"], rows)


def _time(plan: Plan) -> list[str]:
    options, work, chain = plan.experiment.plan, plan.gpus @ plan.seconds, plan.longest_chain()
    units = {"days": 86400, "hours": 3600, "minutes": 60}
    unit = next((unit for unit, seconds in units.items() if chain[1] >= 2 * seconds), "minutes")
    rows = [[f"wall time, {unit}"], ["GPUs at work, %"], ["price of GPU-hours"]]
    sizes = options.gpus if work.any() else (0,)
    for gpus in sizes:
        wall, cells = plan.wall_time(gpus), ["a training needs more", "", ""]
        if gpus >= max(plan.gpus, default=0):
            busy = np.sort(100 * work / np.maximum(wall * gpus, 1e-9))
            cells = [_range(wall / units[unit]), _range(busy), _range(options.price * work / 3600)]
        rows = [[*row, cell] for row, cell in zip(rows, cells, strict=True)]
    notes = [
        "* Wall time: the longest chain of jobs, or the work divided by the GPUs, whichever is longer. "
        "What does not pack well, queues, failures and probes come on top; the price is of GPUs at work.",
        f"* Longest chain of jobs, which no number of GPUs shortens: {_range(chain / units[unit])} {unit}.",
        f"* Rates (docs/cost.md): {'; '.join(one.source for one in PUBLISHED if one.gpu == options.gpu)}.",
        f"* `plan:` of the config: {options.gpu}, {options.price:g} a GPU-hour; {options.cpus:,} CPU cores, "
        f"{plan.experiment.compute.threads} a job, {options.cpu_gflops:g} GFLOP/s each; "
        f"{options.mb_per_second:g} MB/s; {options.start_seconds:g} s a start.",
        _linear_protocol(plan),
    ]
    if not work.any():
        notes.append("* No job asks for a GPU: trainings are counted at the CPUs' rate, without their views.")
    if plan.costs.unknown:
        notes.append(
            "* Not counted, since their images are unknown before their manifests are made: "
            f"{', '.join(sorted(plan.costs.unknown))}. Jobs on them take their start alone, and no disk."
        )
    used = {node.at["detector"] for node in plan.nodes if "detector" in node.at}
    if own := sorted(name for name in used if not plan.experiment.detector(name).path.startswith("spd.")):
        notes.append(
            f"* Of detectors of your own ({', '.join(own)}) nothing is known: a 1-class one takes its start "
            "alone, a 2-class one is counted as a classifier."
        )
    return [_table(["G", *(f"{gpus:,}" for gpus in sizes)], rows), "\n".join(notes)]


def _linear_protocol(plan: Plan) -> str:
    """What the target of this name takes: it is no part of the default target, and of no sum."""
    compute, backbones, seconds = plan.experiment.compute, Design(plan.experiment).evaluated, np.zeros(2)
    gpus = min(1, compute.gpus)
    for backbone in backbones:
        node = Node("linear_classifier", {"pretraining": backbone.pretraining}, gpus)
        seconds += plan.costs.seconds(node, plan.costs.work(node.stage, node.at))
    hours = _range(seconds * (gpus or compute.threads) / 3600)
    return (
        f"* Not in these sums, since it runs only when asked for: the target `linear_protocol` judges the "
        f"{len(backbones)} backbones of the tables in {hours} {'GPU' if gpus else 'core'}-hours."
    )


def _trainings(plan: Plan) -> list[str]:
    experiment, gib = plan.experiment, plan.experiment.plan.gpu_gib
    cards = list(dict.fromkeys(one.gpu for one in PUBLISHED))
    nodes = [node for node in plan.nodes if node.stage == "pretrain"]
    jobs = {node.at["pretraining"]: node for node in nodes}
    rows, large, sums = [], [], np.zeros((len(cards), 2))
    for name in (name for name in experiment.pretrainings if name in jobs):
        recipe, spd = experiment.recipes[experiment.pretrainings[name].recipe], experiment.term(name)
        architecture, work = experiment.architecture(name), plan.costs.work("pretrain", jobs[name].at)
        memory, ranks = memory_of(architecture, recipe, spd), max(1, jobs[name].gpus)
        least, size = gib and least_ranks(memory, recipe, gib), memory.gib(recipe.batch // ranks)
        large += [name] if gib and size > SHARE * gib else []
        flops, views = training_flops(architecture, recipe, spd), seen_views(recipe, spd)
        hours = np.array([work.gpu_seconds(card) for card in cards]) / 3600
        sums += hours * sum(node.at["pretraining"] == name for node in nodes)
        cells = [name, architecture, f"{len(views[1])}", f"{flops / 1e9:.1f}"]
        cells += [f"{view_bytes(*views) / 1e6:.0f}", f"{work.flops / flops / 1e6:.0f}", *map(_range, hours)]
        cells += [f"{recipe.batch:,}", f"{ranks}", f"{size:.0f}", f"{least or 'none'}" if gib else ""]
        rows.append(cells)
    rows.append(["**all**", *[""] * 5, *map(_range, sums), *[""] * 4])
    head = ["training", "network", "views", "GFLOP an image", "MB of views an image", "10^6 images"]
    head += [*(f"{card}-hours" for card in cards), "batch", "GPUs", "GiB of each", "GPUs that would do"]
    if not gib:
        return [_table(head, rows, text=2)]
    fit = f"too large are {', '.join(large)}: give them more (`compute.trainings`)" if large else "all fit"
    note = f"On GPUs of {gib:g} GiB (`plan.gpu_gib`), of which a training may take {SHARE:.0%}: {fit}."
    return [_table(head, rows, text=2), note]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], text: int = 1) -> str:
    """Markdown; the first `text` columns are text, the others numbers."""
    ruler = ["---"] * text + ["---:"] * (len(head) - text)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ruler, *rows])


def _range(ends: Iterable[float]) -> str:
    low, high = (f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.2g}" for value in ends)
    return low if low == high else f"{low} - {high}"
