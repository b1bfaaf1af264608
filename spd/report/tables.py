"""Tables as files: CSV by the contract, and Markdown, LaTeX and HTML for people."""

from collections.abc import Collection, Iterable
from pathlib import Path

import pandas as pd

from spd.files import atomic_write
from spd.report.arrange import means_sections, object_sections
from spd.report.by_defect import by_defect
from spd.report.cells import Cell
from spd.report.document import Document, Entry, Row, Section, write_document
from spd.report.footer import banner, facts, notes
from spd.report.options import TableOptions
from spd.report.tidy import one_preset, selected, tidy


def write_table(
    cells: Iterable[Cell],
    name: str,
    options: TableOptions,
    out: str | Path,
    *,
    data: Iterable[str] = (),
    generated: Collection[str] = (),
) -> list[Path]:
    """Writes `<out>/<name>.{csv,md,tex,html}` and `<out>/<name>_objects.{md,tex,html}`; returns the paths.

    data: sentences about the data sets that stand first under the table, such as
    `spd.report.footer.let_through`'s. generated: names of data sets whose images were generated, which the
    banner then says.
    The same cells and options give the same bytes. Files are whole or absent. Raises ValueError as `tidy`
    does, and when no cell belongs to the table.
    """
    cells = selected(cells, options)
    if not cells:
        raise ValueError(
            f"table {name}: none of the given results belongs to it; its rows are {', '.join(options.rows)}"
        )
    frame = tidy(cells, name, options)
    preset = one_preset(cells)
    parts = {
        "title": options.title,
        "banner": banner(preset, options, generated),
        "notes": [*data, *notes(frame, cells, options)],
        "facts": facts(name, preset, cells),
    }
    means = Document(name, caption=options.caption, sections=means_sections(frame, cells, options), **parts)
    parts["title"] = f"{options.title}: every object"
    types = by_defect(cells, name, options)
    sections = [*object_sections(frame, options), *object_sections(types, options, by_defect=True)]
    objects = Document(f"{name}_objects", caption="", sections=sections, **parts)
    return [
        write_csv(frame, Path(out) / f"{name}.csv"),
        *write_document(means, out, name),
        *write_document(objects, out, f"{name}_objects"),
    ]


def write_csv(frame: pd.DataFrame, path: str | Path) -> Path:
    """Writes a frame as UTF-8 CSV with `\\n` line ends; numbers round-trip, what is missing is empty."""
    return atomic_write(path, frame.to_csv(index=False, lineterminator="\n"))


def write_overview(
    frame: pd.DataFrame,
    name: str,
    out: str | Path,
    *,
    title: str = "Data sets: images found and stated",
    caption: str = "",
    preset: str | None = None,
    notes: Iterable[str] = (),
) -> list[Path]:
    """Writes `<out>/<name>.{csv,md,tex,html}` of the images of each data set, found and as published.

    frame: columns dataset, setup, object, split, label, found, stated (missing where nothing is published).
    The CSV holds it as it is; rendered, a row is an object and each setup ends in a row of totals.
    """
    columns = list(dict.fromkeys(zip(frame["split"], frame["label"], strict=True)))
    stated = frame["stated"].notna().any()
    words = ("found", "stated") if stated else ("found",)
    rows: list[Row] = []
    for (dataset, setup), part in frame.groupby(["dataset", "setup"], sort=False):
        starts = bool(rows)
        for key, group in part.groupby("object", sort=False):
            rows.append(Row([dataset, setup, key], _counts(group, columns, words), starts=starts))
            starts = False
        totals = part.groupby(["split", "label"], sort=False)[["found", "stated"]]
        totals = totals.agg(lambda numbers: numbers.sum(min_count=len(numbers))).reset_index()
        rows.append(Row([dataset, setup, "total"], _counts(totals, columns, words), strong=True))
    headers = [
        (split, label, word) if stated else (split, label) for split, label in columns for word in words
    ]
    section = Section("", ["Data set", "Setup", "Object"], headers, rows)
    marked = any(entry.mark for row in rows for entry in row.entries)
    sentences = [*notes, *([f"{DIFFERS} Found and stated differ."] if marked else [])]
    document = Document(name, title, caption, [section], notes=sentences, facts=facts(name, preset, []))
    return [write_csv(frame, Path(out) / f"{name}.csv"), *write_document(document, out, name)]


DIFFERS = "≠"


def _counts(group: pd.DataFrame, columns: list[tuple], words: tuple[str, ...]) -> list[Entry]:
    found = {(r.split, r.label): r for r in group.itertuples()}
    entries = []
    for column in columns:
        row = found.get(column)
        for word in words:
            count = None if row is None else getattr(row, word)
            text = "" if count is None or pd.isna(count) else str(int(count))
            differs = word == "stated" and text and count != row.found
            entries.append(Entry(text, mark=DIFFERS if differs else ""))
    return entries
