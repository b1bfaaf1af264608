"""Writes the tables, the figures and the runs of docs/mechanism.md from the studies' results.

python -m studies.mechanism --report        # or `make mechanism`, which runs what is missing before
"""

import csv
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from studies import continued, mechanism, runs
from studies.intervals import Difference, paired

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "mechanism.md"

Run = dict[str, Any]
Measure = Callable[[Run], float]


def _sensitivity(name: str) -> Measure:
    return lambda run: run["measured"][f"sensitivity_{name}"]


def _localised(name: str) -> Measure:
    return lambda run: 100 * run["measured"][f"localisation_{name}"]


MEASURES: dict[str, Measure] = {
    "r": _sensitivity("z_ratio"),
    "r, blend alone": _sensitivity("z_ratio_local"),
    "std √d": _sensitivity("z_std"),
    "AU-ROC": _localised("all"),
    "AU-ROC, jitter": _localised("jitter_all"),
    "kNN, %": lambda run: 100 * run["measured"]["knn"],
}
PARTS: dict[str, Measure] = {
    "1 - cos(z, z+)": lambda run: 1 - run["measured"]["sensitivity_z_cos_plus"],
    "1 - cos(z, blend)": lambda run: 1 - run["measured"]["sensitivity_z_cos_local"],
    "r of h, blend alone": _sensitivity("h_ratio_local"),
    **{f"{stage}, jitter": _localised(f"jitter_{stage}") for stage in mechanism.STAGES},
}


def _padim(task: str, metric: str, stage: str = "all") -> Measure:
    return lambda run: 100 * run["padim"][stage][task][metric]


JUDGED: dict[str, Measure] = {
    "image AU-ROC": _padim("classification", "AU-ROC"),
    "image AU-PR": _padim("classification", "AU-PR"),
    "pixel AU-ROC": _padim("segmentation", "AU-ROC"),
    "pixel AU-PR": _padim("segmentation", "AU-PR"),
}


def name_of(run: Run) -> str:
    """A configuration of the mechanism study in words."""
    spd = dict(run["spd"])
    eta = spd.pop("eta")
    words = {
        "stop_gradient": "stop-gradient",
        "cosines": "only",
        "anchor": "anchor",
        "weak_draws": "weak draws",
    }
    rest = [
        f"{words[key]} {value}" for key, value in spd.items() if not (key == "cosines" and value == "both")
    ]
    label = {"simclr": "SimCLR", "moco": "MoCo", "simsiam": "SimSiam"}[run["method"]]
    return ", ".join([f"{label}, eta {eta:g}", *rest])


def grouped(results: list[Run], label: Callable[[Run], str]) -> dict[str, dict[int, Run]]:
    """Label -> seed -> run, in the order of the first appearance."""
    found: dict[str, dict[int, Run]] = defaultdict(dict)
    for run in results:
        found[label(run)][run["seed"]] = run
    return dict(found)


def values(group: dict[int, Run], measure: Measure) -> dict[int, float]:
    """Seed -> the measure."""
    return {seed: measure(run) for seed, run in group.items()}


def means(groups: dict[str, dict[int, Run]], measures: dict[str, Measure], digits: int) -> list[str]:
    """A table: a row a configuration, the mean over its seeds."""
    lines = [f"| | {' | '.join(measures)} | seeds |", "|---|" + "---|" * (len(measures) + 1)]
    for name, group in groups.items():
        cells = []
        for measure in measures.values():
            found = list(values(group, measure).values())
            cells.append(f"{sum(found) / len(found):.{digits}f}")
        lines.append(f"| {name} | {' | '.join(cells)} | {len(group)} |")
    return lines


def shown(difference: Difference, digits: int) -> str:
    """A difference with its interval, bold where the interval excludes 0."""
    if difference.n < 2:
        return f"{difference.mean:+.{digits}f}"
    text = f"{difference.mean:+.{digits}f} [{difference.low:+.{digits}f}, {difference.high:+.{digits}f}]"
    return f"**{text}**" if difference.sign else text


def differences(
    groups: dict[str, dict[int, Run]], pairs: list[tuple[str, str]], measures: dict[str, Measure], digits: int
) -> list[str]:
    """A table: a row a (configuration, base), the paired difference of each measure."""
    lines = [f"| | against | {' | '.join(measures)} | pairs |", "|---|---|" + "---|" * (len(measures) + 1)]
    for name, base in pairs:
        found = [paired(values(groups[name], m), values(groups[base], m)) for m in measures.values()]
        cells = " | ".join(shown(difference, digits) for difference in found)
        lines.append(f"| {name} | {base} | {cells} | {found[0].n} |")
    return lines


