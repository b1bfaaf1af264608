"""What a plan reckons with. No result depends on it. Imports no torch."""

from typing import Annotated, Literal

from pydantic import Field

from spd.options import Options


class PlanOptions(Options):
    """The machine that the target `plan` reckons with; nothing else reads these keys."""

    gpus: Annotated[tuple[Annotated[int, Field(ge=1, le=100_000)], ...], Field(min_length=1)] = (1, 8, 64)
    """G: sizes of the cluster, in GPUs; a column each."""
    gpu: Literal["A100", "V100"] = "A100"
    """The GPU whose published throughputs are taken (docs/cost.md)."""
    gpu_gib: Annotated[float, Field(gt=0)] | None = None
    """GiB of memory of each GPU: the plan names the trainings that would not fit. A card of 80 GB has 79;
    `null`: not looked at. (ours)"""
    price: float = Field(2.0, ge=0)
    """Price of one GPU for one hour, in any currency. (ours)"""
    cpus: int = Field(128, ge=1)
    """CPU cores that all running jobs share. (ours)"""
    cpu_gflops: float = Field(30.0, gt=0)
    """10^9 operations a second that one core keeps up in a detector's products. (ours)"""
    mb_per_second: float = Field(50.0, gt=0)
    """10^6 bytes a second of a download and of a shared disk. (ours)"""
    start_seconds: float = Field(10.0, ge=0)
    """What the start of one job costs: Slurm, Snakemake, imports. (ours, docs/cluster.md)"""
