import json

import numpy as np
import pytest

from spd import corpus
from spd.methods.options import SPDOptions, parse_recipe
from studies import running_statistics as study


def test_every_run_can_be_trained_and_has_a_key_of_its_own():
    images = corpus.from_arrays(np.zeros((2, 3, 8, 8), np.uint8), np.arange(2))
    listed = study.configurations(images, seeds=2)
    assert len({run["key"] for run in listed}) == len(listed) == 2 * 4 * 3
    for run in listed:
        assert parse_recipe(run["recipe"]).method == run["method"]
        assert SPDOptions(**run["spd"]).eta == (0 if run["choice"] is None else study.ETA)


def test_the_report_pairs_by_seed(tmp_path):
    lines = []
    for method in study.METHODS:
        for seed, base in enumerate((60.0, 70.0)):
            for choice, effect in ((None, 0), ("method", 1 + seed), ("all", 3)):
                lines.append(
                    {
                        "method": method, "choice": choice, "seed": seed,
                        "points": {"classification AU-ROC": base + effect},
                        "last": {"perturbed_accuracy": 0.5 + seed / 100},
                    }
                )  # fmt: skip
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = [row.split(" | ")[1:] for row in study.report(path).splitlines() if row.startswith("| moco")]
    # mean 1.5 of 1 and 2, and its interval: 1.96 * std / sqrt(2) with std 0.707
    assert rows == [
        ["SPD, `method`", "2", "+1.5 ± 1.0 |"],
        ["SPD, `all`", "2", "+3.0 ± 0.0 |"],
        ["`all` - `method`", "2", "+1.5 ± 1.0 |"],
    ]
    assert study.report(path).endswith("perturbed_accuracy by seed, %: 50.0, 51.0")


def test_without_tiles_it_says_where_they_are_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("SPD_DATA", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["study", "--results", str(tmp_path / "r.jsonl")])
    with pytest.raises(SystemExit, match="magnetic_tile is not there"):
        study.main()