def plot(
    groups: dict[str, dict[int, Run]], pairs: list[tuple[str, str]], measures: dict[str, Measure], path: Path
) -> None:
    """A panel a measure: each pair's difference with its interval, and the single pairs as dots."""
    figure, axes = plt.subplots(
        1,
        len(measures),
        figsize=(2.9 * len(measures), 0.34 * len(pairs) + 1.1),
        sharey=True,
        layout="constrained",
    )
    for axis, (title, measure) in zip(axes, measures.items(), strict=True):
        axis.axvline(0, color="grey", linewidth=0.8)
        for row, (name, base) in enumerate(pairs):
            ours, theirs = values(groups[name], measure), values(groups[base], measure)
            found = paired(ours, theirs)
            singles = [ours[seed] - theirs[seed] for seed in ours.keys() & theirs.keys()]
            axis.plot(singles, [row] * len(singles), ".", color="#9db8d6", markersize=5, zorder=1)
            colour = {"+": "#1a7f37", "-": "#b42318", "": "#333333"}[found.sign]
            if found.n > 1:
                axis.plot([found.low, found.high], [row, row], color=colour, linewidth=1.6)
            axis.plot(found.mean, row, "o", color=colour, markersize=4.5)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
    axes[0].set_yticks(range(len(pairs)), [name for name, _ in pairs])
    axes[0].invert_yaxis()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def table_of_runs(
    results: list[Run], label: Callable[[Run], str], measures: dict[str, Measure], path: Path
) -> None:
    """Every run's numbers as CSV, so that the page can be checked without running anything."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["configuration", "seed", *measures])
        for run in sorted(results, key=lambda run: (label(run), run["seed"])):
            writer.writerow(
                [label(run), run["seed"], *(f"{measure(run):.5g}" for measure in measures.values())]
            )


def put(name: str, lines: list[str]) -> None:
    """Replaces the section `name` of the page."""
    text = PAGE.read_text()
    marks = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if marks[0] not in text:
        raise ValueError(f"{PAGE}: no section {name}")
    pattern = re.escape(marks[0]) + ".*?" + re.escape(marks[1])
    new = "\n".join([marks[0], *lines, marks[1]])
    temporary = PAGE.with_suffix(".md.tmp")
    temporary.write_text(re.sub(pattern, lambda _: new, text, flags=re.DOTALL))
    temporary.replace(PAGE)


def report(mechanism_results: Path = mechanism.RESULTS, continued_results: Path = continued.RESULTS) -> None:
    """Writes what there is: a study that has no run yet leaves its sections as they are."""
    found = runs.load(mechanism_results)
    if found:
        _mechanism(found)
    found = runs.load(continued_results)
    if found:
        _continued(found)


def _mechanism(results: list[Run]) -> None:
    groups = grouped(results, name_of)
    base = {method: f"{label}, eta 0" for method, label in
            (("simclr", "SimCLR"), ("moco", "MoCo"), ("simsiam", "SimSiam"))}  # fmt: skip
    pairs = {
        study: [
            (name, base[next(iter(group.values()))["method"]])
            for name, group in groups.items()
            if not name.endswith("eta 0") and next(iter(group.values()))["study"] == study
        ]
        for study in ("grid", "shared", "why")
    }
    sections = [f"Images: {results[0]['images']}.", ""]
    in_grid = {n: g for n, g in groups.items() if next(iter(g.values()))["study"] == "grid"}
    put("means", [*sections, *means(in_grid, MEASURES, 3)])
    put("differences", differences(groups, pairs["grid"], MEASURES, 3))
    put("parts", differences(groups, pairs["grid"], PARTS, 3))
    plot(groups, pairs["grid"], MEASURES, DOCS / "images" / "mechanism.png")
    if pairs["shared"]:
        put("shared", differences(groups, pairs["shared"], {**MEASURES, **dict(list(PARTS.items())[:2])}, 3))
    if pairs["why"]:
        put("why", differences(groups, pairs["why"], {**MEASURES, **dict(list(PARTS.items())[:2])}, 3))
    table_of_runs(results, name_of, {**MEASURES, **PARTS}, DOCS / "mechanism-runs.csv")


def _continued(results: list[Run]) -> None:
    groups = grouped(results, lambda run: run["name"])
    start = "ImageNet weights"
    put("continued", means(groups, JUDGED, 1))
    if start in groups:  # it has no seed: it is the same in every pair
        given = next(iter(groups[start].values()))
        groups[start] = {run["seed"]: given for run in results}
    bases = [(f"{m} + SPD{rest}", f"{m}{rest}") for m in ("SimSiam", "SimCLR", "Sup") for rest in
             ("", ", free BN", ", lr x 3")]  # fmt: skip
    bases += [
        (name, "SimCLR") for name in groups if name.startswith("SimCLR + SPD, ") and (name not in dict(bases))
    ]
    pairs = [(a, b) for a, b in bases if a in groups and b in groups]
    against_start = [(name, start) for name in groups if name != start]
    put("continued-differences", differences(groups, pairs, JUDGED, 1))
    put("continued-start", differences(groups, against_start, JUDGED, 1))
    plot(groups, pairs, JUDGED, DOCS / "images" / "continued.png")
    stages = {
        f"{stage}: image AU-ROC": _padim("classification", "AU-ROC", stage) for stage in continued.STAGES
    }
    put("continued-stages", differences(groups, pairs, stages, 1))
    table_of_runs(results, lambda run: run["name"], {**JUDGED, **stages}, DOCS / "continued-runs.csv")
