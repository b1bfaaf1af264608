"""Writes the tables, the figures and the runs of docs/mechanism.md from the studies' results.

python -m studies.mechanism --report        # or `make mechanism`, which runs what is missing before

Runs that are already in docs/*-runs.csv stay, if they were of the same images and settings: so seeds can be
added on another machine.
"""

import csv
import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from spd.methods.options import SPDOptions
from studies import continued, mechanism, runs
from studies.intervals import Difference, paired

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "mechanism.md"

Run = dict[str, Any]
"""A line of a study's results."""
Row = dict[str, Any]
"""A run on the page: configuration, seed, settings (a hash), images and device (in words), the state of the
code (`ABOUT`), and a number a measure."""
ABOUT = ("configuration", "seed", "settings", "images", "device", "code", "commit")
Measure = Callable[[Run], float]
Groups = dict[str, dict[int, Row]]
"""Configuration -> seed -> row."""


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


SEEN: dict[str, Measure] = {  # of Caltech's held-out photographs; the ImageNet weights have no probe
    "kNN, %": lambda run: 100 * run["measured"].get("knn", math.nan),
}
SPREAD: dict[str, Measure] = {
    "std √d": lambda run: run["measured"].get("sensitivity_z_std", math.nan),
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


def settings_of(run: Run) -> str:
    """What a run was told, whatever its images and seed."""
    told = ("method", "spd", "changes", "recipe", "architecture", "judge")
    return runs.key_of({key: run[key] for key in told if key in run})[:8]


def table_of_runs(
    results: list[Run],
    label: Callable[[Run], str],
    measures: dict[str, Measure],
    path: Path,
    current: dict[str, str],
) -> list[Row]:
    """Writes every run's numbers as CSV, so that the page can be checked without running anything; returns
    its rows.

    current: configuration -> settings. Rows of the file as it was stay where the results have no such run,
    unless they are of other images or settings.
    """
    rows = {}
    for run in results:
        name = label(run)
        about = {
            "configuration": name,
            "seed": run["seed"],
            "settings": settings_of(run),
            "images": run["images"],
            "device": run["device"],
            "code": run.get("code", ""),
            "commit": run.get("commit") or "",
        }
        rows[name, run["seed"]] = about | {key: float(f"{m(run):.6g}") for key, m in measures.items()}
    images = {row["images"] for row in rows.values()}
    if path.exists():
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                if images and row["images"] not in images:
                    continue
                # A file may be older than a column.
                row = {"code": "", "commit": "", **row, "seed": int(row["seed"])} | {
                    key: float(row.get(key, "nan")) for key in measures
                }
                rows.setdefault((row["configuration"], row["seed"]), row)
    order = list(current)
    kept = [row for row in rows.values() if current.get(row["configuration"]) == row["settings"]]
    if not kept:
        return kept
    kept.sort(key=lambda row: (order.index(row["configuration"]), row["seed"]))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*ABOUT, *measures], lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    return kept


def origin(rows: list[Row]) -> str:
    """What the rows are of, in words: the images, and whether one state of the code made them."""
    states = {row["code"]: row["commit"] for row in rows}
    named = ", ".join(
        f"`{code}` (commit {commit or 'unknown'})" if code else "not recorded"
        for code, commit in sorted(states.items())
    )
    words = f"Images: {rows[0]['images']}. Code: {named}."
    if len(states) > 1:
        words += " Pairs of runs by different states of the code share less than their seed fixes."
    return words


def grouped(rows: list[Row]) -> Groups:
    """The rows by configuration and seed, in their order."""
    found: Groups = defaultdict(dict)
    for row in rows:
        found[row["configuration"]][row["seed"]] = row
    return dict(found)


def values(group: dict[int, Row], measure: str) -> dict[int, float]:
    """Seed -> the measure."""
    return {seed: row[measure] for seed, row in group.items()}


def means(groups: Groups, measures: Collection[str], digits: int) -> list[str]:
    """A table: a row a configuration, the mean over its seeds."""
    lines = [f"| | {' | '.join(measures)} | seeds |", "|---|" + "---|" * (len(measures) + 1)]
    for name, group in groups.items():
        cells = []
        for measure in measures:
            found = list(values(group, measure).values())
            mean = sum(found) / len(found)
            cells.append("-" if math.isnan(mean) else f"{mean:.{digits}f}")
        lines.append(f"| {name} | {' | '.join(cells)} | {len(group)} |")
    return lines


def shown(difference: Difference, digits: int) -> str:
    """A difference with its interval, bold where the interval excludes 0."""
    if difference.n < 2:
        return f"{difference.mean:+.{digits}f}"
    text = f"{difference.mean:+.{digits}f} [{difference.low:+.{digits}f}, {difference.high:+.{digits}f}]"
    return f"**{text}**" if difference.sign else text


def differences(
    groups: Groups, pairs: list[tuple[str, str]], measures: Collection[str], digits: int
) -> list[str]:
    """A table: a row a (configuration, base), the paired difference of each measure."""
    lines = [
        f"| | against | {' | '.join(measures)} | pairs |",
        "|---|---|" + "---|" * (len(measures) + 1),
    ]
    for name, base in pairs:
        found = [paired(values(groups[name], m), values(groups[base], m)) for m in measures]
        cells = " | ".join(shown(difference, digits) for difference in found)
        lines.append(f"| {name} | {base} | {cells} | {found[0].n} |")
    return lines


