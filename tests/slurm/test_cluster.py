"""The profile slurm/ on a real Slurm of two nodes: `make test-slurm` (root, Debian packages, some 15 min).

First the whole preset tiny, with slurmctld away for a minute in its midst; then, all at once, one training
for each thing that goes wrong. Each step of a training leaves a line, so that what ran twice is counted.
"""

import os
import re
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.skipif("SPD_TEST_SLURM" not in os.environ, reason="starts a Slurm here: make test-slurm"),
    pytest.mark.timeout(3600),
]


@pytest.fixture(scope="module")
def whole(lab, tools, tmp_path_factory):
    """The preset tiny from nothing, on a cluster of two GPUs, without internet in its jobs."""
    workspace = tools["Workspace"](tmp_path_factory.mktemp("whole") / "spd")
    scratch = workspace.folder / "scratch"
    compute = {"gpus": 1, "device": "cpu", "scratch": str(scratch)}
    seen, over = [], threading.Event()

    def watch():
        while not over.wait(1):
            running = tools["shell"](
                "squeue", "--noheader", "--states=running", "--format=%i %k %N %b", check=False
            )
            seen.append([line.split() for line in running.splitlines()])

    watcher = threading.Thread(target=watch)
    watcher.start()
    run = workspace.start(overlay={"compute": compute}, SPD_TEST_OFFLINE="yes")
    begun = set()

    def three_work():
        steps = tools["shell"]("squeue", "--steps", "--noheader", "--format=%i", check=False).split()
        begun.update(step for step in steps if step.endswith(".0"))
        return len(begun) >= 3

    try:
        tools["until"](three_work, "three jobs in their steps")
        starts = start_steps(tools, tmp_path_factory.mktemp("starts"))
        time.sleep(2)
        lab("away")
        time.sleep(60)
        lab("back")
        status = run.wait()
    finally:
        over.set()
        watcher.join()
    workspace.run, workspace.status, workspace.seen, workspace.scratch = run, status, seen, scratch
    workspace.starts = starts
    return workspace


def start_steps(tools, folder, count=12):
    """Submits jobs that begin a step each, one every half second; returns the files of their output."""
    wrapper = f"{REPOSITORY / 'slurm/bin'}:$PATH"
    for number in range(count):
        script = folder / f"{number}.sh"
        script.write_text(
            f'#!/bin/bash\nsleep {number / 2}\nPATH="{wrapper}"\n'
            "srun -n1 sh -s <<<'echo in its step'\necho status $?\n"
        )
        output = f"--output={script.with_suffix('.txt')}"
        tools["shell"]("sbatch", "--requeue", "--partition=cpu", "--mem=100", output, str(script))
    return [folder / f"{number}.txt" for number in range(count)]


def test_steps_that_begin_while_slurmctld_goes_away_begin_once_it_is_back(whole):
    said = [path.read_text() for path in whole.starts]
    assert all(text.count("in its step") == 1 for text in said), said
    assert all(text.endswith("status 0\n") for text in said), said


def test_whole_preset_runs_through_the_profile_with_slurmctld_away_for_a_minute(whole):
    assert whole.status == 0, whole.run.said()[-6000:]
    tables = whole.folder / "results/tiny/tables"
    assert (tables / "padim_1class.csv").stat().st_size > 0
    assert (whole.folder / "results/tiny/mlflow/mlflow.db").exists()
    assert "Trying to restart" not in whole.run.said(), whole.logs()


def test_no_more_jobs_at_once_than_gpus(whole):
    def with_gpu(jobs):
        return [
            node
            for _, comment, node, *_ in jobs
            if comment.startswith(("rule_pretrain", "rule_features", "rule_finetune"))
        ]

    counts = [with_gpu(jobs) for jobs in whole.seen]
    assert all(len(nodes) == len(set(nodes)) for nodes in counts), "two on the one GPU of a node"
    assert max(map(len, counts)) == 2, "both GPUs were in use"


def test_cells_are_arrays_and_features_one_group_a_backbone(whole):
    said = whole.run.said()
    assert "Submitted array job" in said
    groups = re.findall(r"Group job (features_\w+)", said)
    backbones = {
        path.parent.name for path in (whole.folder / "results/tiny/backbones").glob("*/seed0.safetensors")
    }
    assert sorted(groups) == sorted(f"features_{name}_0" for name in backbones)


