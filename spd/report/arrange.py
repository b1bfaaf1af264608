"""The tidy table in the poster's arrangement: a row a pre-training, columns data set, task, shots, metric."""

from collections.abc import Iterator

import pandas as pd

from spd.report.cells import Cell
from spd.report.document import Entry, Row, Section
from spd.report.options import TableOptions
from spd.report.published import SWAPPED_NOTE
from spd.report.tidy import MEAN, TASKS

SECOND_HAND = "†"
AS_PRINTED = "‡"
_SPD_WORDS = {
    "none": "",
    "spd": " + SPD",
    "spd_eta0.5": " + SPD (η = 0.5)",
    "spd_eta1.0": " + SPD (η = 1.0)",
    "spd_cutpaste": " + SPD w/ CutPaste",
    "spd_xent": " + SPD w/ Xent",
    "spd_cutpaste_standard": " + SPD w/ CutPaste (2–15 %)",
    "spd_secondary": " + SPD (strengths of another code)",
}
_LABELS_WORDS = {True: "yes", False: "no", None: ""}
_ROW = ["profile", "method", "spd", "backbone"]  # what tells one rendered row from another


def means_sections(frame: pd.DataFrame, cells: list[Cell], options: TableOptions) -> list[Section]:
    """The table of means, and below it the effect of SPD with its intervals where there are any."""
    frame = _rendered(frame, options)
    means = frame[frame["object"] == MEAN]
    sections = [_means(means, cells, options)]
    if means["delta_ci_low"].notna().any():
        sections.append(_effects(means, options))
    return sections


def object_sections(
    frame: pd.DataFrame, options: TableOptions, *, by_defect: bool = False
) -> Iterator[Section]:
    """One section a data set, profile, task, shots and metric: a row an object, a column a pre-training.

    `by_defect`: a row an object and defect type, of a frame with a column `defect`.
    """
    frame = _rendered(frame, options)
    words = ["object", "defect"] if by_defect else ["object"]
    keys = ["dataset", "profile", "task", "shots", "metric"]
    varying = _varying(frame, ["profile", "shots"])
    backbones = frame["backbone"].nunique() > 1
    for (dataset, profile, task, shots, metric), part in _groups(frame, keys):
        title = [dataset, *([f"profile {profile}"] if "profile" in varying else []), task]
        title += [_shots_word(shots)] if "shots" in varying else []
        rows = _groups(part, _ROW)
        names = [
            row_word(method, spd, backbone if backbones else "") for (_, method, spd, backbone), _ in rows
        ]
        cells = [
            dict(zip(group[words].itertuples(index=False, name=None), group.itertuples(), strict=True))
            for _, group in rows
        ]
        objects = list(dict.fromkeys(part[words].itertuples(index=False, name=None)))
        yield Section(
            title=", ".join([*title, *(["by defect type"] if by_defect else []), metric]),
            label_heads=["Object", "Defect type"] if by_defect else ["Object"],
            columns=[(name,) for name in names],
            rows=[
                Row(
                    list(name),
                    [_entry(column.get(name)) for column in cells],
                    starts=name == (MEAN,),
                    strong=name == (MEAN,),
                )
                for name in objects
            ],
        )


def _rendered(frame: pd.DataFrame, options: TableOptions) -> pd.DataFrame:
    """The rows that are shown: the options' metrics; in a two-class setup each task from its own detector."""
    frame = frame[frame["metric"].isin(options.metrics)]
    if options.detector is None:
        own = {"classification": "classifier", "segmentation": "U-Net"}
        frame = frame[frame["detector"] == frame["task"].map(own)]
    return frame


def _means(means: pd.DataFrame, cells: list[Cell], options: TableOptions) -> Section:
    quoted = means["published"].notna().any()
    columns = _columns(means, options)
    heads, label_of = _labels(means, cells, options)
    rows = []
    previous = None
    for key, group in _groups(means, _ROW):
        found = {_column(r): r for r in group.itertuples()}
        entries = []
        for column in columns:
            cell = found.get(column)
            entries += [_entry(cell), *_published(cell)] if quoted else [_entry(cell)]
        rows.append(Row(label_of(key), entries, starts=previous is not None and previous != key[0]))
        previous = key[0]
    headers = [_header(column, columns) for column in columns]
    if quoted:
        headers = [(*header, word) for header in headers for word in ("ours", "published", "difference")]
    return Section("", heads, headers, rows)


