"""What each stage's hash hangs on, so that an import that is added is seen in review.

stage_modules.txt is written by `python tests/workflow_scripts/test_stage_modules.py`.
"""

import re
from itertools import groupby
from pathlib import Path

from spd.detectors.registry import DETECTORS
from spd.methods.options import METHODS
from workflow_scripts.common.provenance import modules

HERE = Path(__file__).resolve().parent
LIST = HERE / "stage_modules.txt"


SCRIPTS = HERE.parents[1] / "workflow_scripts"


def stages():
    """Stage, and the class that it uses -> the sources that its hash is of."""
    rules = "".join(path.read_text(encoding="utf-8") for path in (HERE.parents[1] / "rules").glob("*.smk"))
    names = sorted({"pretrain", *re.findall(r'stage_code\("(\w+)"', rules)})
    detectors = {
        setup: {k: v for k, v in DETECTORS.items() if v.setup == setup} for setup in ("1cls", "2cls")
    }
    classes = {"detect": detectors["1cls"], "finetune": detectors["2cls"], "pretrain": METHODS}
    found = {}
    for name in names:
        script = SCRIPTS / f"{name}.py"
        found |= {f"{name} {key}": (script, entry.path) for key, entry in classes.get(name, {}).items()}
        if name not in classes:
            found[name] = (script,)
    return found


def listing():
    """A paragraph a stage, a line a package."""
    lines = []
    for stage, sources in stages().items():
        names = [name for name in modules(*sources) if name[0] != "/"]
        lines.append(f"{stage} ({len(names)})")
        split = sorted(name.rpartition(".")[::2] for name in names)
        for package, group in groupby(split, key=lambda one: one[0]):
            lines.append(f"  {package}: {', '.join(module for _, module in group)}")
        lines.append("")
    return "\n".join(lines)


def test_stages_hang_on_the_modules_that_are_listed():
    assert listing() == LIST.read_text(encoding="utf-8"), f"if that is meant: python {Path(__file__).name}"


def test_no_backbone_and_no_cell_hangs_on_options_of_other_stages():
    """Another option of a table, a plan or a data set trains nothing again."""
    judged = {"corpus", "pretrain", "images", "features", "detect", "finetune", "linear_classifier"}
    others = (
        "spd.report",
        "spd.config.model",
        "spd.data.options",
        "workflow_scripts.planning",
    )
    for stage, sources in stages().items():
        if stage.split()[0] in judged:
            found = [name for name in modules(*sources) if name.startswith(others) or "demo" in name]
            assert not found, stage


if __name__ == "__main__":
    LIST.write_text(listing(), encoding="utf-8")
