"""A plan as Markdown: jobs and hours of each stage; wall time, peak disk and price for G GPUs."""

from collections import Counter
from collections.abc import Mapping

from spd.config.model import Config
from spd.training.memory import SHARE
from workflow_scripts.planning import gpu_memory
from workflow_scripts.planning.cost import PUBLISHED
from workflow_scripts.planning.disk import Counts
from workflow_scripts.planning.schedule import (
    Job,
    ScheduleError,
    longest_ways,
    makespan,
    peak_bytes,
    schedule,
    total,
)
from workflow_scripts.planning.stages import Node, Stages


def report(experiment: Config, nodes: Mapping[int, Node], counts: Counts) -> str:
    """The whole plan of `nodes`, the graph of an experiment's jobs.

    Ranges are the least and the most that the published throughputs give.
    """
    stages = Stages(experiment, counts)
    ends = [stages.jobs(nodes, most=most) for most in (False, True)]
    parts = [_stages(nodes, ends), _machines(experiment, ends), *_memory(experiment, nodes)]
    parts.append("\n".join([*_assumptions(experiment, nodes), _linear_protocol(experiment, stages)]))
    if stages.unknown:
        names = ", ".join(sorted(stages.unknown))
        parts.append(
            f"Not counted, since nobody knows their images before their manifests are made: {names}. "
            "Jobs on them take their start alone, and no disk."
        )
    return "\n\n".join(parts) + "\n"


def _stages(nodes: Mapping[int, Node], ends: list[dict[int, Job]]) -> str:
    jobs, left = Counter(), Counter()
    depth: dict[int, int] = {}
    for i in reversed(longest_ways(ends[0])):  # what is waited for comes first
        depth[i] = 1 + max((depth[other] for other in nodes[i].after), default=0)
    for node in (nodes[i] for i in sorted(nodes, key=depth.get)):
        jobs[node.stage] += 1
        left[node.stage] += node.left
    rows = ["| stage | jobs | left | GPU-hours | core-hours |", "|---|---:|---:|---:|---:|"]
    for stage in [*jobs, None]:
        of = [[job for i, job in jobs_.items() if stage is None or nodes[i].stage == stage] for jobs_ in ends]
        name = stage or "**all**"
        count = f"{sum(jobs.values()) if stage is None else jobs[stage]:,}"
        remaining = f"{sum(left.values()) if stage is None else left[stage]:,}"
        hours = " | ".join(_range(*(total(part, kind) / 3600 for part in of)) for kind in ("gpus", "cpus"))
        rows.append(f"| {name} | {count} | {remaining} | {hours} |")
    return "\n".join(rows)


def _machines(experiment: Config, ends: list[dict[int, Job]]) -> str:
    plan = experiment.plan
    spent = [total(jobs.values(), "gpus") / 3600 for jobs in ends]
    chains = [max(longest_ways(jobs).values(), default=0.0) for jobs in ends]
    unit, seconds = _unit(max(chains))
    names = (f"wall time, {unit}", "GPUs at work, %", "peak disk, GiB", "price of GPU-hours")
    rows: dict[str, list[str]] = {name: [] for name in names}
    sizes = plan.gpus if any(spent) else (0,)
    for gpus in sizes:
        try:
            spans = [schedule(jobs, {"gpus": gpus, "cpus": plan.cpus}) for jobs in ends]
        except ScheduleError:
            cells = ["a training needs more", "", "", ""]
        else:
            walls = [makespan(one) for one in spans]
            busy = [
                360_000 * hours / (wall * gpus) if wall * gpus else 0.0
                for hours, wall in zip(spent, walls, strict=True)
            ]
            peak = max(peak_bytes(jobs, one) for jobs, one in zip(ends, spans, strict=True))
            cells = [
                _range(*(wall / seconds for wall in walls)),
                _range(*sorted(busy)),
                f"{peak / 2**30:,.0f}",
                _range(*(plan.price * hours for hours in spent)),
            ]
        for row, cell in zip(rows.values(), cells, strict=True):
            row.append(cell)
    head = [f"| G | {' | '.join(f'{gpus:,}' for gpus in sizes)} |", "|---" + "|---:" * len(sizes) + "|"]
    table = [*head, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())]
    longest = _range(*(chain / seconds for chain in chains))
    return "\n".join(
        [*table, "", f"Longest chain of jobs, which no number of GPUs shortens: {longest} {unit}."]
    )


