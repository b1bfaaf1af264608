"""The results page: one static HTML file beside a folder of small pictures; nothing is asked of a network."""

import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2
import pandas as pd

from spd.files import atomic_write, read_json
from spd.linear_protocol.published import notes as linear_notes
from spd.report import charts
from spd.report.arrange import means_sections, row_word, signed
from spd.report.cells import Cell, read_cells
from spd.report.claims import colour_of
from spd.report.document import Document
from spd.report.figures import read_history
from spd.report.footer import banner, facts, no_result, notes, rebuild_command
from spd.report.names import Names
from spd.report.options import TableOptions
from spd.report.pictures import RULE, write_pictures
from spd.report.scored import Scored
from spd.report.tidy import COLUMNS, MEAN, TASKS, one_preset, selected

PAGE = "index.html"
FOLDER = "site"


@dataclass(frozen=True)
class TableFiles:
    """A table as spd.report.tables wrote it."""

    name: str
    options: TableOptions
    csv: Path
    cells: Sequence[Path]
    data: Sequence[str] = ()
    """As `spd.report.tables.write_table` has it."""


@dataclass(frozen=True)
class Backbone:
    """A pre-training's record (workflow_scripts.common.records), and its history (JSON lines) where it was trained here."""

    record: Path
    history: Path | None = None


@dataclass(frozen=True)
class Sources:
    """Everything the page is made of. Whatever is missing is left out of the page."""

    tables: Sequence[TableFiles]
    overview: Path | None = None
    """The CSV of spd.report.tables.write_overview."""
    claims: Path | None = None
    """The CSV of spd.report.claims.write_claims."""
    backbones: Sequence[Backbone] = ()
    scored: Sequence[Scored] = ()
    """Runs that are shown as heat maps."""
    figures: Path | None = None
    """The folder of spd.report.qualitative.write_figures."""
    notices: Sequence[str] = field(default=())
    """Licence notices of the data shown."""
    names: Names = field(default_factory=Names)
    """What the keys in cells and records are called."""
    linear: Sequence[Mapping[str, Any]] = ()
    """Finished results of the linear protocol (spd.linear_protocol.published.note)."""
    generated: Sequence[str] = ()
    """Names of data sets whose images were generated."""


class Value(NamedTuple):
    """A cell of a sortable table: what is read, what is sorted by (None: last), and its colour."""

    text: str
    key: float | str | None
    sign: str = ""
    code: bool = False
    anchor: str = ""
    """Its name for links inside the page."""
    links: Sequence[tuple[str, str]] = ()
    """(word, anchor): shown in place of the text."""


class Sortable(NamedTuple):
    """A table whose columns sort; the first `labels` columns are words."""

    caption: str
    heads: Sequence[str]
    labels: int
    rows: Sequence[Sequence[Value]]
    prose: bool = False  # the first column is sentences


def write_site(sources: Sources, out: str | Path, *, preset: str) -> Path:
    """Writes `<out>/index.html` and `<out>/site/*.webp`; returns the page's path.

    The page holds every table's means, its objects in a sortable table, the claims, a browser of heat maps,
    the curves of the pre-trainings, provenance, and each run's key as a search for MLflow. It links files
    below `out` by relative paths, only those that exist. The same sources give the same bytes; the page is
    written last and whole. Raises ValueError as read_cells, read_object and read_history do, and for a CSV
    that is no table.
    """
    out = Path(out)
    tables = [_table(table, out, preset, sources) for table in sources.tables]
    datasets = [name for table in sources.tables for name in table.options.datasets]
    views = write_pictures(sources.scored, out / FOLDER)
    text = (
        _environment()
        .get_template("site.html.j2")
        .render(
            preset=preset,
            banner="" if preset == "paper" else no_result(datasets, sources.generated),
            tables=tables,
            claims=_claims(sources.claims, out),
            overview=_overview(sources.overview, out),
            browser={"folder": FOLDER, "views": views},
            rule=RULE,
            training=_training(sources.backbones, sources.names),
            judged=_judged(sources),
            box=charts,
            runs=_runs(sources),
            figures=_figures(sources.figures, out),
            notices=sources.notices,
            rebuild=rebuild_command("site", preset),
        )
    )
    return atomic_write(out / PAGE, text)


def search(run_key: str) -> str:
    """What to type into MLflow's search box to find a run: its id is not known before the run is synced."""
    quotes = '"' if "'" in run_key else "'"
    return f'tags."spd.run_key" = {quotes}{run_key}{quotes}'


