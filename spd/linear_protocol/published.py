"""What the publications report, what may be compared with it, and the note where a pre-training falls short.
Imports no torch: the workflow reads finished results at each start."""

import csv
import functools
import importlib.resources
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from spd.linear_protocol.options import LinearOptions, LinearProtocols
from spd.methods.options import Recipe
from spd.options import Options

POINTS = 3.0
"""A pre-training more than so many points below its publication is flagged."""

IMAGENET = 1_281_167, 50_000, 1000
"""Training images, validation images and classes of ImageNet-1k, which every publication here is of."""

_BESIDE = {"precision", "held_out"}
"""Keys of the linear protocol that do not make it another one."""
_BESIDE_RECIPE = _BESIDE | {
    *("compile", "checkpoint_minutes", "log_interval", "non_finite"),
    *("collapse", "collapse_below", "collapse_after", "probe_interval", "probe_bank", "probe_neighbours"),
    *("views.weak", "views.local"),  # SPD's alone
}


@functools.cache
def published() -> dict[tuple[str, str, str], tuple[float, str]]:
    """(method, architecture, protocol) -> (top-1 in per cent, source). protocol: `linear`, or `classifier`
    where the training's own classifier was measured."""
    with (importlib.resources.files("spd.facts") / "pretraining_top1.csv").open(encoding="utf-8") as lines:
        return {
            (row["method"], row["architecture"], row["protocol"]): (float(row["top1"]), row["source"])
            for row in csv.DictReader(lines)
        }


def beside(
    *,
    preset: str,
    method: str,
    architecture: str,
    protocol: str,
    options: LinearOptions | None,
    recipe: Recipe | None,
    eta: float,
    init: bool,
    counts: tuple[int, int, int],
) -> tuple[float | None, str]:
    """(published top-1 in per cent, its source), or (None, why nothing published can stand beside).

    options: of the linear protocol, None for `classifier`. recipe: None for weights from elsewhere. counts:
    training images, judged images and classes.
    """
    known = published().get((method, architecture, protocol))
    if preset != "paper":
        return None, f"preset {preset}"
    if recipe is None:
        return None, "weights from elsewhere: only their repository knows how they came about"
    if eta > 0 or init:
        return None, "with SPD" if eta > 0 else "a continued pre-training"
    if known is None:
        return None, f"nothing is published of {method} on {architecture} by the protocol `{protocol}`"
    other = differing(recipe, type(recipe)(), _BESIDE_RECIPE)
    if other:
        return None, f"recipes.{method} is not the publication's: {', '.join(other)}"
    if options is not None and (other := differing(options, getattr(LinearProtocols(), method), _BESIDE)):
        return None, f"linear_protocol.{method} is not the publication's: {', '.join(other)}"
    if counts != IMAGENET:
        names = ("training images", "judged images", "classes")
        found = ", ".join(f"{count:,} {name}" for count, name in zip(counts, names, strict=True))
        return None, f"not ImageNet-1k's training and validation images ({found})"
    return known


def differing(found: Options, expected: Options, but: Collection[str] = ()) -> list[str]:
    """The keys in which two options of one model differ, dotted; those in `but` are left out."""
    names = []
    for key in type(found).model_fields:
        one, other = getattr(found, key), getattr(expected, key)
        if key in but or one == other:
            continue
        if isinstance(one, Options) and type(one) is type(other):
            inner = {name.partition(".")[2] for name in but if name.startswith(f"{key}.")}
            names += [f"{key}.{name}" for name in differing(one, other, inner)]
        else:
            names.append(key)
    return names


def note(record: Mapping[str, Any]) -> str | None:
    """What a table that uses the pre-training must say of a result (`record`, the JSON of a linear protocol):
    None unless it is more than POINTS below its publication by the same protocol."""
    top1, reported = record["top1"], record["published"]
    if reported is None or round(reported - top1, 6) <= POINTS:
        return None
    what = "its own classifier" if record["protocol"] == "classifier" else "the linear protocol"
    return (
        f"by {what} it is right in {top1:.1f} % of ImageNet's validation images, {reported - top1:.1f} "
        f"points below the {reported:.1f} % published ({record['source']})"
    )


def notes(records: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """SHA-256 of a backbone file -> what must be said of it. A backbone made again has another hash: what was
    found of the old one is not said of it."""
    found: dict[str, list[str]] = {}
    for record in records:
        if (said := note(record)) is not None:
            found.setdefault(record["checkpoint"], []).append(said)
    return found
