"""The poster's take-aways and the sign of each published SPD effect, tested on whatever results exist."""

import csv
import importlib.resources
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spd.metrics.aggregate import paired_effect
from spd.report.arrange import signed
from spd.report.document import Document, Entry, Row, Section, write_document
from spd.report.footer import no_result, rebuild_command
from spd.report.published import Key, is_swapped, published_values, read_published
from spd.report.tables import write_csv
from spd.report.tidy import MEAN, percent, resampled

COLUMNS = (
    *("claim", "kind", "statement", "published", "verdict", "effect", "ci_low", "ci_high", "p_holm", "n"),
    *("resampled", "source", "note"),
)
SELF_SUPERVISED = ("SimSiam", "MoCo", "SimCLR")
TABLES = ("padim_1class", "patchcore_1class", "twoclass_fewshot", "twoclass_highshot", "ablation")
_TABLE_OF = {
    ("1cls", "PaDiM"): "padim_1class",
    ("1cls", "PatchCore"): "patchcore_1class",
    ("2cls_fewshot", "classifier"): "twoclass_fewshot",
    ("2cls_fewshot", "U-Net"): "twoclass_fewshot",
    ("2cls_highshot", "classifier"): "twoclass_highshot",
    ("2cls_highshot", "U-Net"): "twoclass_highshot",
}
_SWAPPED = (
    "The poster's AU-PR and AU-ROC headings for MVTec-AD classification with PatchCore are almost certainly "
    "swapped; both printed effects are negative, so that the signs claimed are the same either way."
)
LEVEL = 0.05
FOR_THIS_PAIR = " for this pair"
"""Behind a verdict whose interval redrew no pre-training seeds."""
_CELL = ["table", "dataset", "object", "detector", "shots", "task", "metric"]  # what two sides share