def read_table(path: str | Path) -> pd.DataFrame:
    """The tidy frame of a table's CSV, with the types it was written with."""
    frame = pd.read_csv(path, keep_default_na=False, na_values={c: [""] for c in _NUMBERS})
    if list(frame.columns) != COLUMNS:
        raise ValueError(f"{path}: not the CSV of a table (its columns differ); delete it and run again")
    words = {c: "object" for c in COLUMNS if c not in _NUMBERS}
    return frame.astype({"shots": "Int64", "n": "Int64"} | words)


_NUMBERS = (
    *("shots", "n", "value", "std", "ci_low", "ci_high", "delta", "delta_ci_low", "delta_ci_high"),
    *("published", "published_delta"),
)


def _table(table: TableFiles, out: Path, preset: str, sources: Sources) -> dict[str, Any]:
    frame = read_table(table.csv)
    cells = read_cells(table.cells, sources.names, linear_notes(sources.linear))
    cells = selected(cells, table.options)
    document = Document(
        table.name,
        table.options.title,
        table.options.caption,
        means_sections(frame, cells, table.options),
        banner=banner(one_preset(cells), table.options, sources.generated),
        notes=[*table.data, *notes(frame, cells, table.options)],
        facts=facts(table.name, preset, cells),
    )
    beside = {s: table.csv.with_suffix(f".{s}") for s in ("csv", "md", "tex", "html")}
    beside["every object (html)"] = table.csv.with_name(f"{table.csv.stem}_objects.html")
    objects = _objects(frame, table.options, cells)
    return {"document": document, "objects": objects, "links": _links(beside, out)}


def _objects(frame: pd.DataFrame, options: TableOptions, cells: Sequence[Cell]) -> Sortable:
    """A row an object and pre-training; columns: each task and metric, the effect of SPD, and the runs."""
    frame = frame[(frame["object"] != MEAN) & frame["metric"].isin(options.metrics)]
    numbers = [
        (task, metric)
        for task in TASKS
        for metric in options.metrics
        if ((frame["task"] == task) & (frame["metric"] == metric)).any()
    ]
    deltas = frame["delta"].notna().any()
    words = ["dataset", "object", "method", "backbone", "detector", "profile", "shots"]
    varying = [w for w in words if w in ("dataset", "object", "method") or frame[w].nunique(dropna=False) > 1]
    heads = [{"dataset": "data set", "method": "pre-training"}.get(w, w).capitalize() for w in varying]
    for task, metric in numbers:
        heads += [f"{task} {metric}", *([f"effect of SPD on {metric}"] if deltas else [])]
    heads.append("run")
    rows = []
    runs = _runs_of(cells, by_detector=options.detector is not None)
    keys = ["dataset", "detector", "profile", "shots", "object", "method", "spd", "backbone"]
    if options.detector is None:  # the classifier and the U-Net share a row
        keys.remove("detector")
        if "detector" in varying:
            heads.pop(varying.index("detector"))
            varying.remove("detector")
    for _, group in frame.groupby(keys, sort=False, dropna=False):
        first = group.iloc[0]
        row = []
        for word in varying:
            text = row_word(first["method"], first["spd"]) if word == "method" else first[word]
            row.append(Value("", None) if pd.isna(text) else Value(str(text), str(text)))
        found = {(r.task, r.metric): r for r in group.itertuples()}
        for number in numbers:
            one = found.get(number)
            row.append(_number(None if one is None else one.value))
            if deltas:
                row.append(_effect(None if one is None else one.delta))
        shots = None if pd.isna(first["shots"]) else int(first["shots"])
        own = (first["detector"],) if options.detector is not None else ()
        same = ("dataset", "profile", "object", "method", "spd", "backbone")
        links = runs[(*(first[word] for word in same), shots, *own)]
        row.append(Value(", ".join(word for word, _ in links), None, links=links))
        rows.append(row)
    return Sortable(f"{options.title}: every object", heads, len(varying), rows)