def test_detectors_read_features_from_the_nodes_disk_and_leave_it_empty(whole):
    logs = list((whole.folder / "results/tiny/logs/detect").glob("*.log"))
    assert len(logs) == len(list((whole.folder / "results/tiny/cells").rglob("*.json"))) > 0
    assert all("is copied to" in path.read_text() for path in logs)
    assert list(whole.scratch.iterdir()) == []


@pytest.fixture(scope="module")
def cases(whole, tools, tmp_path_factory):
    """Every case below, started together: most of each is waiting."""
    folder = tmp_path_factory.mktemp("cases")
    assert whole.status == 0
    with ThreadPoolExecutor(len(CASES)) as pool:
        started = {}
        for name, (case, changes) in CASES.items():
            started[name] = pool.submit(case, whole.copy(folder / name, changes), tools)
        yield lambda name: started[name].result()


def once(steps):
    return list(range(steps))


def fail_once(workspace, tools):
    run = workspace.train(steps=6, seconds=0, SPD_TEST_ONCE=f"{workspace.folder / 'failed'}=raise")
    return run.wait(), run, workspace


def test_a_job_that_fails_once_runs_again(cases):
    status, run, workspace = cases("fail_once")
    assert status == 0, run.said()[-4000:]
    first, second = run.jobs()
    assert workspace.steps() == [(first, step) for step in range(4)] + [(second, step) for step in range(6)]


def scancel(workspace, tools):
    run = workspace.train(steps=30, seconds=1)
    workspace.reach(5)
    tools["shell"]("scancel", run.jobs()[-1])
    workspace.hurry()
    return run.wait(), run, workspace


def test_a_cancelled_training_is_resumed_from_its_checkpoint(cases):
    status, run, workspace = cases("scancel")
    assert status == 0, run.said()[-4000:]
    first, second = run.jobs()
    done = workspace.steps()
    assert [step for _, step in done] == once(30), "each step ran once"
    assert {name for name, _ in done} == {first, second}


def time_limit(workspace, tools):
    run = workspace.train("--retries", "0", steps=400, seconds=1)
    workspace.reach(0)
    number = run.jobs()[0]
    for limits_hit in (1, 2):
        workspace.reach(workspace.steps()[-1][1] + 3)
        tools["shell"]("scontrol", "update", f"JobId={number}", "TimeLimit=1")  # minutes, soon over
        tools["until"](lambda hit=limits_hit: int(tools["job"](number)["Restarts"]) == hit, "a requeue")
        reached = workspace.steps()[-1][1]
        tools["shell"]("scontrol", "update", f"JobId={number}", "TimeLimit=60")
        workspace.reach(reached + 1)
    workspace.hurry()
    return run.wait(), run, workspace, tools["job"](number)


def test_a_training_goes_on_over_time_limits_without_a_retry(cases):
    status, run, workspace, job = cases("time_limit")
    assert status == 0, run.said()[-4000:]
    assert len(run.jobs()) == 1, "one job for Snakemake"
    assert job["Restarts"] == "2"
    assert [step for _, step in workspace.steps()] == once(400), "each step ran once"


def two_nodes_preempted(workspace, tools):
    compute = {"gpus": 1, "nodes": 2}
    run = workspace.train("--retries", "0", steps=60, seconds=1, compute=compute)
    workspace.reach(3)
    used = tools["job"](run.jobs()[0])
    urgent = [
        "sbatch",
        "--partition=urgent",
        "--nodelist=node2",
        "--gpus=1",
        "--output=/dev/null",
        "--wrap=sleep 5",
    ]
    tools["shell"](*urgent, cwd=workspace.folder)
    tools["until"](lambda: int(tools["job"](run.jobs()[0])["Restarts"]), "a requeue")
    workspace.hurry()
    status = run.wait()
    return status, run, workspace, used, tools["job"](run.jobs()[0])


def one_process(workspace, tools):
    run = workspace.train(steps=60, seconds=0)
    return run.wait(), run, workspace


