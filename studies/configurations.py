"""What every run of the study is told, and which setting of each method the first seeds choose."""

import json
from collections.abc import Iterable
from typing import Any

from spd.detectors.registry import DETECTORS as REGISTRY
from spd.methods.options import SPDOptions, parse_recipe
from studies.intervals import paired
from studies.judging import protocol
from studies.runs import key_of
from studies.settings import CHOICE_SEEDS, DETECTORS, GRIDS, NONE, QUICK, SCALES, STARTS, TARGETS, Row

Run = dict[str, Any]


def told(scale: str, row: Row, judge: str | None) -> dict[str, Any]:
    """Everything that a run is told beside its images and its seed, defaults included."""
    corpus, start, method, given = row
    of = STARTS[start]
    steps = of["common"]["steps"] * SCALES[scale]["times"]
    recipe = method and parse_recipe({"method": method, **of["common"], **of[method], "steps": steps})
    spd = SPDOptions(**given)
    term = None  # with eta 0 no other option does anything
    if spd.eta:
        resolved = {"objective": spd.objective_of(recipe), "statistics": spd.statistics_of(recipe)}
        views = spd.views(recipe.views).model_dump(mode="json")
        term = {**spd.model_dump(mode="json"), **resolved, "views": views}
    return {
        "corpus": corpus,
        "start": start,
        "architecture": of.get("architecture", SCALES[scale]["architecture"]),
        "canvas": of["canvas"],
        "recipe": recipe and recipe.model_dump(mode="json"),
        "spd": term,
        "stages": of["stages"],
        "judged": protocol(judge, of["stages"]) if judge else None,
    }


def asked(scale: str, row: Row, quick: bool = False) -> Run:
    """A configuration: the columns of its runs that say what it is, and `told`. One that any grid judges is
    judged whichever grid asks: it is trained once."""
    judged = any(row == other for grid in ("detectors", "continued") for other in GRIDS[grid])
    judge = "quick" if quick else "all" if judged else None
    everything = told(scale, row, judge)
    corpus, start, method, spd = row
    about = {"scale": scale, "corpus": corpus, "start": start, "method": method, "judge": judge}
    spd = json.loads(json.dumps(spd))  # tuples as JSON has them
    return {**about, "spd": spd, "settings": key_of(everything), "told": everything}


def listed(scale: str, only: Iterable[str], quick: bool = False) -> list[Run]:
    """The configurations of some grids, each once; `quick`: those of `QUICK` instead."""
    rows = QUICK if quick else {key_of(row): row for grid in only for row in GRIDS[grid]}.values()
    return [asked(scale, row, quick) for row in rows]


def seeds_of(runs: Iterable[Run], of: Run) -> dict[int, Run]:
    """Seed -> the finished run of a configuration (its `settings`)."""
    return {run["seed"]: run for run in runs if run["settings"] == of["settings"] and run["values"]}


def target(run: Run) -> float | None:
    """What the choice is by: mean image AU-ROC of both detectors on those of `TARGETS` that the run was
    judged on, in points; None for a run that was not judged."""
    names = [
        f"{place} {REGISTRY[detector].label} image AU-ROC" for place in TARGETS for detector in DETECTORS
    ]
    found = [run["values"][name] for name in names if name in run["values"]]
    return sum(found) / len(found) if found else None


def base_of(c: Run) -> Run:
    """The same without SPD."""
    return asked(c["scale"], (c["corpus"], c["start"], c["method"], NONE), c["judge"] == "quick")


def candidates(scale: str) -> dict[tuple[str | None, str], list[Run]]:
    """(start, method) -> the settings with SPD that are chosen from."""
    found: dict[tuple[str | None, str], list[Run]] = {}
    for c in listed(scale, ("detectors", "continued")):
        if c["corpus"] == "photographs" and c["spd"] != NONE:
            found.setdefault((c["start"], c["method"]), []).append(c)
    return found


def gains(settings: list[Run], runs: list[Run]) -> dict[str, Any]:
    """Settings' hash -> the paired gain on the seeds of `CHOICE_SEEDS` that the base and all settings have;
    empty where there is no such seed. Settings with a run that could not be judged are left out."""
    base_name = base_of(settings[0])["settings"]
    runs = [run for run in runs if run["seed"] in CHOICE_SEEDS]
    failed = {run["settings"] for run in runs if run["failed"]} - {base_name}
    of = {c["settings"]: seeds_of(runs, c) for c in [base_of(settings[0]), *settings]}
    of = {name: found for name, found in of.items() if name not in failed}
    common = set.intersection(*({s for s in found if target(found[s]) is not None} for found in of.values()))
    if not common:
        return {}
    points = {name: {s: target(found[s]) for s in common} for name, found in of.items()}
    base = points.pop(base_name)
    return {name: paired(values, base) for name, values in points.items()}


def choice(scale: str, runs: list[Run]) -> dict[tuple[str | None, str], Run]:
    """(start, method) -> the setting chosen by the rule of `settings`; a method without complete seeds has
    none."""
    chosen = {}
    for which, settings in candidates(scale).items():
        if found := gains(settings, runs):
            chosen[which] = max(
                [c for c in settings if c["settings"] in found],
                key=lambda c: (found[c["settings"]].mean, -c["spd"]["eta"]),
            )
    return chosen


def confirming(scale: str, only: Iterable[str], runs: list[Run]) -> list[Run]:
    """What later seeds run: each method's chosen setting and the same without SPD. Raises ValueError where
    nothing can be chosen yet."""
    starts = {"detectors": None, "continued": "lite0"}
    wanted = {starts[grid] for grid in only if grid in starts}
    if not wanted:
        raise ValueError("nothing is chosen by the dose, so that it has nothing to confirm")
    found = [c for (start, _), c in choice(scale, runs).items() if start in wanted]
    if not found:
        raise ValueError("no method has all its settings on a seed of 0 - 9 yet: run those first")
    return [c for chosen in found for c in (base_of(chosen), chosen)]