def _runs_of(cells: Sequence[Cell], by_detector: bool) -> dict[tuple, list[tuple[str, str]]]:
    """What a row of objects is -> (word, anchor in the list of runs) of each run behind it."""
    found: dict[tuple, dict[str, Cell]] = {}
    for cell in cells:
        row = cell.pretraining
        own = (cell.detector,) if by_detector else ()
        for name in cell.objects:
            key = (
                cell.dataset,
                cell.shown_profile,
                name,
                row.method,
                row.spd,
                row.backbone,
                cell.shots,
                *own,
            )
            found.setdefault(key, {}).setdefault(cell.provenance.run_key, cell)
    named = {}
    for key, runs in found.items():
        detectors = {cell.detector for cell in runs.values()}
        seeds = {cell.pretraining.seed for cell in runs.values()}
        named[key] = [
            (
                " ".join(
                    [
                        *([cell.detector] if len(detectors) > 1 else []),
                        *([f"seed {cell.pretraining.seed}"] if len(seeds) > 1 else []),
                    ]
                )
                or "run",
                _anchor(run_key),
            )
            for run_key, cell in runs.items()
        ]
    return named


def _anchor(run_key: str) -> str:
    return f"run-{hashlib.sha256(run_key.encode()).hexdigest()[:12]}"


def _number(value: float | None) -> Value:
    return Value("", None) if value is None or pd.isna(value) else Value(f"{value:.1f}", float(value))


def _effect(points: float | None) -> Value:
    if points is None or pd.isna(points):
        return Value("", None)
    text = signed(points)
    return Value(text, float(points), {"+": "up", "−": "down"}.get(text[0], ""))


def _claims(path: Path | None, out: Path) -> dict[str, Any] | None:
    if path is None:
        return None
    frame = pd.read_csv(path, keep_default_na=False)
    rows = []
    for row in frame.to_dict("records"):
        interval = ""
        if row["ci_low"] != "" and row["ci_high"] != "":
            interval = f"[{signed(float(row['ci_low']))}, {signed(float(row['ci_high']))}]"
        rows.append(
            [
                Value(row["statement"], row["statement"]),
                Value(row["verdict"], row["verdict"], colour_of(row["verdict"])),
                _effect(None if row["effect"] == "" else float(row["effect"]))._replace(sign=""),
                Value(interval, None if not interval else float(row["ci_low"])),
                _effect(None if row["published"] == "" else float(row["published"]))._replace(sign=""),
            ]
        )
    counts = frame["verdict"].value_counts(sort=False).to_dict()
    beside = {s: path.with_suffix(f".{s}") for s in ("csv", "md", "tex", "html")}
    heads = ["Claim", "Verdict", "Effect", "95 % interval", "Published"]
    return {
        "table": Sortable("Claims", heads, 2, rows, prose=True),
        "counts": counts,
        "links": _links(beside, out),
    }


def _overview(path: Path | None, out: Path) -> dict[str, Any] | None:
    if path is None:
        return None
    frame = pd.read_csv(path, keep_default_na=False, na_values={"found": [""], "stated": [""]})
    columns = list(dict.fromkeys(zip(frame["split"], frame["label"], strict=True)))
    rows = []
    for key, group in frame.groupby(["dataset", "setup", "object"], sort=False):
        found = {(r.split, r.label): r for r in group.itertuples()}
        row = [Value(str(word), str(word)) for word in key]
        for column in columns:
            one = found.get(column)
            if one is None or pd.isna(one.found):
                row.append(Value("", None))
            else:
                differs = not pd.isna(one.stated) and one.stated != one.found
                text = f"{one.found:.0f}" + (f" ≠ {one.stated:.0f} stated" if differs else "")
                row.append(Value(text, float(one.found), "down" if differs else ""))
        rows.append(row)
    heads = ["Data set", "Setup", "Object", *(f"{split}, {label}" for split, label in columns)]
    beside = {s: path.with_suffix(f".{s}") for s in ("csv", "md", "tex", "html")}
    return {"table": Sortable("Images of each data set", heads, 3, rows), "links": _links(beside, out)}


def _training(backbones: Sequence[Backbone], names: Names) -> list[dict[str, Any]]:
    """One group of charts a label and backbone: losses of different methods have different scales."""
    groups: dict[tuple[str, str], dict[str, list]] = {}
    for one in backbones:
        if one.history is None:
            continue
        params = names.in_params(read_json(one.record)["params"])
        group = groups.setdefault((params["method"], params["backbone"]), {})
        label = row_word(params["method"], params["spd"])
        if label in group or params.get("seed", 0) != 0:
            label += f", seed {params['seed']}"
        group[label] = read_history(one.history)
    return [
        {"title": f"{method}, {backbone}", "labels": list(group), "charts": charts.training_charts(group)}
        for (method, backbone), group in groups.items()
    ]