def _memory(experiment: Config, nodes: Mapping[int, Node]) -> list[str]:
    """Trainings on GPUs that are counted to need more memory than theirs have, and how many would do."""
    gib = experiment.plan.gpu_gib
    trained = [node.at["pretraining"] for node in nodes.values() if node.stage == "pretrain" and node.gpus]
    if gib is None or not trained:
        return []
    counted = gpu_memory.trainings(experiment, dict.fromkeys(trained), gib)
    large = [
        f"* {one.name}: {one.gib:,.0f} GiB of each of {one.ranks}; "
        + (f"{one.least} would do" if one.least else "no number that divides its batch would do")
        for one in counted
        if one.gib > SHARE * gib
    ]
    if not large:
        return [f"Every training fits GPUs of {gib:g} GiB, as counted (`plan.gpu_gib`, docs/cost.md)."]
    head = f"Too large for GPUs of {gib:g} GiB, as counted (`plan.gpu_gib`, docs/cost.md)"
    return ["\n".join([f"{head}; `compute.trainings` gives them more:", *large])]


def _unit(seconds: float) -> tuple[str, int]:
    """The largest unit of which it is at least two, and its seconds."""
    units = (("days", 86400), ("hours", 3600), ("minutes", 60))
    return next((unit for unit in units if seconds >= 2 * unit[1]), units[-1])


def _assumptions(experiment: Config, nodes: Mapping[int, Node]) -> list[str]:
    plan, compute = experiment.plan, experiment.compute
    rates = "; ".join(one.source for one in PUBLISHED if one.gpu == plan.gpu)
    widest = max((node.gpus for node in nodes.values()), default=0)
    trained = {node.gpus for node in nodes.values() if node.stage == "pretrain"} - {0}
    taken = sorted(trained or {widest})
    ranks = f"{taken[0]}" if len(taken) == 1 else f"{taken[0]} to {taken[-1]}"
    return [
        f"* {plan.gpu} throughputs: {rates} (docs/cost.md). A training takes {ranks} "
        f"GPU{'s' * (taken[-1] != 1)}; several share it without loss beyond that of the published runs."
        if widest
        else "* No job asks for a GPU: trainings are counted at the CPUs' rate, without their views.",
        f"* `plan:` of the config: {plan.price:g} a GPU-hour; {plan.cpus:,} CPU cores, {compute.threads} a "
        f"job, {plan.cpu_gflops:g} GFLOP/s each; {plan.mb_per_second:g} MB/s; "
        f"{plan.start_seconds:g} s a start.",
        "* List scheduling of the graph that Snakemake plans, the job with the longest way to the end first. "
        "Waiting in the queue, failures and probes come on top; the price is of GPUs at work.",
    ]


def _linear_protocol(experiment: Config, stages: Stages) -> str:
    """What the target of this name takes: it is no part of the default target, and of no sum."""
    gpus = min(1, experiment.compute.gpus)
    backbones = {
        (name, seed)
        for table in experiment.tables.values()
        for name in table.rows
        for seed in experiment.pretrainings[name].seeds
    }
    nodes = [
        Node("linear_classifier", {"pretraining": name}, gpus, False, ()) for name, _ in sorted(backbones)
    ]
    hours = [stages.seconds(node, stages.work(node.stage, node.at)) for node in nodes]
    spent = _range(
        *(sum(end) / 3600 * (gpus or experiment.compute.threads) for end in zip(*hours, strict=True))
    )
    return (
        f"* Not in these sums, since only who asks for it gets it: the target `linear_protocol` judges the "
        f"{len(nodes)} backbones of the tables in {spent} {'GPU' if gpus else 'core'}-hours "
        "(docs/training.md)."
    )


def _range(least: float, most: float) -> str:
    low, high = (f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.2g}" for value in (least, most))
    return low if low == high else f"{low} - {high}"
