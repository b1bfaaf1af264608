"""docs/mechanism.md, its pictures and docs/study-runs.csv from the runs of the study."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from spd.files import atomic_write
from spd.report.claims import holm
from studies import runs as files
from studies.configurations import Run, base_of, candidates, choice, gains, listed, seeds_of, target
from studies.intervals import Difference, paired
from studies.settings import CHOICE_SEEDS, ETAS, GRIDS, KINDS, METHODS, NONE, SELF_SUPERVISED, TARGETS

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "mechanism.md"
NO_RUNS = ["No runs are in yet."]
DOSE = {
    "r": "r",
    "blend": "blend's share",
    "std": "std √d",
    "localisation": "localisation, points",
    "localisation, jitter": "under jitter, points",
    "kNN": "kNN, points",
}
OF_H = {"blend of h": "blend's share of h", **{name: DOSE[name] for name in list(DOSE)[3:]}}
JUDGED = {
    f"{detector} {metric}": f"{detector}, {metric}"
    for metric in ("image AU-ROC", "image AU-PR", "pixel AU-ROC", "pixel AU-PR")
    for detector in ("PaDiM", "PatchCore")
}
CHIEF = {  # what the conclusion is about: few intervals, so that Holm's correction leaves something to find
    "target": "image AU-ROC that the choice is by",
    **{f"{place} {detector} image AU-ROC": f"{place}, {detector}, image AU-ROC"
       for place in TARGETS for detector in ("PaDiM", "PatchCore")},
    **{f"tiles@96 {detector} pixel AU-PR": f"tiles@96, {detector}, pixel AU-PR"
       for detector in ("PaDiM", "PatchCore")},
}  # fmt: skip
DRAWN = ("image AU-ROC", "pixel AU-PR")
DETECTORS = {"PaDiM": "#1d4ed8", "PatchCore": "#b45309"}
DRAWS = {"independent": "#b45309", "shared": "#1d4ed8"}


class Pair(NamedTuple):
    """A row of a table: runs with and without something by seed, and what the names of values begin with."""

    label: str
    new: Mapping[int, Run]
    base: Mapping[int, Run]
    prefix: str = ""

    def difference(self, name: str) -> Difference | None:
        """Of a value; None where no seed has it on both sides."""
        name = self.prefix + name
        new, base = (
            {seed: run["values"][name] for seed, run in side.items() if name in run["values"]}
            for side in (self.new, self.base)
        )
        return paired(new, base) if new.keys() & base.keys() else None


def name_of(c: Run) -> str:
    """A configuration in words."""
    said = {
        "weak_draws": "{} draws",
        "statistics": "{} statistics",
        "cosines": "only {}",
        "local": "{}",
        "strengths": "patch {0[local][area][0]:.1%} to {0[local][area][1]:.1%}",
    }
    spd = [said[key].format(value) for key, value in c["spd"].items() if key != "eta"]
    start = (["ImageNet weights"] if c["start"] else []) + ["generated"] * (c["corpus"] == "generated")
    return ", ".join([METHODS[c["method"]], f"eta {c['spd']['eta']:g}", *spd, *start])


def rows(
    configurations: Iterable[Run],
    runs: list[Run],
    at: Iterable[str] = ("",),
    base: Callable[[Run], Run] = base_of,
) -> list[Pair]:
    """A pair a configuration and place (`SET@SIZE`), against `base` of it."""
    return [
        Pair(
            name_of(c) + (f", {place} ({KINDS[place.partition('@')[0]]})" if place else ""),
            seeds_of(runs, c),
            seeds_of(runs, base(c)),
            f"{place} " if place else "",
        )
        for c in configurations
        for place in at
    ]


def table(pairs: Iterable[Pair], columns: Mapping[str, str], digits: int = 1) -> list[str]:
    """A row a pair that has a seed in common, a column a value: the paired difference with its 95 % interval,
    italic where that excludes 0, bold where p is below 0.05 by Holm's correction over the table."""
    found = [(pair.label, [pair.difference(name) for name in columns]) for pair in pairs]
    found = [(label, cells) for label, cells in found if any(cells)]
    if not found:
        return NO_RUNS
    tested = [cell for _, cells in found for cell in cells if cell is not None and cell.n > 1]
    corrected = dict(zip(map(id, tested), holm([cell.p for cell in tested]), strict=True))
    lines = [f"| | {' | '.join(columns.values())} | pairs |", "|---" * (len(columns) + 2) + "|"]
    for label, cells in found:
        words = ["-" if cell is None else shown(cell, digits, corrected.get(id(cell), 1.0)) for cell in cells]
        lines.append(f"| {label} | {' | '.join(words)} | {max(cell.n for cell in cells if cell)} |")
    single, bold = sum(cell.sign != "" for cell in tested), sum(p < 0.05 for p in corrected.values())
    return [*lines, "", f"{len(tested)} intervals; {single} exclude 0, {bold} by Holm's correction."]