def claims(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tests every claim on tidy tables by name: those of `TABLES`; others are ignored, any may be missing.

    Columns `COLUMNS`; effects in points, positive = as claimed for take-aways, with minus without for signs.
    `published` is the printed effect, for take-aways the mean difference of the published values there are.
    `verdict`: see `verdict`. `p_holm`: p of the effect being zero (`p_value`), corrected for all claims of
    its kind that are tested here (`holm`). Results of profile `paper` are used where there are any, else of a
    table's first profile. (ours)
    """
    results, published = _results(frames), _published_results()
    takeaways = [
        _test(ours, results) | {"published": _difference(theirs, published).mean()}
        for ours, theirs in zip(_takeaways(results), _takeaways(published), strict=True)
    ]
    signs = [_test_sign(*one, results) for one in _published_effects()]
    rows = _judged(takeaways, [1] * len(takeaways)) + _judged(signs, [_sign(r["published"]) for r in signs])
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"} | dict.fromkeys(_NUMBERS, "float64"))


_NUMBERS = ("published", "effect", "ci_low", "ci_high", "p_holm")


def write_claims(
    frames: Mapping[str, pd.DataFrame],
    out: str | Path,
    *,
    name: str = "claims",
    preset: str | None = None,
    generated: Collection[str] = (),
) -> list[Path]:
    """Writes `<out>/<name>.{csv,md,tex,html}`; returns the paths. Published values in preset `paper` only.

    generated: names of data sets whose images were generated, which the banner then says.
    """
    frame = claims(frames)
    if preset not in (None, "paper"):
        frame["published"] = float("nan")
    used = [table for table in TABLES if table in frames]
    datasets = [name for table in used for name in frames[table]["dataset"]]
    document = Document(
        name,
        "Claims of the poster, tested",
        "Each take-away, and the sign of each published effect of SPD, against the results at hand.",
        [
            _section("Take-aways", frame[frame["kind"] == "take-away"]),
            _section("Signs of the published effects", frame[frame["kind"] == "sign"]),
        ],
        banner="" if preset in (None, "paper") else no_result(datasets, generated),
        notes=[
            "Effect in points, with its 95 % percentile bootstrap interval. Holds: the interval lies on the "
            "claimed side of zero, and the effect differs from zero after Holm's correction. Contradicted: "
            "on the other side. Undecided: neither, or there is no interval.",
            "For this pair: the interval redraws no pre-training seeds, so that the verdict is about these "
            "trained backbones; others of the same methods may differ. Without these words it redraws them.",
            "Intervals of signs redraw seeds, draws and objects as far as there are at least two of each, "
            "and test images where their scores were kept (`resampled` in the CSV); those of take-aways "
            "redraw objects alone, after averaging each object over its AU-PR and AU-ROC cells. The "
            "published effect of a take-away is the mean over the cells that were published.",
            "Published numbers carry no interval: for most it cannot be said whether they differ from zero.",
            *_tested(frame),
            *dict.fromkeys(frame["note"][frame["note"] != ""]),
        ],
        facts=[
            ("Preset", preset or "not given"),
            ("Tables", ", ".join(used) or "none"),
            ("Rebuild", rebuild_command(name, preset)),
        ],
    )
    return [write_csv(frame, Path(out) / f"{name}.csv"), *write_document(document, out, name)]


def verdict(
    sign: int, effect: float | None, low: float | None, high: float | None, p: float | None, seeds: bool
) -> str:
    """The verdict on a claim that an effect has a sign (+1, -1, or 0 for none claimed).

    low, high: its 95 % interval; p: of the effect being zero, corrected; seeds: whether the interval redraws
    several pre-training seeds. `holds` where the interval lies on the claimed side of zero and p < 0.05,
    `contradicted` where it lies on the other, both with `for this pair` unless `seeds`; else `undecided`, `no
    sign claimed` or `no results`.
    """
    if effect is None:
        return "no results"
    if sign == 0:
        return "no sign claimed"
    if low is None or high is None or p is None or low <= 0 <= high or p >= LEVEL:
        return "undecided"
    found = "holds" if (low > 0) == (sign > 0) else "contradicted"
    return found if seeds else found + FOR_THIS_PAIR


def p_value(effect: float, low: float, high: float) -> float:
    """Two-sided p of an effect being zero, from its 95 % interval as a normal's (Altman & Bland 2011,
    https://doi.org/10.1136/bmj.d2304): tables keep intervals, not the resamples behind them. (ours)"""
    error = (high - low) / (2 * 1.959964)
    if error == 0:
        return float(effect == 0)
    return math.erfc(abs(effect) / error / math.sqrt(2))


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected for being tested together: with those below a level taken for effects, the chance of
    a single false one is at most that level (Holm 1979, https://www.jstor.org/stable/4615733)."""
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    return np.minimum(corrected, 1.0).tolist()


def _judged(rows: list[dict], signs: Sequence[int]) -> list[dict]:
    """Rows of one kind with `p_holm` and `verdict`; only claimed signs with an interval are tested."""
    tested = [i for i, r in enumerate(rows) if signs[i] and r.get("ci_low") is not None]
    found = [p_value(rows[i]["effect"], rows[i]["ci_low"], rows[i]["ci_high"]) for i in tested]
    p = dict(zip(tested, holm(found), strict=True))
    return [
        row
        | {
            "p_holm": p.get(i),
            "verdict": verdict(
                signs[i], row.get("effect"), row.get("ci_low"), row.get("ci_high"), p.get(i),
                "seeds" in row["resampled"],
            ),
        }
        for i, row in enumerate(rows)
    ]  # fmt: skip


def _tested(frame: pd.DataFrame) -> list[str]:
    """What the correction was over, where anything was tested."""
    counts = frame[frame["p_holm"].notna()].groupby("kind").size()
    if counts.empty:
        return []
    many = " and ".join(f"{n} {word}{'s' * (n > 1)}" for word, n in counts.sort_index().items())
    return [
        f"Tested together: {many}, each kind corrected by itself: of a kind, the chance of even one wrong "
        "`holds` or `contradicted` is 5 % at most, as far as intervals say what they should. The intervals "
        "shown are not corrected."
    ]


def _results(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    parts = []
    for table in TABLES:
        if table in frames and len(frames[table]):
            frame = frames[table]
            profile = "paper" if (frame["profile"] == "paper").any() else frame["profile"].iloc[0]
            parts.append(frame[frame["profile"] == profile].assign(table=table))
    if not parts:
        return pd.DataFrame(columns=[*_CELL, "setup", "method", "spd", "backbone", "value", "delta"])
    return pd.concat(parts, ignore_index=True)


def _takeaways(results: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of spd/facts/takeaways.csv: `left` > `right`, compared cell by cell.

    `left` and `right` become the methods that are meant, empty for any. A row without a table is about all
    but the ablation.
    """
    with (importlib.resources.files("spd.facts") / "takeaways.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        note = ""
        if row["right"] == "best":
            best = _best(results, row["table"], row["task"])
            rival = f"best self-supervised ({best})" if best else "best self-supervised"
            row |= {"statement": row["statement"].format(best=rival), "right": best or "none"}
            note = (
                "Where supervised is compared with the best self-supervised method, that is chosen on the "
                "same results, which favours it."
            )
        yield row | {"note": note, "left": row["left"].split(), "right": row["right"].split()}


def _side(takeaway: Mapping[str, Any], side: str, results: pd.DataFrame) -> pd.Series:
    """Which results are the `left` or the `right` of a take-away: bool, in the order of `results`."""
    ablation = results["table"] == "ablation"
    chosen = results["table"] == takeaway["table"] if takeaway["table"] else ~ablation
    chosen &= results["spd"].isin(takeaway[f"{side}_spd"].split())
    if takeaway["task"]:
        chosen &= results["task"] == takeaway["task"]
    if takeaway[side]:
        chosen &= results["method"].isin(takeaway[side])
    if takeaway["backbone"]:
        # The larger backbone is the one that the ablation does not vary eta on; its name differs by preset.
        main = set(results.loc[ablation & (results["spd"] == "spd_eta0.5"), "backbone"])
        # Without a row that varies eta nobody can tell the two apart.
        chosen &= (results["backbone"].isin(main) == (takeaway["backbone"] == "main")) & bool(main)
    return chosen


def _best(results: pd.DataFrame, table: str, task: str) -> str | None:
    found = results[
        (results["table"] == table) & (results["task"] == task) & (results["object"] == MEAN)
        & results["method"].isin(SELF_SUPERVISED) & results["metric"].isin(["AU-PR", "AU-ROC"])
    ]  # fmt: skip
    means = found.groupby("method")["value"].mean().dropna()
    return None if means.empty else str(means.idxmax())


def _test(takeaway: Mapping[str, Any], results: pd.DataFrame) -> dict:
    differences = _difference(takeaway, results[results["object"] != MEAN])
    row = {name: takeaway[name] for name in ("claim", "statement", "source", "note")}
    row |= {"kind": "take-away", "resampled": ""}
    if differences.empty:
        return row
    by_object = differences.groupby(level=["dataset", "object"]).mean() / 100
    effect = paired_effect(
        {(0, 0, "/".join(key)): value for key, value in by_object.items()},
        {(0, 0, "/".join(key)): 0.0 for key in by_object.index},
    )
    return row | {
        "effect": percent(effect.value),
        "ci_low": None if effect.ci_low is None else percent(effect.ci_low),
        "ci_high": None if effect.ci_high is None else percent(effect.ci_high),
        "n": len(by_object),
        "resampled": ", ".join(effect.resampled),
    }


def _difference(takeaway: Mapping[str, Any], results: pd.DataFrame) -> pd.Series:
    """Left minus right in points, by cell, where both sides have a value."""
    # AU-PR and AU-ROC, as on the poster; other metrics would count the same thing again.
    found = results[results["metric"].isin(["AU-PR", "AU-ROC"])]
    left, right = (
        found[_side(takeaway, side, found)].groupby(_CELL, dropna=False)["value"].mean()
        for side in ("left", "right")
    )
    return (left - right).dropna()


def _published_results() -> pd.DataFrame:
    """The published means in the shape of tidy tables."""
    rows = []
    for stem in (
        "poster_patchcore_as_printed",
        "poster_2cls_fewshot",
        "poster_ablation",
        "paper_values_secondary",
    ):
        for key, published in published_values([stem]).items():
            table = "ablation" if stem == "poster_ablation" else _TABLE_OF[key.setup, key.detector]
            rows.append(vars(key) | {"table": table, "object": MEAN, "value": published.value})
    return pd.DataFrame(rows).drop_duplicates([*_CELL, "method", "spd", "backbone"])


def _published_effects() -> Iterable[tuple[Key, float, str]]:
    yield from read_published("poster_deltas_as_printed")
    for key, value, source in read_published("paper_values_secondary"):
        if key.metric.endswith("_delta"):
            yield key, value, source


def _test_sign(key: Key, published: float, source: str, results: pd.DataFrame) -> dict:
    metric = key.metric.removesuffix("_delta")
    shots = "" if key.shots is None else f", {key.shots}-shot"
    where = f"{key.dataset}, {key.setup} {key.detector}{shots}, {key.task} {metric}"
    direction = {1: "raises", -1: "lowers", 0: "leaves"}[_sign(published)]
    row = {
        "claim": f"{_TABLE_OF[key.setup, key.detector]}_{key.dataset}_{key.method}_{key.shots or ''}"
        f"_{key.task}_{metric}".replace("__", "_"),
        "kind": "sign",
        "statement": f"SPD {direction} {key.method}: {where}",
        "published": published,
        "source": source,
        "note": _SWAPPED if is_swapped(key) else "",
        "resampled": "",
    }
    found = results[
        (results["table"] == _TABLE_OF[key.setup, key.detector])
        & (results["object"] == MEAN)
        & results["dataset"].map(lambda name: _same_dataset(name, key.dataset)).astype(bool)
        & (results["detector"] == key.detector)
        & (results["method"] == key.method)
        & (results["spd"] == key.spd)
        & (results["task"] == key.task)
        & (results["metric"] == metric)
        & (results["shots"].isna() if key.shots is None else results["shots"].eq(key.shots).fillna(False))
    ]
    if found.empty or pd.isna(found.iloc[0]["delta"]):
        return row
    one = found.iloc[0]
    low, high = (None if pd.isna(one[c]) else one[c] for c in ("delta_ci_low", "delta_ci_high"))
    return row | {
        "effect": one["delta"], "ci_low": low, "ci_high": high, "n": one["n"],
        "resampled": resampled(str(one["note"])),
    }  # fmt: skip


def _same_dataset(name: str, published: str) -> bool:
    """Generated data sets carry the published one's name within their own (`VisA-demo`)."""
    return published.split("-")[0].lower() in str(name).lower()


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def colour_of(verdict: str) -> str:
    """The class that a verdict is coloured by: `up`, `down` or none."""
    return {"holds": "up", "contradicted": "down"}.get(verdict.removesuffix(FOR_THIS_PAIR), "")


def _section(title: str, frame: pd.DataFrame) -> Section:
    rows = []
    for r in frame.itertuples():
        interval = "" if pd.isna(r.ci_low) else f"[{signed(r.ci_low)}, {signed(r.ci_high)}]"
        sign = colour_of(r.verdict)
        entries = [
            Entry("" if pd.isna(r.published) else signed(r.published)),
            Entry(r.verdict, sign=sign),
            Entry("" if pd.isna(r.effect) else signed(r.effect)),
            Entry(interval),
        ]
        rows.append(Row([r.statement], entries))
    columns = [("Published",), ("Verdict",), ("Effect",), ("95 % interval",)]
    return Section(title, ["Statement"], columns, rows, text=True)
