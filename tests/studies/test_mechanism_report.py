"""The page of the studies, from made-up runs whose differences are known."""

import csv

import pytest

from studies import continued, mechanism, mechanism_report, runs

SECTIONS = ("means", "differences", "parts", "halves", "shared", "why")
JUDGED = ("continued", "continued-rates", "continued-differences", "continued-start", "continued-stages")
SENSITIVITY = ("z_ratio", "z_ratio_local", "z_std", "z_cos_plus", "z_cos_local", "h_ratio_local")
PLACES = ("all", "jitter_all", *(f"jitter_{stage}" for stage in mechanism.STAGES))


def measured(r):
    names = [f"sensitivity_{name}" for name in SENSITIVITY] + [f"localisation_{name}" for name in PLACES]
    return {**dict.fromkeys(names, 0.5), "knn": 0.1, "sensitivity_z_ratio": r}


def judged(value):
    metrics = {"AU-ROC": value, "AU-PR": value}
    return {stage: {"classification": metrics, "segmentation": metrics}
            for stage in ("all", "blocks.1", "blocks.2", "blocks.4")}  # fmt: skip


@pytest.fixture
def page(tmp_path, monkeypatch):
    marks = [f"<!-- begin {name} -->\n<!-- end {name} -->" for name in (*SECTIONS, *JUDGED)]
    path = tmp_path / "mechanism.md"
    path.write_text("kept\n" + "\n".join(marks) + "\nkept too\n")
    monkeypatch.setattr(mechanism_report, "DOCS", tmp_path)
    monkeypatch.setattr(mechanism_report, "PAGE", path)
    return path


def simclr(eta, seed, r, **more):
    told = mechanism.told("simclr", {"eta": eta})
    return {**told, "seed": seed, "images": "made up", "device": "CPU", "measured": measured(r), **more}


def judged_run(name, seed, value):
    row = next(row for row in (*continued.GRID, *continued.WHY, *continued.RATES) if row[0] == name)
    about = {
        "seed": seed,
        "images": "made up",
        "device": "CPU",
        "measured": {} if row[1] is None else {"knn": 0.2},
    }
    return {**continued.told(*row), **about, "padim": judged(value)}


def test_means_and_paired_differences_are_on_the_page(page, tmp_path):
    for seed in (0, 1, 2):
        for eta, r in ((0.0, 1 + seed), (0.1, 1.5 + seed + 0.01 * seed)):
            runs.add(tmp_path / "m.jsonl", simclr(eta, seed, r))
    runs.add(tmp_path / "c.jsonl", judged_run("SimSiam", 0, 0.5))
    runs.add(tmp_path / "c.jsonl", judged_run("SimSiam + SPD", 1, 0.5))  # its pair has not run yet
    for seed in (0, 1):
        values = {"SimCLR": 0.5 + seed / 10, "SimCLR + SPD": 0.6, "SimCLR + SPD, eta 1": 0.7}
        for name, value in (values if seed else {"ImageNet weights": 0.8, **values}).items():
            runs.add(tmp_path / "c.jsonl", judged_run(name, seed, value))
    runs.add(tmp_path / "c.jsonl", judged_run("SimCLR, lr x 10", 0, 0.4))
    mechanism_report.report(tmp_path / "m.jsonl", tmp_path / "c.jsonl")
    text = page.read_text()
    rates = text.partition("begin continued-rates -->")[2].partition("<!--")[0].splitlines()[5:]
    assert [row.split(" | ")[:2] for row in rates] == [  # seed 0 alone
        ["| ImageNet weights", "80.00"],
        ["| SimCLR", "50.00"],
        ["| SimCLR, lr x 10", "40.00"],
    ]
    assert text.count("SimCLR, lr x 10") == 1
    assert text.startswith("kept\n") and text.endswith("kept too\n")
    assert "| SimCLR, eta 0 | 2.000 |" in text
    assert "| SimCLR, eta 0.1 | SimCLR, eta 0 | **+0.510 [+0.485, +0.535]** |" in text
    assert "| ImageNet weights | 80.0 | 80.0 | 80.0 | 80.0 | - | 1 |" in text and "| SimCLR | 55.0 |" in text
    assert "| SimCLR + SPD | SimCLR | +5.0 [" in text and "| SimCLR + SPD, eta 1 | SimCLR | +15.0 [" in text
    assert "| SimCLR + SPD | ImageNet weights | **-20.0 [-20.0, -20.0]** |" in text
    assert "| SimSiam + SPD | 50.0 |" in text and "| SimSiam + SPD | SimSiam |" not in text
    assert len((tmp_path / "mechanism-runs.csv").read_text().splitlines()) == 7
    assert (tmp_path / "images" / "mechanism.png").stat().st_size > 1000


