"""slurm/config.yaml: site values stand in the marked block alone, and what it names exists."""

import re
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "slurm/config.yaml").read_text()
PROFILE = yaml.safe_load(TEXT)
SITE = {"slurm_partition", "slurm_account", "gpu_model", "cpus_per_task", "mem_mb", "runtime"}
ONE_BY_ONE = "one_by_one"


def rules():
    files = [REPOSITORY / "Snakefile", *(REPOSITORY / "rules").glob("*.smk")]
    return {
        name
        for file in files
        for name in re.findall(r"^(?:use rule \w+ as|rule) (\w+)", file.read_text(), re.MULTILINE)
    }


def test_site_values_stand_in_the_marked_block_alone():
    before, _, rest = TEXT.partition("# --- your site: edit this block and nothing else ---")
    block, _, after = rest.partition("# -----------")
    keys = set(re.findall(r"^ +(\w+): \S", block, re.MULTILINE))
    assert keys == SITE | {ONE_BY_ONE}
    assert not SITE & set(re.findall(r"^ *(\w+): ", before + after, re.MULTILINE))


def test_every_rule_it_names_exists():
    groups = dict(entry.split("=", 1) for entry in PROFILE["groups"])
    named = {*PROFILE["set-resources"], *groups, *PROFILE["slurm-array-jobs"].replace(",", " ").split()}
    assert named <= rules()
    components = dict(entry.rsplit("=", 1) for entry in PROFILE["group-components"])
    assert set(components) <= set(groups.values())


def test_every_setting_says_why_it_is_there():
    lines = TEXT.splitlines()
    for number, line in enumerate(lines):
        if re.match(r" *[\w-]+: \S", line) and "#" not in line:
            above = next(
                lines[i] for i in range(number - 1, -1, -1) if "#" in lines[i] or not lines[i].strip()
            )
            assert "#" in above, f"line {number + 1}: {line}"


@pytest.mark.parametrize("rule", ["features", "images"])
def test_group_members_run_one_after_the_other(rule):
    assert PROFILE["set-resources"][rule][ONE_BY_ONE] == 1
    assert PROFILE["resources"] == [f"{ONE_BY_ONE}=1"]
    assert PROFILE["set-resource-scopes"] == [f"{ONE_BY_ONE}=local"], "in each group, not in the whole run"


def test_new_files_may_be_seen_late_and_slurmctld_may_be_away():
    assert PROFILE["latency-wait"] >= 60
    assert PROFILE["slurm-status-attempts"] / PROFILE["max-status-checks-per-second"] >= 3600


def test_memory_grows_with_each_attempt_and_cpus_are_not_threads():
    everywhere = {"default": PROFILE["default-resources"], **PROFILE["set-resources"]}

    def fixed(resource):
        values = {name: str(of_rule[resource]) for name, of_rule in everywhere.items() if resource in of_rule}
        return {name for name, value in values.items() if "attempt *" not in value}

    assert fixed("mem_mb") == set()
    # A training's run time is the partition's limit: it goes on by itself.
    assert fixed("runtime") == {"pretrain", "linear_classifier"}
    assert "set-threads" not in PROFILE and "threads" not in str(everywhere)


def test_paper_is_selected_and_trainings_survive_preemption():
    assert PROFILE["config"] == ["preset=paper"]
    assert PROFILE["slurm-requeue"] is True
    assert "pretrain" not in PROFILE["slurm-array-jobs"], (
        "an array of multi-node jobs runs its first in each task"
    )
