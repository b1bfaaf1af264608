"""Names in a configuration that must be defined elsewhere in it, and names that must be free or distinct."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spd.detectors.registry import TWO_CLASS

REFERENCES = (
    # (where a name is used, where it is defined, what it names); * stands for any key
    ("corpus.dataset", "datasets", "data set"),
    ("pretrainings.*.backbone", "backbones", "backbone"),
    ("pretrainings.*.recipe", "recipes", "recipe"),
    ("pretrainings.*.spd", "spd", "SPD variant"),
    ("pretrainings.*.init", "pretrainings", "pre-training"),
    ("detectors.*.*.geometry", "geometries", "geometry"),
    ("dataset_overview.datasets", "datasets", "data set"),
    ("tables.*.datasets", "datasets", "data set"),
    ("tables.*.detector", "detectors", "detector"),
    ("tables.*.rows", "pretrainings", "pre-training"),
)

DISTINCT = (
    # lists in which a value given twice would be one result counted twice
    "datasets.*.setups",
    "datasets.*.objects",
    "pretrainings.*.seeds",
    "dataset_overview.datasets",
    "tables.*.datasets",
    "tables.*.profiles",
    "tables.*.rows",
    "tables.*.metrics",
    "fewshot.shots",
    "plan.gpus",
)

TAKEN = (
    *("all", "tables", "dataset_overview", "claims", "qualitative", "site", "mechanism", "plan", "preflight"),
    *("verify", "mlflow", "mlflow_sync", "demo_archive", "download", "unpack", "examine", "manifest"),
    *("images", "corpus", "pretrain", "views", "import_backbone", "features", "detect", "draws"),
    *("finetune_fewshot", "finetune_highshot", "linear_classifier", "linear_protocol", "absent"),
    "link_backbone",
)
"""Rules and targets of the workflow, which no table may be named after."""


def wrong_references(content: Mapping[str, Any]) -> Iterator[str]:
    """One line for each name that is used but not defined, defined twice, or taken by a rule.

    content: a merged configuration, not yet known to be valid: parts of another type than expected are left
    to the model.
    """
    for used, defined, kind in REFERENCES:
        known = content.get(defined, {})
        if not isinstance(known, Mapping):
            continue
        for key, value in _values(content, used):
            if value is not None:
                yield from unknown(key, value, kind, known)
    for name, table in _mapping(content.get("tables")).items():
        yield from _table(content, f"tables.{name}", _mapping(table))
        if name in TAKEN:
            yield f"tables.{name}: this name is taken by a rule or target of the workflow; choose another"
    for used in DISTINCT:
        for key, values in _lists(content, used):
            twice = sorted({str(value) for value in values if values.count(value) > 1})
            if twice:
                yield f"{key}: {', '.join(twice)} given twice; list each once"
    yield from _data_sets(content)
    yield from _trainings(content)
    yield from _circles(content)


def unknown(key: str, value: Any, kind: str, known: Iterable[str]) -> Iterator[str]:
    """A line that says what is allowed and what is nearest, unless `value` is known."""
    names = [str(name) for name in known]
    if isinstance(value, str | int | float) and value not in names:
        allowed = ", ".join(names) or "none is defined"
        yield f"{key}: no {kind} named {value!r}{nearest(str(value), names)}; allowed: {allowed}"


def nearest(name: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or '' where none comes near.

    A slip of the keyboard first, then another word for the same (`dimension` for `dim`, `learning_rate` for
    `lr`), then what merely looks alike.
    """
    known, initials = [str(n) for n in names], "".join(part[:1] for part in name.split("_"))
    other = [n for n in known if n == initials or (min(len(n), len(name)) > 2 and (n in name or name in n))]
    found = next(filter(None, (_close(name, *of) for of in ((known, 0.8), (other, 0.0), (known, 0.6)))), [])
    return f" (did you mean {found[0]!r}?)" if found else ""