def test_two_nodes_and_a_preemption_give_the_result_of_one_process(cases, tools):
    status, run, workspace, used, job = cases("two_nodes_preempted")
    assert status == 0, run.said()[-4000:]
    made = (workspace.folder / tools["BACKBONE"]).resolve().parent.name
    log = (workspace.folder / f"results/tiny/logs/pretrain/simsiam-seed0-{made}.log").read_text()
    assert used["NumNodes"] == "2" and used["NodeList"] == "node[1-2]"
    assert int(job["Restarts"]) >= 1
    assert "2 x cpu" in log
    for rank in range(2):
        assert [step for _, step in workspace.steps(rank)] == once(60), "each step ran once on each rank"
    alone_status, alone_run, alone = cases("one_process")
    assert alone_status == 0, alone_run.said()[-4000:]

    from safetensors.torch import load_file
    from torch.testing import assert_close

    two, one = (load_file(place.folder / tools["BACKBONE"]) for place in (workspace, alone))
    assert two.keys() == one.keys()
    for name in one:
        assert_close(two[name], one[name], rtol=1e-5, atol=1e-7, msg=lambda m, name=name: f"{name}: {m}")


def over_memory(workspace, tools):
    run = workspace.train(steps=6, seconds=0, SPD_TEST_ONCE=f"{workspace.folder / 'failed'}=memory")
    status = run.wait()
    return status, run, workspace, [tools["job"](number) for number in run.jobs()]


def test_a_job_over_its_memory_gets_more(cases):
    status, run, workspace, jobs = cases("over_memory")
    assert status == 0, run.said()[-4000:]
    killed, finished = jobs
    assert killed["JobState"] != "COMPLETED" and finished["JobState"] == "COMPLETED"
    assert (killed["MinMemoryNode"], finished["MinMemoryNode"]) == ("2000M", "4000M")
    assert workspace.steps()[-1] == (finished["JobId"], 5)


def interrupted(workspace, tools):
    first = workspace.train(steps=30, seconds=1)
    workspace.reach(5)
    os.kill(first.process.pid, signal.SIGINT)
    stopped = first.wait(120)
    tools["until"](
        lambda: tools["job"](first.jobs()[0])["JobState"] == "CANCELLED", "the job is cancelled", 60
    )
    locks = list((workspace.folder / ".snakemake/locks").glob("*"))
    workspace.hurry()
    second = workspace.train(steps=30, seconds=1)
    return stopped, locks, second.wait(), second, workspace


def test_ctrl_c_cancels_jobs_leaves_no_lock_and_the_next_run_goes_on(cases):
    stopped, locks, status, run, workspace = cases("interrupted")
    assert stopped != 0 and locks == []
    assert status == 0, run.said()[-4000:]
    assert [step for _, step in workspace.steps()] == once(30), "each step ran once"


def killed(workspace, tools):
    first = workspace.train(steps=30, seconds=1)
    workspace.reach(5)
    os.killpg(first.process.pid, signal.SIGKILL)
    first.process.wait()
    before = tools["job"](first.jobs()[0])["JobState"]
    made = made_before(workspace)
    tools["shell"](str(workspace.folder / "slurm/cancel.sh"), cwd=workspace.folder)
    unlock = workspace.start("--unlock")
    assert unlock.wait(120) == 0, unlock.said()
    workspace.hurry()
    second = workspace.train(steps=30, seconds=1)
    return before, second.wait(), second, workspace, made


def made_before(workspace):
    """The data, their manifests and the corpus, each with the time it was written at."""
    folders = ("data/demo/tiny", "results/tiny/manifests", "results/tiny/corpus")
    files = [path for name in folders for path in (workspace.folder / name).rglob("*") if path.is_file()]
    return {str(path): path.stat().st_mtime_ns for path in files}


def test_a_killed_controller_is_recovered_and_nothing_is_done_twice(cases):
    before, status, run, workspace, made = cases("killed")
    assert before == "RUNNING", "its job had gone on alone"
    assert status == 0, run.said()[-4000:]
    assert [step for _, step in workspace.steps()] == once(30), "each step ran once"
    assert len(made) > 50 and made_before(workspace) == made, "what was finished stays as it was"
    assert run.said().count("SLURM jobid") == 1, "the training is all that was submitted again"


