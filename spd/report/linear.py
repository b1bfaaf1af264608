"""The table of the linear protocol: each pre-training beside what its publication reports."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from spd.linear_protocol.published import POINTS, note
from spd.report.arrange import row_word, signed
from spd.report.document import Document, Entry, Row, Section, write_document
from spd.report.footer import no_result, rebuild_command
from spd.report.names import Names
from spd.report.tables import write_csv

NAME = "linear_protocol"
FLAG = "▼"
COLUMNS = (
    *("pretraining", "method", "spd", "architecture", "seed", "protocol", "top1", "published", "difference"),
    *("flagged", "source", "not_compared", "trained_on", "judged", "of", "checkpoint", "code"),
)


def write_linear(
    records: Iterable[Mapping[str, Any]], names: Names, out: str | Path, *, preset: str
) -> list[Path]:
    """Writes `<out>/linear_protocol.{csv,md,tex,html}` of finished results; returns the paths.

    top1 and published are in per cent, difference in points. Why nothing published stands beside a row is
    said below the table.
    """
    rows = []
    for record in records:
        named = names.in_params(record)
        reported = record["published"]
        known = {
            **record,
            "spd": named.get("spd", ""),
            "method": named["method"],
            "difference": None if reported is None else record["top1"] - reported,
            "flagged": note(record) is not None,
        }
        rows.append({column: known[column] for column in COLUMNS})
    shown = [
        Row(
            [row_word(row["method"], row["spd"], row["architecture"]), str(row["seed"]), row["protocol"]],
            [
                Entry(f"{row['top1']:.1f}"),
                Entry("" if row["published"] is None else f"{row['published']:.1f}"),
                Entry(
                    "" if row["difference"] is None else signed(row["difference"]),
                    sign="down" if row["flagged"] else "",
                    mark=FLAG if row["flagged"] else "",
                ),
            ],
        )
        for row in rows
    ]
    heads = [("Top-1, %",), ("Published, %",), ("Difference, points",)]
    document = Document(
        NAME,
        "Linear protocol",
        "Top-1 accuracy of a linear classifier on each frozen backbone; central crops.",
        [Section("", ["Pre-training", "Seed", "Protocol"], heads, shown)],
        banner="" if preset == "paper" else no_result((), ()),
        notes=_notes(rows),
        facts=[("Preset", preset), ("Rebuild", rebuild_command(NAME, preset))],
    )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return [write_csv(frame, Path(out) / f"{NAME}.csv"), *write_document(document, out, NAME)]


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    protocols = {row["protocol"] for row in rows}
    said = []
    if "linear" in protocols:
        said.append(
            "linear: trained on random crops and flips of the training images by the recipe of the method's "
            "own repository; not comparable with the page's probe on cached features."
        )
    if "classifier" in protocols:
        said.append(
            "classifier: the supervised training's own classifier, measured when it ended, as its "
            "publication measures it."
        )
    if any(row["flagged"] for row in rows):
        said.append(f"{FLAG} More than {POINTS:g} points below the publication by the same protocol.")
    said += [f"Judged: {row['judged']:,} images ({row['of']})." for row in rows]
    said += [f"Published: {row['source']}." for row in rows if row["source"]]
    alone: dict[str, list[str]] = {}
    for row in rows:
        if row["not_compared"]:
            alone.setdefault(row["not_compared"], []).append(row["pretraining"])
    for reason, names in alone.items():
        said.append(f"Nothing published beside {', '.join(dict.fromkeys(names))}: {reason}.")
    return list(dict.fromkeys(said))