def shown(found: Difference, digits: int, corrected: float = 1.0) -> str:
    """A difference with its interval; see `table`."""
    if found.n < 2:
        return f"{found.mean:+.{digits}f}"
    text = f"{found.mean:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"
    return f"**{text}**" if corrected < 0.05 else f"*{text}*" if found.sign else text


def places(runs: Iterable[Run]) -> list[str]:
    """The sets and sizes that runs were judged on, textures first."""
    found = {name.partition(" ")[0] for run in runs for name in run["values"] if "@" in name}
    split = {place: place.partition("@") for place in found}
    return sorted(found, key=lambda p: ([*KINDS].index(split[p][0]), int(split[p][2])))


def state(scale: str, runs: list[Run], stale: int) -> list[str]:
    """What the tables are of: images, code, and what is missing."""
    code = sorted({f"`{run['code']}` (commit {run['commit'] or 'unknown'})" for run in runs})
    images = "; ".join(sorted({run["images"] for run in runs}))
    lines = [f"{len(runs)} runs. Images: {images}. Code: {', '.join(code)}."]
    if len(code) > 1:
        lines.append("Pairs of runs by different states of the code share less than their seed fixes.")
    every = {f"`{grid}`": listed(scale, [grid]) for grid in GRIDS}
    every["confirmation"] = [c for one in choice(scale, runs).values() for c in (base_of(one), one)]
    for name, grid in every.items():
        found = [seeds_of(runs, c).keys() for c in grid if c["method"]]
        found = [
            {seed for seed in one if (seed in CHOICE_SEEDS) != (name == "confirmation")} for one in found
        ]
        seeds = set().union(*found)
        missing = sum(len(seeds - one) for one in found)
        lines.append(f"{name}: {len(found)} configurations, {len(seeds)} seeds, {missing} runs missing.")
    failed = [run for run in runs if run["failed"]]
    if failed:
        lines.append(f"{len(failed)} runs gave up, the first: {failed[0]['failed'][:120]}")
    if stale:
        lines.append(f"{stale} runs of other settings than today's are left out.")
    return ["  \n".join(lines)]


def choice_table(scale: str, runs: list[Run]) -> list[str]:
    """Every setting's gain on the seeds of choice, the chosen one in bold."""
    lines = []
    chosen = {c["settings"] for c in choice(scale, runs).values()}
    for settings in candidates(scale).values():
        found = gains(settings, runs)
        for c in settings:
            if c["settings"] in found:
                name = f"**{name_of(c)}**" if c["settings"] in chosen else name_of(c)
                gain = found[c["settings"]]
                lines.append(f"| {name} | {shown(gain, 1)} | {gain.n} |")
    return ["| | mean gain in image AU-ROC, points | pairs |", "|---|---|---|", *lines] if lines else NO_RUNS


def defect_columns(runs: list[Run], place: str = "tiles@96") -> dict[str, str]:
    """PatchCore's image AU-ROC by type of defect, small ones first; the heads say their median area."""
    area = f"{place} area, "
    sizes = {n.removeprefix(area): v for run in runs for n, v in run["values"].items() if n.startswith(area)}
    kinds = sorted(sizes, key=sizes.get)
    return {f"{place} PatchCore image AU-ROC, {kind}": f"{kind} ({sizes[kind]:.2g} %)" for kind in kinds}


