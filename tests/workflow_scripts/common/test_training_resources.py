from spd.config.model import ComputeOptions
from workflow_scripts.common.training_resources import training_resources

COMPUTE = ComputeOptions(
    gpus=1, grace_seconds=60, trainings={"wide": {"gpus": 4}, "large": {"gpus": 8, "nodes": 2}}
)


def test_one_node_asks_for_its_gpus_and_a_warning():
    assert training_resources(COMPUTE, "sup") == {"nodes": 1, "gpu": 1, "slurm_extra": "--signal=TERM@60"}
    assert training_resources(COMPUTE, "wide", "a100")["gpu"] == 4


def test_several_nodes_are_one_srun_with_the_model_in_both_options():
    several = training_resources(COMPUTE, "large")
    assert several["slurm_extra"] == "--signal=TERM@60 --ntasks-per-node=1 --gpus-per-node=8"
    assert {key: several[key] for key in ("nodes", "gpu", "mpi", "tasks", "tasks_per_gpu")} == {
        "nodes": 2,
        "gpu": 16,
        "mpi": "srun",
        "tasks": 2,
        "tasks_per_gpu": 0,
    }
    assert training_resources(COMPUTE, "large", "a100")["slurm_extra"].endswith("--gpus-per-node=a100:8")
