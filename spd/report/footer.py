"""What stands around a table: which preset, code, data, geometry, metrics and runs it was made of."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

import pandas as pd

from spd.files import read_json
from spd.report.arrange import AS_PRINTED, SECOND_HAND
from spd.report.cells import Cell, word
from spd.report.names import Names
from spd.report.options import TableOptions
from spd.report.published import SWAPPED_NOTE
from spd.report.tidy import MEAN, resampled

DEVIATIONS = {
    "anomalib": "Profile anomalib is not anomalib in two things: images are resized to 8 bits where anomalib "
    "resizes in float (median difference of maps 0.2 to 2 %, of an image's score up to 21 %), and where the "
    "sparse projection would be wider than the patch (152 to 301 channels, say) there is none.",
}
"""What a profile that bears the name of other code leaves out of it."""


def no_result(datasets: Iterable[str], generated: Collection[str]) -> str:
    """The sentence above what is no result. Images are called generated where they are, a photograph never.

    datasets: names of those that the numbers come from; generated: names of the generated ones.
    """
    shown = list(dict.fromkeys(datasets))
    made, others = ([name for name in shown if (name in generated) == kind] for kind in (True, False))
    which = f" ({', '.join(made)}; not {', '.join(others)})" if others else ""
    images = f"Generated images{which}, a narrow backbone" if made else "A narrow backbone"
    return (
        f"Not a result. {images} and minutes of pre-training on a CPU show that the whole path runs; the "
        "numbers say nothing about SPD. Preset paper makes the real table."
    )


def banner(preset: str | None, options: TableOptions, generated: Collection[str] = ()) -> str:
    """The sentence above a table: none in preset paper, otherwise that it is no result (`no_result`)."""
    if preset in (None, "paper"):
        return ""
    return no_result(options.datasets, generated) if options.banner is None else options.banner


def notes(frame: pd.DataFrame, cells: list[Cell], options: TableOptions) -> list[str]:
    """Sentences that a reader needs to read the numbers rightly."""
    sentences = ["Per cent. Each value is the unweighted mean over objects."]
    if frame["std"].notna().any():
        sentences[0] += " After ±: standard deviation over runs (pre-training seeds and few-shot draws)."
    if frame["delta"].notna().any():
        sentences.append(
            "In brackets: effect of SPD in points, against the same method and backbone without, paired by "
            "seed, draw and object." + _intervals(frame)
        )
    if frame["published"].notna().any():
        sentences.append("Published numbers carry no interval; difference = ours − published, in points.")
    if frame["source"].str.startswith("secondary").any():
        sentences.append(f"{SECOND_HAND} Second-hand: quoted by others from the paper, not on the poster.")
    if frame["note"].str.contains(SWAPPED_NOTE, regex=False).any():
        sentences.append(f"{AS_PRINTED} {SWAPPED_NOTE}")
    for row in frame[frame["note"].str.startswith("Mean over")].itertuples():
        sentences.append(
            f"{row.dataset}, {row.method} ({row.spd}), {row.task} {row.metric}: {row.note.split('. ')[0]}."
        )
    sentences += _profile_notes(cells)
    sentences += _detector_notes(cells)
    sentences += _pretraining_notes(cells)
    absent = [name for name in options.rows if name not in {cell.pretraining.name for cell in cells}]
    if absent:
        sentences.append(f"No results yet for: {', '.join(absent)}.")
    return list(dict.fromkeys(sentences))


def let_through(records: Iterable[str | Path], names: Names) -> list[str]:
    """A sentence for each manifest with problems that the config lets through; `records`: the manifests' run
    records."""
    sentences = []
    for path in records:
        params = names.in_params(read_json(path)["params"])
        if params.get("let_through"):
            sentences.append(
                f"{params['dataset']}, {params['setup']}: the config lets problems of the files through "
                f"(`checks: warn` or `accept`), and these numbers hang on them: {params['let_through']}."
            )
    return sentences


def _intervals(frame: pd.DataFrame) -> str:
    """What the intervals of the means' effects redraw, by task."""
    means = frame[frame["object"] == MEAN]
    redrawn = dict.fromkeys(
        (task, resampled(note)) for task, note in zip(means["task"], means["note"], strict=True)
    )
    parts = [f"{task}: {what}" for task, what in redrawn if what]
    if not parts:
        return ""
    images = ", images within their class and the same ones on both sides" if "images" in str(parts) else ""
    return (
        " Intervals are 95 % percentile bootstrap intervals; they say nothing of what is not redrawn. "
        f"Redrawn are, for {'; for '.join(parts)}{images}."
    )


def _profile_notes(cells: list[Cell]) -> list[str]:
    """What was laid over a profile, and what a profile leaves out of the code whose name it bears."""
    sentences = []
    for cell in cells:
        if cell.overlay:
            changes = [f"{key} {word(used)} for {word(own)}" for key, (used, own) in cell.overlay.items()]
            sentences.append(
                f"{cell.shown_profile}: the config changes {cell.detector}'s profile {cell.profile}: "
                f"{', '.join(changes)}. It is not the profile of that name."
            )
    return sentences + [DEVIATIONS[cell.profile] for cell in cells if cell.profile in DEVIATIONS]


