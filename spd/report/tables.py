"""Tables as files: CSV by the contract, and Markdown, LaTeX and HTML for people."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from spd.report.arrange import means_sections, object_sections
from spd.report.cells import Cell
from spd.report.document import Document, Entry, Row, Section, write_document
from spd.report.footer import banner, facts, notes
from spd.report.options import TableOptions
from spd.report.output import replace_file
from spd.report.tidy import one_preset, selected, tidy


def write_table(cells: Iterable[Cell], name: str, options: TableOptions, out: str | Path) -> list[Path]:
    """Writes `<out>/<name>.{csv,md,tex,html}` and `<out>/<name>_objects.{md,tex,html}`; returns the paths.

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
        "banner": banner(preset, options),
        "notes": notes(frame, cells, options),
        "facts": facts(name, preset, cells),
    }
    means = Document(name, caption=options.caption, sections=means_sections(frame, cells, options), **parts)
    parts["title"] = f"{options.title}: every object"
    objects = Document(f"{name}_objects", caption="", sections=list(object_sections(frame, options)), **parts)
    return [
        write_csv(frame, Path(out) / f"{name}.csv"),
        *write_document(means, out, name),
        *write_document(objects, out, f"{name}_objects"),
    ]


def write_csv(frame: pd.DataFrame, path: str | Path) -> Path:
    """Writes a frame as UTF-8 CSV with `\\n` line ends; numbers round-trip, what is missing is empty."""
    return replace_file(path, frame.to_csv(index=False, lineterminator="\n"))


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
    """Writes `<out>/<name>.{csv,md,tex,html}` of a frame whose rows are parts of data sets.

    Columns of text before the first column of numbers become row labels; `a_b` is headed `a b`. A row whose
    first label differs from the row above starts a group.
    """
    labels = 0
    while labels < frame.shape[1] and not pd.api.types.is_numeric_dtype(frame.iloc[:, labels]):
        labels += 1
    labels = max(1, labels)
    heads = [str(column).replace("_", " ") for column in frame.columns]
    rows, previous = [], None
    for values in frame.itertuples(index=False, name=None):
        texts = [_word(value) for value in values]
        rows.append(
            Row(
                texts[:labels],
                [Entry(text) for text in texts[labels:]],
                starts=previous not in (None, texts[0]),
            )
        )
        previous = texts[0]
    section = Section("", heads[:labels], [(head,) for head in heads[labels:]], rows)
    document = Document(name, title, caption, [section], notes=list(notes), facts=facts(name, preset, []))
    return [write_csv(frame, Path(out) / f"{name}.csv"), *write_document(document, out, name)]


def _word(value: object) -> str:
    if value is None or (not isinstance(value, (list, tuple)) and pd.isna(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
