"""The page of the studies, from made-up runs whose differences are known."""

import pytest

from studies import mechanism, mechanism_report, runs

SECTIONS = ("means", "differences", "parts", "shared", "why")
JUDGED = ("continued", "continued-differences", "continued-start", "continued-stages")
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


def test_means_and_paired_differences_are_on_the_page(page, tmp_path):
    for seed in (0, 1, 2):
        for eta, r in ((0.0, 1 + seed), (0.1, 1.5 + seed + 0.01 * seed)):
            run = {
                "method": "simclr",
                "spd": {"eta": eta},
                "seed": seed,
                "study": "grid",
                "images": "made up",
            }
            runs.add(tmp_path / "m.jsonl", {**run, "measured": measured(r)})
    for seed in (0, 1):
        for name, value in (("ImageNet weights", 0.8), ("SimCLR", 0.5 + seed / 10), ("SimCLR + SPD", 0.6)):
            if name == "ImageNet weights" and seed:
                continue
            runs.add(tmp_path / "c.jsonl", {"name": name, "seed": seed, "padim": judged(value)})
    mechanism_report.report(tmp_path / "m.jsonl", tmp_path / "c.jsonl")
    text = page.read_text()
    assert text.startswith("kept\n") and text.endswith("kept too\n")
    assert "| SimCLR, eta 0 | 2.000 |" in text
    assert "| SimCLR, eta 0.1 | SimCLR, eta 0 | **+0.510 [+0.485, +0.535]** |" in text
    assert "| ImageNet weights | 80.0 |" in text and "| SimCLR | 55.0 |" in text
    assert "| SimCLR + SPD | SimCLR | +5.0 [" in text
    assert "| SimCLR + SPD | ImageNet weights | **-20.0 [-20.0, -20.0]** |" in text
    assert len((tmp_path / "mechanism-runs.csv").read_text().splitlines()) == 7
    assert (tmp_path / "images" / "mechanism.png").stat().st_size > 1000


def test_without_runs_nothing_is_written(page, tmp_path):
    before = page.read_text()
    mechanism_report.report(tmp_path / "none.jsonl", tmp_path / "none.jsonl")
    assert page.read_text() == before
