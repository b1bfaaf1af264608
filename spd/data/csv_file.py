"""A CSV as people write them: its separator is found, and what is wrong is named with its line."""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # every job imports this file, few read a table
    import pandas as pd

MOST_COLUMNS = 1000
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
LISTED = 5  # lines in one message


def read_table(path: str | os.PathLike[str]) -> "pd.DataFrame":
    """A CSV with one header line, every value as text without blanks around it; the index is the line.

    Separated by whichever of comma, semicolon and tab gives the header most columns; `attrs["separator"]`
    names it. Column names come in lower case. A row may be short (its last values are then ''), an empty
    line is left out. Raises ValueError that names the file, and the lines where some are wrong.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        separator = _separator(text)
        lines = _lines(text, separator)
        names = [name.lower() for name in next(lines, (1, []))[1]]
        if not any(names):
            raise ValueError("it has no header")
        if len(names) > MOST_COLUMNS:
            raise ValueError(f"it has {len(names):,} columns")
        rows = dict(lines)
    except (ValueError, csv.Error) as error:  # UnicodeDecodeError is a ValueError
        raise ValueError(f"{path}: no CSV in UTF-8: {' '.join(str(error).split())[:200]}") from None
    twice = [name for name, count in Counter(names).items() if count > 1][:5]
    if twice:
        raise ValueError(f"{path}: column {', '.join(f'{name!r:.40}' for name in twice)} is given twice")
    long = [number for number, values in rows.items() if len(values) > len(names)]
    if long:
        more = f" and {len(long) - LISTED:,} more" if len(long) > LISTED else ""
        raise ValueError(
            f"{path}: line {', '.join(map(str, long[:LISTED]))}{more}: more values than the header has "
            f"columns, {len(names)}, separated by {SEPARATORS[separator]}; a value with a "
            f"{SEPARATORS[separator]} in it is put in quotes"
        )
    table = pd.DataFrame(
        [(values + [""] * len(names))[: len(names)] for values in rows.values()],
        columns=names,
        index=pd.Index(list(rows), name="line", dtype=int),
        dtype=str,
    )
    table.attrs["separator"] = SEPARATORS[separator]
    return table


def named_paths(path: str | os.PathLike[str]) -> set[str]:
    """What a split CSV names in its columns image and mask; nothing where it cannot be read, which its reader
    says."""
    try:
        table = read_table(path)
    except (OSError, ValueError):
        return set()
    return {name for column in ("image", "mask") if column in table for name in table[column] if name}


def _separator(text: str) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(SEPARATORS, key=lambda separator: len(next(csv.reader([header], delimiter=separator), [])))


def _lines(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, values) of each row that is not empty."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    while True:
        number = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"line {number}: {error}") from None
        values = [value.strip() for value in values]
        if any(values):
            yield number, values