def _close(name: str, known: list[str], alike: float) -> list[str]:
    return difflib.get_close_matches(name, known, n=1, cutoff=alike)


def _table(content: Mapping[str, Any], at: str, table: Mapping[str, Any]) -> Iterator[str]:
    setup = table.get("setup", "1cls")
    for name in table.get("datasets") if isinstance(table.get("datasets"), list | tuple) else []:
        dataset = _mapping(content.get("datasets")).get(name) if isinstance(name, str) else None
        setups = _mapping(dataset).get("setups", ["1cls"])
        if dataset is not None and isinstance(setups, list | tuple):
            yield from unknown(f"{at}.setup", setup, f"setup of {name}", setups)
    detector = table.get("detector")
    detectors = _mapping(content.get("detectors"))
    two_class = TWO_CLASS if setup != "1cls" else ()
    for used in (detector,) if isinstance(detector, str) else two_class:
        profiles = table.get("profiles", ["paper"])
        known = _mapping(detectors.get(used))
        for name in profiles if isinstance(profiles, list | tuple) and (known or used in two_class) else []:
            yield from unknown(f"{at}.profiles", name, f"{used} profile", known)


def _data_sets(content: Mapping[str, Any]) -> Iterator[str]:
    datasets = _mapping(content.get("datasets"))
    by_name: dict[Any, list[str]] = {}
    for key, dataset in datasets.items():
        if isinstance(name := _mapping(dataset).get("name"), str):
            by_name.setdefault(name, []).append(key)
    for name, keys in by_name.items():
        if len(keys) > 1:
            same = " and ".join(keys)
            yield f"datasets: {same} have the same `name` {name!r}; tables could not tell them apart"
    chosen = _mapping(content.get("corpus")).get("dataset")
    reader = _mapping(datasets.get(chosen) if isinstance(chosen, str) else None).get("reader")
    if reader not in (None, "class_folders"):
        folders = [k for k, d in datasets.items() if _mapping(d).get("reader") == "class_folders"]
        yield (
            f"corpus.dataset: {chosen!r} has the reader {reader}; backbones are pre-trained on class folders"
            f"{nearest(str(chosen), folders)}; allowed: {', '.join(folders) or 'none is defined'}"
        )


def _trainings(content: Mapping[str, Any]) -> Iterator[str]:
    rows = _mapping(content.get("pretrainings"))
    trained = [name for name, row in rows.items() if _mapping(row).get("source") is None]
    for name in _mapping(_mapping(content.get("compute")).get("trainings")):
        yield from unknown("compute.trainings", name, "pre-training that is trained here", trained)


def _circles(content: Mapping[str, Any]) -> Iterator[str]:
    rows = _mapping(content.get("pretrainings"))
    reported: set[str] = set()
    for name in rows:
        path, at = [name], _mapping(rows[name]).get("init")
        while isinstance(at, str) and at in rows and at not in path:
            path.append(at)
            at = _mapping(rows[at]).get("init")
        if at in path and not reported & set(path):
            reported.update(path)
            circle = " -> ".join([*path[path.index(at) :], at])
            yield f"pretrainings.{at}.init: goes in a circle: {circle}; begin with a row without init"


def _values(content: Any, pattern: str) -> Iterator[tuple[str, Any]]:
    """(key, value) of each scalar at a pattern; a list gives its items."""
    for key, value in _at(content, pattern.split(".")):
        for item in value if isinstance(value, list | tuple) else [value]:
            yield key, item


def _lists(content: Any, pattern: str) -> Iterator[tuple[str, list[Any]]]:
    for key, value in _at(content, pattern.split(".")):
        if isinstance(value, list | tuple):
            yield key, list(value)


def _at(content: Any, parts: list[str], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if not parts:
        yield ".".join(path), content
        return
    found = _mapping(content)
    for key in found if parts[0] == "*" else [parts[0]]:
        if key in found:
            yield from _at(found[key], parts[1:], (*path, str(key)))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
