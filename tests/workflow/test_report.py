"""Snakemake's own report of a finished run."""

import json

import pytest

pytestmark = pytest.mark.workflow


def test_tables_and_figures_stand_in_it_with_captions_and_categories(built, tmp_path):
    done = built.snakemake("--report", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "report.html").read_text()

    def embedded(name):
        start = text.index("{", text.index(f'<script id="{name}">'))
        return json.JSONDecoder().raw_decode(text, start)[0]

    shown = embedded("results")
    for name in ("padim_1class.csv", "padim_1class_objects.html", "claims.html", "dataset_overview.csv"):
        assert "<p>" in shown[f"results/tiny/tables/{name}"]["caption"]
    assert any("-curves.png" in name for name in shown)
    assert {"Tables", "Claims", "Data sets", "Figures"} <= set(embedded("categories"))