def _judged(sources: Sources) -> dict[str, Any] | None:
    """What each pre-training knows of images it was not trained on, and by which protocol it was asked."""
    by_linear_protocol = {one["checkpoint"]: one for one in sources.linear}
    flagged = linear_notes(sources.linear)
    rows, protocols, notes = [], [], []
    for one in sources.backbones:
        record = read_json(one.record)
        metrics, provenance = record["metrics"], record["provenance"]
        linear = by_linear_protocol.get(provenance.get("checkpoint"))
        if not provenance.get("protocol") and linear is None:
            continue
        protocols += [provenance["protocol"]] if provenance.get("protocol") else []
        params = sources.names.in_params(record["params"])
        label = f"{row_word(params['method'], params['spd'])}, {params['backbone']}, seed {params['seed']}"
        known = [metrics.get(f"final/{key}") for key in ("knn", "linear", "perturbed_accuracy")]
        row = [Value(label, label), *(_number(None if value is None else 100 * value) for value in known)]
        if known[2] is not None and provenance.get("notes"):
            row[3] = row[3]._replace(sign="down")
        short = flagged.get(provenance.get("checkpoint"), [])
        if sources.linear:
            top1 = _number(linear["top1"] if linear else None)._replace(sign="down" if short else "")
            row += [top1, _number(linear["published"] if linear else None)]
        rows.append(row)
        notes += [f"{label}: {note}" for note in (*provenance.get("notes", []), *short)]
    if not rows:
        return None
    heads = ["Pre-training", "kNN, %", "Linear, %", "Sees local change (xent), %"]
    heads += ["Linear protocol, %", "Published, %"] if sources.linear else []
    return {
        "notes": notes,
        "table": Sortable("Pre-trainings on held-out images", heads, 1, rows),
        "protocols": list(dict.fromkeys(protocols)),
    }


def _runs(sources: Sources) -> Sortable:
    """Every run behind the page, with its search string; the first row of a run is what links lead to."""
    rows = []
    linked: set[str] = set()
    for one in sources.backbones:
        record = read_json(one.record)
        p = record["provenance"]
        hashes = p.get("code"), p.get("commit"), p.get("checkpoint")
        rows.append(_run(("pre-training", record["name"]), *hashes, record["key"]))
    cells: dict[Path, None] = {path: None for table in sources.tables for path in table.cells}
    for cell in read_cells(cells, sources.names):
        p = cell.provenance
        row = _run((cell.detector, _run_name(cell)), p.code, p.commit, p.checkpoint, p.run_key)
        if p.run_key not in linked:
            row[0] = row[0]._replace(anchor=_anchor(p.run_key))
            linked.add(p.run_key)
        rows.append(row)
    return Sortable(
        "Runs", ["Stage", "Run", "Code", "Commit", "Backbone's hash", "Search in MLflow"], 6, rows
    )


def _run_name(cell: Cell) -> str:
    part = f", {next(iter(cell.objects))}" if len(cell.objects) == 1 else ""
    few = f", {cell.shots}-shot draw {cell.draw}" if cell.shots is not None else ""
    seed = f"seed {cell.pretraining.seed}"
    return f"{cell.pretraining.name}, {seed}, {cell.dataset}{part} ({cell.setup}{few}, {cell.profile})"


def _run(labels: Sequence[str], code: str | None, commit: str | None, checkpoint: str | None, key: str):
    hashes = [Value(text or "", text or None, code=True) for text in (code, commit, (checkpoint or "")[:12])]
    return [*(Value(text, text) for text in labels), *hashes, Value(search(key), key, code=True)]


def _figures(folder: Path | None, out: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    """Folder below `figures` -> its pictures as (name, link)."""
    if folder is None:
        return []
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(folder.rglob("*.png")):
        place = path.parent.relative_to(folder).as_posix()
        found.setdefault("" if place == "." else place, []).append((path.stem, _link(path, out)))
    return list(found.items())


def _links(files: Mapping[str, Path], out: Path) -> list[tuple[str, str]]:
    return [(word, _link(path, out)) for word, path in files.items() if path.is_file()]


def _link(path: Path, out: Path) -> str:
    """A relative URL from the page to a file."""
    return quote(Path(os.path.relpath(path.resolve(), out.resolve())).as_posix())


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("spd.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