def test_runs_of_the_page_stay_beside_new_ones_of_the_same_images_and_settings(page, tmp_path):
    none = tmp_path / "none.jsonl"
    for seed in (0, 1):
        runs.add(tmp_path / "old.jsonl", simclr(0.0, seed, 1.0))
        runs.add(tmp_path / "old.jsonl", simclr(0.1, seed, 2.0))
    mechanism_report.report(tmp_path / "old.jsonl", none)
    before = page.read_text()
    mechanism_report.report(none, none)
    assert page.read_text() == before  # from the CSV alone
    runs.add(tmp_path / "new.jsonl", simclr(0.0, 1, 3.0))
    runs.add(tmp_path / "new.jsonl", simclr(0.0, 2, 5.0))
    mechanism_report.report(tmp_path / "new.jsonl", none)
    assert "| SimCLR, eta 0 | 3.000 |" in page.read_text()  # 1, 3 instead of 1, and 5
    runs.add(tmp_path / "other.jsonl", simclr(0.0, 7, 9.0, images="others"))
    mechanism_report.report(tmp_path / "other.jsonl", none)
    rows = (tmp_path / "mechanism-runs.csv").read_text().splitlines()[1:]
    assert len(rows) == 1 and rows[0].startswith('"SimCLR, eta 0",7,')
    changed = simclr(0.0, 8, 9.0, recipe={"lr": 1})
    runs.add(tmp_path / "changed.jsonl", changed | {"images": "others"})
    mechanism_report.report(tmp_path / "changed.jsonl", none)
    assert (tmp_path / "mechanism-runs.csv").read_text().splitlines()[1:] == rows


def test_runs_of_two_states_of_the_code_are_told_apart(page, tmp_path):
    for seed, code in ((0, "aaa"), (1, "aaa"), (2, "bbb")):
        runs.add(tmp_path / "m.jsonl", simclr(0.0, seed, 1.0, code=code, commit=f"of-{code}"))
        mechanism_report.report(tmp_path / "m.jsonl", tmp_path / "none.jsonl")
        assert "Code: `aaa` (commit of-aaa)" in page.read_text()
        assert ("different states of the code" in page.read_text()) == (seed == 2)
    assert ",CPU,bbb,of-bbb," in (tmp_path / "mechanism-runs.csv").read_text().splitlines()[3]


def test_seeds_after_the_first_five_are_a_repetition(page, tmp_path):
    for seed in range(8):
        for eta, r in ((0.0, 1.0), (0.1, (1.5 if seed < 5 else 1.25) + 0.01 * seed)):
            runs.add(tmp_path / "m.jsonl", simclr(eta, seed, r))
        if seed == 4:
            mechanism_report.report(tmp_path / "m.jsonl", tmp_path / "none.jsonl")
            assert "seeds 5 on" not in page.read_text()
    mechanism_report.report(tmp_path / "m.jsonl", tmp_path / "none.jsonl")
    text = page.read_text()
    assert "| SimCLR, eta 0.1, seeds 0 - 4 | SimCLR, eta 0, seeds 0 - 4 | **+0.520 [" in text
    assert "| SimCLR, eta 0.1, seeds 5 on | SimCLR, eta 0, seeds 5 on | **+0.310 [" in text


def test_a_file_of_runs_older_than_its_columns_is_read(page, tmp_path):
    none, path = tmp_path / "none.jsonl", tmp_path / "continued-runs.csv"
    runs.add(tmp_path / "c.jsonl", judged_run("SimSiam", 0, 0.5))
    mechanism_report.report(none, tmp_path / "c.jsonl")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    dropped = ("code", "commit", "std √d")
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(
            file, [name for name in rows[0] if name not in dropped], extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(rows)
    mechanism_report.report(none, none)
    assert "| SimSiam | 50.0 |" in page.read_text() and "Code: not recorded." in page.read_text()
    assert {*dropped} <= {*path.read_text().splitlines()[0].split(",")}


def test_shared_draws_are_paired_with_draws_of_their_own(page, tmp_path):
    for method, spd in mechanism.SHARED:
        told = mechanism.told(method, spd)
        own = mechanism_report._with_draws_of_their_own(told)
        assert own["spd"].items() >= {k: v for k, v in spd.items() if k != "weak_draws"}.items()
        assert "weak_draws" not in own["spd"] and own["recipe"] == told["recipe"]
    for seed in (0, 1, 2):
        more = {"seed": seed, "images": "made up", "device": "CPU"}
        for spd, r in (
            ({"eta": 1.0}, 1.0 + seed),
            ({"eta": 1.0, "weak_draws": "shared"}, 1.25 + 1.01 * seed),
        ):
            run = {**mechanism.told("moco", spd), **more, "measured": measured(r)}
            runs.add(tmp_path / "m.jsonl", run)
    mechanism_report.report(tmp_path / "m.jsonl", tmp_path / "none.jsonl")
    row = "| MoCo, eta 1, weak draws shared | MoCo, eta 1 | **+0.260 [+0.235, +0.285]** |"
    assert row in page.read_text()


def test_every_row_of_the_second_study_has_the_training_that_it_is_compared_with():
    names = {row[0]: row for row in (*continued.GRID, *continued.WHY)}
    assert len(names) == len(continued.GRID) + len(continued.WHY)
    for name, (_, method, _spd, changes) in names.items():
        if "SPD" in name:
            _, other_method, other_spd, other_changes = names[continued.without_spd(name)]
            assert (other_method, other_spd) == (method, {"eta": 0.0})
            assert {k: v for k, v in changes.items() if k != "local"} == other_changes


def test_without_runs_nothing_is_written(page, tmp_path):
    before = page.read_text()
    mechanism_report.report(tmp_path / "none.jsonl", tmp_path / "none.jsonl")
    assert page.read_text() == before
    assert not list(tmp_path.glob("*.csv"))
