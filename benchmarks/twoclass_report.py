"""Writes the numbers of docs/two-class.md from results/magnetic_tile_twoclass.

    SPD_DATA=/your/folder snakemake --cores 1 twoclass_fewshot \\
        --configfile docs/overlays/magnetic_tile_twoclass.yaml
    python benchmarks/twoclass_report.py
"""

import re
from pathlib import Path

import pandas as pd

from spd.files import read_json
from spd.metrics.aggregate import paired_effect
from workflow_scripts.planning.twoclass_cost import table as cost_table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results" / "magnetic_tile_twoclass"
REAL, RANDOM = "lite0", "lite0_random"


def means() -> str:
    """The rendered means of the table."""
    text = (RESULTS / "tables" / "twoclass_fewshot.md").read_text(encoding="utf-8")
    lines = [line for line in text.split("\n## ")[0].splitlines() if line.startswith("|")]
    return "\n".join(lines)


def differences() -> str:
    """Real minus random weights, paired by draw, with the interval over draws."""
    rows = []
    for path in sorted((RESULTS / "cells").rglob("*.json")):
        cell = read_json(path)
        for result in cell["objects"].values():
            task = "classification" if result["classification"] else "segmentation"
            for metric in ("AU-PR", "AU-ROC"):
                run = cell["pretraining"]["name"], cell["draw"], 100 * result[task][metric]
                rows.append((task, cell["shots"], metric, *run))
    frame = pd.DataFrame(rows, columns=["task", "shots", "metric", "weights", "draw", "value"])
    lines = ["| task | shots | metric | real - random, points | 95 % interval | draws in which real wins |"]
    lines.append("| :-- | --: | :-- | --: | --: | --: |")
    for (task, shots, metric), part in frame.groupby(["task", "shots", "metric"]):
        by_draw = part.pivot(index="draw", columns="weights", values="value")
        sides = [{(0, d, "tile"): v for d, v in by_draw[name].items()} for name in (REAL, RANDOM)]
        effect = paired_effect(*sides)
        wins = int((by_draw[REAL] > by_draw[RANDOM]).sum())
        interval = f"[{effect.ci_low:+.1f}, {effect.ci_high:+.1f}]"
        lines.append(
            f"| {task} | {shots} | {metric} | {effect.value:+.1f} | {interval} | {wins} of {effect.n} |"
        )
    return "\n".join(lines)


def main() -> None:
    page = ROOT / "docs" / "two-class.md"
    text = page.read_text(encoding="utf-8")
    sections = {"cost": cost_table(ROOT / "config.yaml", "paper")}
    if RESULTS.is_dir():
        sections["tiles"] = f"{means()}\n\nPaired by draw:\n\n{differences()}"
    for name, content in sections.items():
        marks = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        pattern = re.escape(marks[0]) + ".*?" + re.escape(marks[1])
        replacement = f"{marks[0]}\n{content}\n{marks[1]}"
        text = re.sub(pattern, lambda _, new=replacement: new, text, flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")
    print("\n\n".join(sections.values()))


if __name__ == "__main__":
    main()