def draw_dose(pairs: dict[tuple[str, str], list[Pair]], path: Path) -> None:
    """A column a method, a row a measure: the difference from eta 0 over eta, with its interval."""
    size = len(DOSE), len(SELF_SUPERVISED)
    figure, axes = plt.subplots(*size, figsize=(9, 10), sharex=True, sharey="row", layout="constrained")
    for (method, draws), of in pairs.items():
        for row, measure in enumerate(DOSE):
            axis = axes[row, SELF_SUPERVISED.index(method)]
            found = [(i, pair.difference(measure)) for i, pair in enumerate(of, 1)]
            found = [(i, d) for i, d in found if d is not None and d.n > 1]
            x, mean = [0, *(i for i, _ in found)], [0.0, *(d.mean for _, d in found)]
            low, high = ([0.0, *(getattr(d, end) for _, d in found)] for end in ("low", "high"))
            axis.plot(x, mean, ".-", color=DRAWS[draws], label=f"{draws} draws")
            axis.fill_between(x, low, high, color=DRAWS[draws], alpha=0.15, linewidth=0)
            axis.axhline(0, color="grey", linewidth=0.7)
            axis.tick_params(labelsize=7)
            axes[row, 0].set_ylabel(DOSE[measure], fontsize=8)
        axes[0, SELF_SUPERVISED.index(method)].set_title(METHODS[method], fontsize=10)
    axes[0, 0].set_xticks(range(len(ETAS) + 1), ["0", *(f"{eta:g}" for eta in ETAS)])
    axes[0, 0].legend(fontsize=7)
    figure.supxlabel("eta", fontsize=9)
    _save(figure, path)


def draw_forest(chosen: list[Run], runs: list[Run], path: Path, title: str) -> None:
    """A column a chosen setting, a row a metric: each set's difference with its interval."""
    at = places(runs)
    shape = (2.3 * len(chosen) + 1.5, (0.2 * len(at) + 1) * len(DRAWN))
    figure, axes = plt.subplots(len(DRAWN), len(chosen), figsize=shape, sharey=True, sharex="row",
                                layout="constrained", squeeze=False)  # fmt: skip
    for column, c in enumerate(chosen):
        axes[0, column].set_title(name_of(c).replace(", eta", "\neta"), fontsize=7)
        for axis, metric in zip(axes[:, column], DRAWN, strict=True):
            for row, pair in enumerate(rows([c], runs, at)):
                for shift, (detector, colour) in enumerate(DETECTORS.items()):
                    found = pair.difference(f"{detector} {metric}")
                    if found is not None and found.n > 1:
                        y = row + 0.3 * shift - 0.15
                        axis.plot([found.low, found.high], [y, y], color=colour, linewidth=1.3)
                        axis.plot(found.mean, y, "o", color=colour, markersize=3)
            axis.axvline(0, color="grey", linewidth=0.8)
            axis.set_xlabel(f"{metric}, points", fontsize=8)
            axis.tick_params(labelsize=7)
    axes[0, 0].set_yticks(range(len(at)), at)
    axes[0, 0].invert_yaxis()
    figure.suptitle(f"{title}: with SPD minus without; PaDiM blue, PatchCore brown", fontsize=9)
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def put(name: str, lines: list[str]) -> None:
    """Replaces the section `name` of the page."""
    text, marks = PAGE.read_text(), (f"<!-- begin {name} -->", f"<!-- end {name} -->")
    if marks[0] not in text:
        raise ValueError(f"{PAGE}: no section {name}")
    pattern = re.escape(marks[0]) + ".*?" + re.escape(marks[1])
    section = "\n".join([marks[0], *lines, marks[1]])
    atomic_write(PAGE, re.sub(pattern, lambda _: section, text, flags=re.S))


def quick(runs: list[Run]) -> str:
    """What `--quick` found, as a table."""
    columns = {"blend": DOSE["blend"], **{f"tiles@96 {name}": words for name, words in JUDGED.items()}}
    return "\n".join(table(rows(listed("cpu", (), quick=True)[1:], runs), columns, 2))


def report(results: Path) -> None:
    """Writes the page's sections from the runs in the folder and those of the CSV that it lacks."""
    path = DOCS / "study-runs.csv"
    found = {run["key"]: run for run in [*files.read_csv(path), *files.load(results)]}
    runs = [run for run in found.values() if run["judge"] != "quick"]
    runs.sort(key=lambda run: (run["scale"], run["settings"], run["seed"]))
    if not runs:
        return
    files.write_csv(runs, path)
    runs = files.read_csv(path)  # so that the page is what the file says
    written: dict[str, list[str]] = {}
    for scale in sorted({run["scale"] for run in runs}):
        today = {c["settings"] for c in listed(scale, GRIDS)}
        own = [run for run in runs if run["scale"] == scale]
        kept = [run for run in own if run["settings"] in today]
        for name, lines in sections(scale, kept, len(own) - len(kept)).items():
            written.setdefault(name, []).extend(["", f"On a {scale.upper()}:", "", *lines])
    for name, lines in written.items():
        put(name, [*lines, ""])