def read_only(workspace, tools):
    root = workspace.folder / "data/demo/tiny/unpacked/visa"
    bound = ["mount", "--bind", str(root), str(root)]
    locked = subprocess.run(bound).returncode == 0
    if locked:
        tools["shell"]("mount", "-o", "remount,ro,bind", str(root))

    def everything():
        return sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_size) for path in root.rglob("*"))

    before = everything()
    try:
        overlay = {"datasets": {"visa": {"archive": None, "root": str(root)}}}
        run = workspace.start(
            "results/tiny/images/visa/1cls/demo128/all.safetensors", "--forceall", overlay=overlay
        )
        status = run.wait()
    finally:
        if locked:
            tools["shell"]("umount", str(root))
    return status, run, before, everything(), locked


def test_a_data_folder_may_be_read_only(cases):
    status, run, before, after, locked = cases("read_only")
    assert status == 0, run.said()[-4000:]
    assert len(before) > 50 and before == after
    assert locked, "the folder could not be mounted read-only"


# Percent signs stand for them in names of files and logs, and mean something to Slurm, too.
ODD = "nut \"a\" 'b' $(touch canary) `touch canary`; touch canary & ünï 日本 %41 {x} <b>#"
OBJECTS = (ODD, "metal nut", "100%n 'x'")


def odd_names(workspace, tools):
    for name in OBJECTS:
        for i, part in enumerate(("train/good", "train/good", "test/good", "test/spot")):
            path = workspace.folder / "photographs" / name / part / f"{i} $(touch canary).png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(i).integers(0, 256, (48, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
            if part == "test/spot":
                truth = path.parents[2] / "ground_truth/spot" / f"{path.stem}_mask.png"
                truth.parent.mkdir(parents=True)
                Image.fromarray(np.eye(48, dtype=np.uint8) * 255).save(truth)
    mine = {"name": "Mine", "reader": "mvtec", "root": "photographs", "objects": list(OBJECTS)}
    overlay = {
        "compute": {"objects_per_job": "one", "device": "cpu"},
        "datasets": {"mine": mine},
        "tables": {"custom": {"datasets": ["mine"], "rows": ["lite0_random"]}},
    }
    one, *others = (
        f"results/tiny/cells/mine/1cls/padim-demo/{quote(name, safe='')}/lite0_random-seed0.json"
        for name in OBJECTS
    )
    first = workspace.start(one, overlay=overlay)  # a job of its own, whose log's path has the name
    status = first.wait()
    second = workspace.start(*others, overlay=overlay)  # an array
    return (status, second.wait()), (first, second), (one, *others), workspace


def test_names_that_mean_something_to_a_shell_or_to_slurm_go_through_the_profile(cases):
    status, (first, second), cells, workspace = cases("odd_names")
    assert status == (0, 0), (first.said() + second.said())[-4000:]
    assert all((workspace.folder / cell).is_file() for cell in cells)
    assert "rule detect" in first.said() and "Submitted array job" not in first.said()
    assert "Submitted array job" in second.said()
    assert list(workspace.folder.rglob("canary")) == []


def refused(workspace, tools):
    run = workspace.start(overlay={"compute": {"gpus": 4, "device": "cpu"}})
    return run.wait(), run, tools["shell"]("squeue", "--noheader", "--format=%Z")


def test_what_the_cluster_lacks_is_listed_before_anything_is_submitted(cases):
    status, run, queue = cases("refused")
    said = run.said().partition("Nothing was started")[2]
    assert status != 0 and run.jobs() == [] and str(run.folder) not in queue.split()
    assert re.search(r"detect(, \w+)*: Invalid partition.*-p nowhere", said, re.IGNORECASE)
    assert re.search(r"pretrain: Requested node configuration is not available.*--gpus=a100:4", said)
    assert "the cluster has: " in said and "gpu: 16 CPUs" in said


WITHOUT_GPUS = {r"\n    gpu_model: [^\n]*": ""}
CASES = {
    "time_limit": (time_limit, WITHOUT_GPUS),
    "two_nodes_preempted": (two_nodes_preempted, {}),
    "one_process": (one_process, WITHOUT_GPUS),
    "fail_once": (fail_once, WITHOUT_GPUS),
    "scancel": (scancel, WITHOUT_GPUS),
    "over_memory": (over_memory, WITHOUT_GPUS),
    "interrupted": (interrupted, WITHOUT_GPUS),
    "killed": (killed, WITHOUT_GPUS),
    "read_only": (read_only, {}),
    "odd_names": (odd_names, {}),
    "refused": (refused, {r"slurm_partition: cpu": "slurm_partition: nowhere"}),
}
