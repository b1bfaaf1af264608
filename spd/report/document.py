"""A rendered table as a document: sections of headers and rows, and what is said above and below them.

Templates (`templates/`) turn one document into Markdown, LaTeX and HTML; escaping happens there.
"""

import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from spd.files import atomic_write
from spd.report.markup import latex, markdown

FORMATS = ("md", "tex", "html")


@dataclass(frozen=True)
class Entry:
    """One number as shown; `sign` (up, down or empty) colours it in HTML, beside the sign in its text."""

    text: str = ""
    interval: str = ""
    std: str = ""
    delta: str = ""
    sign: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """Label texts, then one entry a column; a rule is drawn above a row that `starts` a group."""

    labels: Sequence[str]
    entries: Sequence[Entry]
    starts: bool = False
    strong: bool = False


@dataclass(frozen=True)
class Section:
    """A grid. `columns`: one tuple of header texts per column, all of the same length, top level first."""

    title: str
    label_heads: Sequence[str]
    columns: Sequence[tuple[str, ...]]
    rows: Sequence[Row]
    text: bool = False  # entries are words, not numbers

    @property
    def header(self) -> list[list[tuple[str, int]]]:
        """Header rows as (text, span), equal neighbours under the same heading merged."""
        depth = len(self.columns[0]) if self.columns else 1
        rows = []
        for level in range(depth):
            spans = itertools.groupby(self.columns, key=lambda column: column[: level + 1])
            rows.append([(prefix[-1], sum(1 for _ in group)) for prefix, group in spans])
        return rows

    def rules(self, level: int) -> list[tuple[int, int]]:
        """First and last column (from 1, labels included) of each heading of a level, for cmidrule."""
        first, spans = len(self.label_heads) + 1, []
        for _, span in self.header[level]:
            spans.append((first, first + span - 1))
            first += span
        return spans

    @property
    def group_starts(self) -> list[bool]:
        """For each column, whether it is the first below its topmost heading (a line is drawn there)."""
        tops = [column[0] for column in self.columns]
        return [i == 0 or (len(self.columns[0]) > 1 and tops[i] != tops[i - 1]) for i in range(len(tops))]


@dataclass(frozen=True)
class Document:
    """A whole file. `notes` are sentences below the tables, `facts` pairs of a word and what it is."""

    name: str
    title: str
    caption: str
    sections: Sequence[Section]
    banner: str = ""
    notes: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()

    @property
    def label(self) -> str:
        """The name as a LaTeX label."""
        return re.sub(r"[^A-Za-z0-9]+", "-", self.name)


def write_document(document: Document, out: str | Path, stem: str) -> list[Path]:
    """Writes `<out>/<stem>.md`, `.tex` and `.html`; the same document always gives the same bytes."""
    paths = []
    for suffix in FORMATS:
        text = _environment(suffix).get_template(f"table.{suffix}.j2").render(document=document)
        paths.append(atomic_write(Path(out) / f"{stem}.{suffix}", text))
    return paths


@functools.cache
def _environment(suffix: str) -> jinja2.Environment:
    # LaTeX is full of braces, so its templates use other delimiters.
    brackets = {
        "block_start_string": "<%", "block_end_string": "%>", "variable_start_string": "<<",
        "variable_end_string": ">>", "comment_start_string": "<#", "comment_end_string": "#>",
    } if suffix == "tex" else {}  # fmt: skip
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spd.report", "templates"),
        autoescape=suffix == "html",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=latex if suffix == "tex" else markdown if suffix == "md" else None,
        **brackets,
    )
    return environment