def plot(groups: Groups, pairs: list[tuple[str, str]], measures: Collection[str], path: Path) -> None:
    """A panel a measure: each pair's difference with its interval, and the single pairs as dots."""
    figure, axes = plt.subplots(
        1,
        len(measures),
        figsize=(2.9 * len(measures), 0.34 * len(pairs) + 1.1),
        sharey=True,
        layout="constrained",
    )
    for axis, measure in zip(axes, measures, strict=True):
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
        axis.set_title(measure, fontsize=9)
        axis.tick_params(labelsize=8)
    axes[0].set_yticks(range(len(pairs)), [name for name, _ in pairs])
    axes[0].invert_yaxis()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


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
    _mechanism(runs.load(mechanism_results))
    _continued(runs.load(continued_results))


def _with_common_seeds(groups: Groups, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs that can be compared: a study that goes on may have one run of a pair alone."""
    return [(a, b) for a, b in pairs if groups.get(a, {}).keys() & groups.get(b, {}).keys()]


def _with_draws_of_their_own(run: Run) -> Run:
    """The grid's run that differs from one with shared weak draws in these alone."""
    asked = SPDOptions(**{**run["spd"], "weak_draws": "independent"})
    (same,) = [spd for m, spd in mechanism.GRID if m == run["method"] and SPDOptions(**spd) == asked]
    return mechanism.told(run["method"], same)


def _halves(groups: Groups, pairs: list[tuple[str, str]]) -> list[str]:
    """A table: what the study's own seeds say, and those that were added; empty before any was added."""
    own, added = f", seeds 0 - {mechanism.SEEDS - 1}", f", seeds {mechanism.SEEDS} on"
    parts: Groups = {}
    for name, group in groups.items():
        for seed, row in group.items():
            parts.setdefault(name + (own if seed < mechanism.SEEDS else added), {})[seed] = row
    if not any(name.endswith(added) for name in parts):
        return []
    halves = [(name + half, base + half) for name, base in pairs for half in (own, added)]
    return differences(parts, _with_common_seeds(parts, halves), ("r", "r, blend alone", "AU-ROC, jitter"), 3)


def _mechanism(results: list[Run]) -> None:
    studies = {"grid": mechanism.GRID, "shared": mechanism.SHARED, "why": mechanism.WHY}
    told_of = {study: [mechanism.told(*row) for row in grid] for study, grid in studies.items()}
    names = {study: [name_of(run) for run in told] for study, told in told_of.items()}
    current = {name_of(run): settings_of(run) for told in told_of.values() for run in told}
    measures = {**MEASURES, **PARTS}
    rows = table_of_runs(results, name_of, measures, DOCS / "mechanism-runs.csv", current)
    if not rows:
        return
    groups = grouped(rows)
    pairs = {
        study: [(name, f"{name.split(',')[0]}, eta 0") for name in listed if not name.endswith("eta 0")]
        for study, listed in names.items()
    }
    pairs["shared"] += [(name_of(run), name_of(_with_draws_of_their_own(run))) for run in told_of["shared"]]
    pairs = {study: _with_common_seeds(groups, found) for study, found in pairs.items()}
    in_grid = {name: groups[name] for name in names["grid"] if name in groups}
    put("means", [origin(rows), "", *means(in_grid, MEASURES, 3)])
    put("differences", differences(groups, pairs["grid"], MEASURES, 3))
    put("parts", differences(groups, pairs["grid"], PARTS, 3))
    if pairs["grid"]:
        plot(groups, pairs["grid"], MEASURES, DOCS / "images" / "mechanism.png")
    put("halves", _halves(groups, pairs["grid"]))
    for study in ("shared", "why"):
        put(study, differences(groups, pairs[study], [*MEASURES, *list(PARTS)[:2]], 3))


def _continued(results: list[Run]) -> None:
    told = [continued.told(*row) for row in (*continued.GRID, *continued.WHY, *continued.RATES)]
    current = {run["name"]: settings_of(run) for run in told}
    stages = {
        f"{stage}: image AU-ROC": _padim("classification", "AU-ROC", stage) for stage in continued.STAGES
    }
    path = DOCS / "continued-runs.csv"
    rows = table_of_runs(
        results, lambda run: run["name"], {**JUDGED, **stages, **SEEN, **SPREAD}, path, current
    )
    if not rows:
        return
    groups = grouped(rows)
    rates = {row[0]: groups.pop(row[0], {}) for row in continued.RATES}
    rates = {name: groups.get(name, {}) for name in continued.RATES_WITH} | rates
    rates = {name: {0: group[0]} for name, group in rates.items() if 0 in group}
    table = means(rates, [*JUDGED, *SEEN, *SPREAD], 2)
    put("continued-rates", [origin([group[0] for group in rates.values()]), "", *table] if rates else [])
    rows = [row for group in groups.values() for row in group.values()]
    if not rows:
        return
    start = "ImageNet weights"
    put("continued", [origin(rows), "", *means(groups, [*JUDGED, *SEEN], 1)])
    if start in groups:  # it has no seed: it is the same in every pair
        given = next(iter(groups[start].values()))
        groups[start] = {row["seed"]: given for row in rows}
    base = {name: continued.without_spd(name) for name in groups if "SPD" in name}
    pairs = _with_common_seeds(groups, list(base.items()))
    against_start = _with_common_seeds(groups, [(name, start) for name in groups if name != start])
    picture = DOCS / "images" / "continued.png"
    drawn = ["", f"![Paired differences with intervals](images/{picture.name})"] if pairs else []
    put("continued-differences", [*differences(groups, pairs, [*JUDGED, *SEEN], 1), *drawn])
    put("continued-start", differences(groups, against_start, JUDGED, 1))
    put("continued-stages", differences(groups, pairs, stages, 1))
    if pairs:
        plot(groups, pairs, JUDGED, picture)