def _effects(means: pd.DataFrame, options: TableOptions) -> Section:
    means = means[means["delta"].notna()]
    columns = _columns(means, options)
    varying = [word for word in ("backbone", "profile") if means[word].nunique() > 1]
    rows = []
    for (profile, method, spd, backbone), group in _groups(means, _ROW):
        found = {_column(r): r for r in group.itertuples()}
        texts = {"backbone": backbone, "profile": profile}
        labels = [row_word(method, spd), *(texts[word] for word in varying)]
        rows.append(Row(labels, [_interval_entry(found.get(column)) for column in columns]))
    headers = [_header(column, columns) for column in columns]
    heads = ["Pre-training", *(word.capitalize() for word in varying)]
    return Section("Effect of SPD in points, with 95 % interval", heads, headers, rows)


def _labels(means: pd.DataFrame, cells: list[Cell], options: TableOptions):
    """Heads of the label columns, and a function from a row's key to its label texts."""
    labels = {(p.method, p.spd, p.backbone): p.labels for p in (cell.pretraining for cell in cells)}
    profiles = means["profile"].nunique() > 1
    backbone, used = (word in options.label_columns for word in ("backbone", "labels"))
    heads = [
        "Pre-training",
        *(["Backbone"] * backbone),
        *(["ImageNet labels"] * used),
        *(["Profile"] * profiles),
    ]

    def texts(key: tuple) -> list[str]:
        profile, method, spd, architecture = key
        words = [row_word(method, spd)]
        words += [architecture] * backbone
        words += [_LABELS_WORDS[labels[method, spd, architecture]]] * used
        return words + [profile] * profiles

    return heads, texts


def _columns(means: pd.DataFrame, options: TableOptions) -> list[tuple]:
    """(data set, task, shots, metric) of every value column, in order."""
    found = dict.fromkeys(_column(r) for r in means.itertuples())
    datasets = list(dict.fromkeys(column[0] for column in found))
    return sorted(
        found,
        key=lambda c: (datasets.index(c[0]), TASKS.index(c[1]), c[2] or 0, options.metrics.index(c[3])),
    )


def _column(row) -> tuple:
    return row.dataset, row.task, None if pd.isna(row.shots) else int(row.shots), row.metric


def _header(column: tuple, columns: list[tuple]) -> tuple[str, ...]:
    dataset, task, shots, metric = column
    with_shots = any(other[2] is not None for other in columns)
    return (dataset, task, *([_shots_word(shots)] if with_shots else []), metric)


def _shots_word(shots) -> str:
    return "" if pd.isna(shots) else f"{int(shots)}-shot"


def row_word(method: str, spd: str, backbone: str = "") -> str:
    """A pre-training as a table names it: `SimSiam + SPD (η = 0.5)`, with its backbone where given."""
    word = method + _SPD_WORDS.get(spd, f" + {spd}")
    return f"{word}, {backbone}" if backbone else word


def _groups(frame: pd.DataFrame, keys: list[str]) -> list[tuple[tuple, pd.DataFrame]]:
    """Groups in the order of their first row, missing shots included."""
    return list(frame.groupby(keys, sort=False, dropna=False))


def _varying(frame: pd.DataFrame, words: list[str]) -> list[str]:
    return [word for word in words if frame[word].nunique() > 1]


def _entry(row) -> Entry:
    if row is None or pd.isna(row.value):
        return Entry()
    delta = "" if pd.isna(row.delta) else signed(row.delta)
    std = "" if pd.isna(row.std) else f"{row.std:.1f}"
    return Entry(f"{row.value:.1f}", std=std, delta=delta, sign=_sign(delta))


def _published(row) -> tuple[Entry, Entry]:
    if row is None or pd.isna(row.published):
        return Entry(), Entry()
    mark = (
        AS_PRINTED if SWAPPED_NOTE in row.note else SECOND_HAND if row.source.startswith("secondary") else ""
    )
    difference = "" if pd.isna(row.published_delta) else signed(row.published_delta)
    return Entry(f"{row.published:.1f}", mark=mark), Entry(difference, sign=_sign(difference))


def _interval_entry(row) -> Entry:
    if row is None or pd.isna(row.delta):
        return Entry()
    delta = signed(row.delta)
    if pd.isna(row.delta_ci_low):
        return Entry(delta, sign=_sign(delta))
    # Colour is kept for what the interval tells from zero.
    decided = row.delta_ci_low > 0 or row.delta_ci_high < 0
    interval = f"[{signed(row.delta_ci_low)}, {signed(row.delta_ci_high)}]"
    return Entry(delta, interval=interval, sign=_sign(delta) if decided else "")


def signed(points: float) -> str:
    """Points with their sign and one decimal; what rounds to nought has none."""
    text = f"{points:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def _sign(text: str) -> str:
    return {"+": "up", "−": "down"}.get(text[:1], "")
