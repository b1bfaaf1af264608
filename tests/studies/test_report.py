"""The page of the study, from made-up runs with a planted effect."""

import json
import re

import numpy as np
import pytest

from studies import configurations, report, runs, settings

PLANTED = {"eta": 20.0, "weak_draws": "shared"}  # of SimCLR
SECOND = {"eta": 5.0, "weak_draws": "shared"}
PLACES = (*settings.TARGETS, "generated/weave@64")
MECHANISM = (*report.DOSE, "blend of h")


def effect(c):
    if c["method"] == "simclr" and c["start"] is None and c["corpus"] == "photographs":
        return 5.0 if c["spd"] == PLANTED else 2.0 if c["spd"] == SECOND else 0.0
    return 0.0


def run_of(c, seed, code="aaa", **more):
    base = np.random.default_rng(seed).normal(60, 5)  # what pairs share
    asked = [c[name] for name in ("corpus", "start", "method", "spd", "judge")]
    own = np.random.default_rng([seed, *json.dumps(asked).encode()])  # the same when a default changes
    values = {name: base + effect(c) + own.normal(0, 0.5) for name in MECHANISM}
    if c["method"] == "supervised":
        values["perturbed"] = 50 + own.normal(0, 0.5)
    if c["judge"]:
        for place in PLACES:
            values |= {f"{place} {name}": base + effect(c) + own.normal(0, 0.5) for name in report.JUDGED}
        for kind, area in (("Crack", 1.5), ("Break", 4.0)):
            values[f"tiles@96 PatchCore image AU-ROC, {kind}"] = base + effect(c)
            values[f"tiles@96 area, {kind}"] = area
    about = {"images": "made up", "device": "CPU", "code": code, "commit": f"of-{code}", "seconds": 1.0}
    key = runs.key_of([c["settings"], seed])
    run = {**c, **about, "seed": seed, "key": key, "values": values, "failed": None, **more}
    return {name: run[name] for name in (*runs.ABOUT, "values")}


def first_seeds(count=4):
    every = configurations.listed("cpu", settings.GRIDS)
    return [run_of(c, seed) for seed in range(count) for c in every if c["method"] or not seed]


def confirming(found, seeds=range(10, 20)):
    return [run_of(c, s) for s in seeds for c in configurations.confirming("cpu", settings.GRIDS, found)]


@pytest.fixture
def page(tmp_path, monkeypatch):
    path = tmp_path / "mechanism.md"
    path.write_text(report.PAGE.read_text())  # the page itself: no section may lack its marks
    monkeypatch.setattr(report, "DOCS", tmp_path)
    monkeypatch.setattr(report, "PAGE", path)
    return path


@pytest.fixture
def undrawn(monkeypatch):
    for name in ("draw_dose", "draw_forest"):
        monkeypatch.setattr(report, name, lambda *_: None)


def write(found, folder):
    writer = runs.Writer(folder)
    for run in found:
        writer.add(run)
    report.report(folder)


def section(page, name):
    return page.read_text().partition(f"<!-- begin {name} -->")[2].partition("<!-- end")[0]


def test_the_planted_setting_is_chosen_and_confirmed_on_other_seeds(page, tmp_path):
    found = first_seeds()
    chosen = configurations.choice("cpu", found)
    assert chosen[None, "simclr"]["spd"] == PLANTED
    continued = {("lite0", method) for method in ("simsiam", "simclr", "supervised")}
    assert chosen.keys() == {(None, method) for method in settings.METHODS} | continued
    write([*found, *confirming(found)], tmp_path / "runs")
    assert re.search(r"\| \*\*SimCLR, eta 20, shared draws\*\* \| \*+\+[45]\.", section(page, "choice"))
    confirmed = section(page, "confirmed")
    assert re.search(r"\| SimCLR, eta 20, shared draws \| \*\*\+[45]\.", confirmed) and "| 10 |" in confirmed
    assert not [row for row in confirmed.splitlines() if row.startswith("| MoCo") and "**" in row]
    rows = [row for row in section(page, "everywhere").splitlines() if row.startswith("| SimCLR, eta 20, s")]
    rows = [row for row in rows if "ImageNet" not in row]
    assert next(row.split(" | ")[0].split(", ")[-1] for row in rows) == "tiles@96 (texture)"
    assert len(rows) == len(PLACES)
    assert "images/study-detectors.png" in confirmed
    for name in ("study-dose", "study-detectors"):
        assert (tmp_path / "images" / f"{name}.png").stat().st_size > 10_000
    for name in ("state", "dose",
                  "statistics", "supervised", "guessing", "choice", "explored", "everywhere", "defects",
                 "corpus", "start"):  # fmt: skip
        assert "On a CPU:" in section(page, name) and "No runs" not in section(page, name), name
    assert "| Crack (1.5 %) | Break (4 %) |" in section(page, "defects")
    assert re.search(r"\| SimCLR, eta 20, shared draws \| \*+\+[45]\.", section(page, "dose"))