def sections(scale: str, runs: list[Run], stale: int) -> dict[str, list[str]]:
    """Section -> its lines, for the runs of one scale; draws the pictures."""
    for run in runs:
        if (points := target(run)) is not None:
            run["values"]["target"] = points
    first = [run for run in runs if run["seed"] in CHOICE_SEEDS]
    later = [run for run in runs if run["seed"] not in CHOICE_SEEDS]
    chosen, at = list(choice(scale, runs).values()), places(runs)
    with_spd = {grid: [c for c in listed(scale, [grid]) if c["spd"] != NONE] for grid in GRIDS}
    curves = {(method, draws): rows([c for c in with_spd["dose"] if c["method"] == method
                                     and c["spd"] == {"eta": c["spd"]["eta"], "weak_draws": draws}], first)
              for method in SELF_SUPERVISED for draws in DRAWS}  # fmt: skip
    statistics = [c for c in with_spd["dose"] if "statistics" in c["spd"]]
    supervised = rows([c for c in with_spd["dose"] if c["method"] == "supervised"], first)
    chance = {seed: {"values": {"perturbed": 50.0}} for seed in CHOICE_SEEDS}
    photographs = [c for c in with_spd["detectors"] if c["corpus"] == "photographs"]
    generated = [c for c in with_spd["detectors"] if c["corpus"] == "generated"]
    both = [
        o
        for c in generated
        for o in with_spd["detectors"]
        if (o["method"], o["spd"]) == (c["method"], c["spd"])
    ]
    targets = [place for place in TARGETS if place in at]
    start, *continued = [c for c in listed(scale, ["continued"]) if c["spd"] == NONE]
    given = seeds_of(runs, start).get(0)
    from_start = [p._replace(base=dict.fromkeys(p.new, given)) for p in rows(continued, first, targets)]
    images, of = DOCS / "images", "" if scale == "cpu" else f"-{scale}"
    pictures = {"dose": [], "confirmed": []}
    if any(pair.new and pair.base for pairs in curves.values() for pair in pairs):
        draw_dose(curves, images / f"study-dose{of}.png")
        pictures["dose"] = [f"![Differences from eta 0 over eta](images/study-dose{of}.png)", ""]
    if chosen:
        title = "Seeds 10 - 19" if later else "Seeds 0 - 9, on which the settings were chosen"
        draw_forest(chosen, later or first, images / f"study-detectors{of}.png", title)
        pictures["confirmed"] = ["", f"![Detectors with SPD minus without](images/study-detectors{of}.png)"]
    return {
        "state": state(scale, runs, stale),
        "dose": [*pictures["dose"], *table([pair for pairs in curves.values() for pair in pairs], DOSE, 2)],
        "statistics": table(rows(statistics, first, base=lambda c: _own_statistics(c, with_spd)), DOSE, 2),
        "supervised": table(supervised, OF_H, 2),
        "guessing": table([p._replace(base=chance) for p in supervised], {"perturbed": "right - 50, points"}),
        "choice": choice_table(scale, runs),
        "explored": table(rows(chosen, first), CHIEF),
        "confirmed": [*table(rows(chosen, later), CHIEF), *pictures["confirmed"]],
        "everywhere": table(rows(chosen, later, at), JUDGED),
        "defects": table(rows(photographs, first), defect_columns(runs)),
        "corpus": table(rows(both, first, targets), JUDGED),
        "start": table(from_start, JUDGED) if given else NO_RUNS,
    }


def _own_statistics(c: Run, with_spd: Mapping[str, list[Run]]) -> Run:
    """The same with BatchNorm statistics of its own for each of SPD's views."""
    spd = {key: value for key, value in c["spd"].items() if key != "statistics"}
    return next(o for o in with_spd["dose"] if (o["method"], o["spd"]) == (c["method"], spd))
