"""Writes the numbers of docs/two-class.md from results/magnetic_tile_twoclass.

    SPD_DATA=/your/folder snakemake --cores 1 twoclass_fewshot \\
        --configfile docs/overlays/magnetic_tile_twoclass.yaml
    python benchmarks/twoclass_report.py
"""

import pandas as pd
from harness import ROOT, table, write_section

from spd.files import read_json
from spd.metrics.aggregate import paired_effect

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
    lines = []
    for (task, shots, metric), part in frame.groupby(["task", "shots", "metric"]):
        by_draw = part.pivot(index="draw", columns="weights", values="value")
        sides = [{(0, d, "tile"): v for d, v in by_draw[name].items()} for name in (REAL, RANDOM)]
        effect = paired_effect(*sides)
        wins = int((by_draw[REAL] > by_draw[RANDOM]).sum())
        interval = f"[{effect.ci_low:+.1f}, {effect.ci_high:+.1f}]"
        lines.append((task, shots, metric, f"{effect.value:+.1f}", interval, f"{wins} of {effect.n}"))
    header = "task | shots | metric | real - random, points | 95 % interval | draws in which real wins"
    return table(header, lines)


def main() -> None:
    write_section("tiles", f"{means()}\n\nPaired by draw:\n\n{differences()}", "two-class.md")


if __name__ == "__main__":
    main()
