"""What one training asks of Snakemake and of Slurm."""

from typing import Any

from spd.config.model import ComputeOptions


def training_resources(compute: ComputeOptions, pretraining: str, gpu_model: Any = None) -> dict[str, Any]:
    """Snakemake's resources of a pre-training; several nodes are one `srun` of the job itself.

    gpu_model: as Snakemake was told (`--set-resources pretrain:gpu_model=...`).
    """
    gpus, nodes = compute.of(pretraining)
    # Warn a training before its time limit, so that it saves and goes on later (workflow_scripts/common/launch.py).
    extra = [f"--signal=TERM@{compute.grace_seconds}"]
    resources = {"nodes": nodes, "gpu": nodes * gpus}
    if nodes > 1:
        resources |= {"mpi": "srun", "tasks": nodes, "tasks_per_gpu": 0}
        extra.append("--ntasks-per-node=1")
        # Slurm wants the model in both of its options or in none.
        model = f"{getattr(gpu_model, 'raw', gpu_model)}:" if gpu_model else ""
        extra += [f"--gpus-per-node={model}{gpus}"] if gpus else []
    return {**resources, "slurm_extra": " ".join(extra)}
