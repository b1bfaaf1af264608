"""The examples of docs/data.md are configurations that hold."""

import re
from pathlib import Path

import pytest
import yaml

from spd.config.model import load

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^ *```yaml\n(.*?)^ *```$", (ROOT / "docs/data.md").read_text(), re.DOTALL | re.MULTILINE
)


@pytest.mark.parametrize("preset", ["demo", "paper"])
@pytest.mark.parametrize("block", BLOCKS)
def test_each_example_is_a_valid_config(block, preset):
    example = yaml.safe_load(block)
    config = load(ROOT / "config.yaml", {**example, "preset": preset})
    for name, entry in example["datasets"].items():
        said = config.datasets[name].model_dump(mode="json")
        assert {key: said[key] for key in entry if key not in ("archive", "csv")} == {
            key: value for key, value in entry.items() if key not in ("archive", "csv")
        }
    for name, entry in example.get("tables", {}).items():
        assert config.tables[name].datasets == entry["datasets"]


def test_there_are_examples_of_each_way_to_bring_data():
    readers = {
        entry.get("reader") for block in BLOCKS for entry in yaml.safe_load(block)["datasets"].values()
    }
    assert readers >= {"mvtec", "split_csv"} and any("nested: true" in block for block in BLOCKS)