def test_the_choice_looks_at_the_first_seeds_alone(tmp_path):
    found = first_seeds()
    (c,) = [c for c in configurations.candidates("cpu")[None, "simclr"] if c["spd"] == SECOND]
    late = [run_of(c, seed) for seed in range(10, 14)]
    for run in late:
        run["values"] = {name: 100.0 for name in run["values"]}
    assert configurations.choice("cpu", found + late)[None, "simclr"]["spd"] == PLANTED


def test_a_setting_that_collapsed_is_none_to_choose():
    found = first_seeds()
    for run in found:
        if run["method"] == "simclr" and run["spd"] == PLANTED and run["seed"] == 1 and run["start"] is None:
            run["failed"] = "features are constant"
    assert configurations.choice("cpu", found)[None, "simclr"]["spd"] == SECOND


def test_missing_runs_other_code_and_other_settings_are_said(page, undrawn, tmp_path):
    found = first_seeds(2)
    dose = [run for run in found if run["seed"] == 1 and run["judge"] is None]
    found = [run for run in found if run not in dose[:3]]
    old = {**run_of(configurations.listed("cpu", ["dose"])[0], 0), "settings": "older", "key": "older"}
    found = [*found[:-1], {**found[-1], "code": "bbb", "failed": "constant"}, old]
    write([*found, *confirming(found)[1:]], tmp_path / "runs")
    said = section(page, "state")
    assert "`dose`: 61 configurations, 2 seeds, 3 runs missing." in said
    assert "`detectors`: 44 configurations, 2 seeds, 0 runs missing." in said
    assert "confirmation: 12 configurations, 10 seeds, 1 runs missing." in said
    assert "Code: `aaa` (commit of-aaa), `bbb` (commit of-aaa)." in said
    assert "different states of the code" in said and "1 runs of other settings than today's" in said
    assert "1 runs gave up, the first: constant" in said


def test_the_report_is_remade_from_the_csv_alone(page, undrawn, tmp_path):
    write(first_seeds(2), tmp_path / "runs")
    before, table = page.read_text(), (tmp_path / "study-runs.csv").read_bytes()
    report.report(tmp_path / "none")
    assert page.read_text() == before and (tmp_path / "study-runs.csv").read_bytes() == table
    write(first_seeds(3)[-3:], tmp_path / "more")
    assert len((tmp_path / "study-runs.csv").read_text().splitlines()) == table.count(b"\n") + 3


def test_without_runs_nothing_is_written(page, tmp_path):
    before = page.read_text()
    report.report(tmp_path / "none")
    assert page.read_text() == before and not list(tmp_path.glob("*.csv"))


def test_a_gpus_runs_have_tables_and_pictures_of_their_own(page, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(report, "draw_dose", lambda _, path: drawn.append(path.name))
    both = [
        run_of(c, s)
        for scale in settings.SCALES
        for s in (0, 1)
        for c in configurations.listed(scale, ["dose"])
    ]
    write(both, tmp_path / "runs")
    assert section(page, "dose").count("| SimCLR, eta 20, shared draws |") == 2
    assert "On a GPU:" in section(page, "state")
    assert drawn == ["study-dose.png", "study-dose-gpu.png"]


def test_the_quick_table_pairs_its_settings_with_none():
    every = configurations.listed("cpu", (), quick=True)
    lines = report.quick([run_of(c, seed) for c in every for seed in range(6)]).splitlines()
    assert re.match(r"\| SimCLR, eta 20, shared draws \| \*\*\+[45]\.", lines[2])
    assert re.match(r"\| SimCLR, eta 20, independent draws \| \**[+-]0\.", lines[3])