def _detector_notes(cells: list[Cell]) -> list[str]:
    places = defaultdict(list)
    for cell in cells:
        for name, result in cell.objects.items():
            for note in result.notes:
                places[note].append(f"{cell.dataset} {name} with {cell.pretraining.name}")
    sentences = []
    for note, where in places.items():
        more = f" and {len(where) - NAMED} more" if len(where) > NAMED else ""
        sentences.append(f"{note.rstrip('.')} ({', '.join(where[:NAMED])}{more}).")
    return sentences


def _pretraining_notes(cells: list[Cell]) -> list[str]:
    """What the judging of a pre-training found that a reader must know."""
    return _distinct(
        f"{cell.pretraining.name}, seed {cell.pretraining.seed}: {note}."
        for cell in cells
        for note in (cell.provenance.model_extra or {}).get("pretraining_notes", [])
    )


NAMED = 3
"""Places that a note names one by one."""


def facts(name: str, preset: str | None, cells: list[Cell]) -> list[tuple[str, str]]:
    """Provenance as pairs of a word and a text, free of anything that changes between identical runs."""
    if not cells:
        return [("Rebuild", rebuild_command(name, preset))]
    return [
        ("Preset", preset or ""),
        ("Code", _code(cells)),
        *(("Pre-training code", text) for text in _pretraining_code(cells)),
        *(("Data", text) for text in _by_dataset(cells)),
        *(("Geometry", text) for text in _by_profile(cells, "geometry")),
        *(("Options", text) for text in _by_profile(cells, "options")),
        *(("Metrics", text) for text in _distinct(cell.provenance.metric for cell in cells)),
        ("Runs", _runs(cells)),
        ("Backbones", _backbones(cells)),
        ("Rebuild", rebuild_command(name, preset)),
    ]


def _code(cells: list[Cell]) -> str:
    made_by = defaultdict(set)
    for cell in cells:
        p = cell.provenance
        commit = f", commit {p.commit} of {p.commit_date}" if p.commit else ""
        made_by[f"spd {p.spd_version}, source {p.code}{commit}"].add(
            (cell.detector, cell.dataset, cell.profile, cell.pretraining.name)
        )
    # Detectors differ in their source hash by nature; a mixture is two versions of the same detector, or of a
    # stage before it (manifest, images, features, ...).
    detectors, stages = defaultdict(set), defaultdict(lambda: defaultdict(set))
    for cell in cells:
        detectors[cell.detector].add((cell.provenance.code, cell.provenance.spd_version))
        for stage, code in (cell.provenance.model_extra or {}).get("sources", {}).items():
            stages[stage][code].add((cell.dataset, cell.pretraining.name))
    parts = []
    if any(len(versions) > 1 for versions in detectors.values()):
        parts += [
            f"{version}: " + ", ".join(" ".join(what) for what in sorted(members))
            for version, members in sorted(made_by.items())
        ]
    for stage, versions in sorted(stages.items()):
        if len(versions) > 1:
            parts += [
                f"{stage}, source {code}: " + ", ".join(" ".join(what) for what in sorted(members))
                for code, members in sorted(versions.items())
            ]
    return "MIXED VERSIONS. " + "; ".join(parts) if parts else "; ".join(sorted(made_by))


def _pretraining_code(cells: list[Cell]) -> list[str]:
    trained_by = defaultdict(list)
    for cell in cells:
        code = (cell.provenance.model_extra or {}).get("pretraining_code")
        if code and cell.pretraining.name not in trained_by[code]:
            trained_by[code].append(cell.pretraining.name)
    if len(trained_by) < 2:
        return [f"source {code}" for code in trained_by]
    parts = [f"source {code}: {', '.join(names)}" for code, names in sorted(trained_by.items())]
    return ["MIXED VERSIONS. " + "; ".join(parts)]


def _by_dataset(cells: list[Cell]) -> list[str]:
    return _distinct(
        f"{c.dataset} ({c.setup}): split {_short(c.provenance.split_hash)}, "
        f"images {_short(c.provenance.data_fingerprint)}"
        for c in cells
    )


def _by_profile(cells: list[Cell], what: str) -> list[str]:
    texts = _distinct(
        f"{c.detector}, profile {c.shown_profile}: {_flat(getattr(c.provenance, what))}" for c in cells
    )
    return [text for text in texts if not text.endswith(": ")]


def _flat(values: dict) -> str:
    return ", ".join(f"{key} {word(value)}" for key, value in sorted(values.items()) if value is not None)


def _runs(cells: list[Cell]) -> str:
    seeds = sorted({cell.pretraining.seed for cell in cells})
    draws = sorted({cell.draw for cell in cells if cell.draw is not None})
    text = f"pre-training seeds {', '.join(map(str, seeds))}"
    return text + (f"; few-shot draws {', '.join(map(str, draws))}" if draws else "")


def _backbones(cells: list[Cell]) -> str:
    several = len({cell.pretraining.seed for cell in cells}) > 1
    names = _distinct(
        c.pretraining.name
        + (f" (seed {c.pretraining.seed})" if several else "")
        + f" {_short(c.provenance.checkpoint)}"
        for c in cells
        if c.provenance.checkpoint
    )
    return ", ".join(names) or "not recorded"


def _short(fingerprint: str) -> str:
    """A hash by its first 12 digits; anything else, such as a package and its version, whole."""
    return fingerprint[:12] if re.fullmatch(r"[0-9a-f]{32,}", fingerprint) else fingerprint


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def rebuild_command(name: str, preset: str | None) -> str:
    """The command that makes a target again."""
    return f"snakemake --cores all {name}" + (
        "" if preset in (None, "demo") else f" --config preset={preset}"
    )
