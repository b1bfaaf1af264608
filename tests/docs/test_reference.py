"""The reference says what the schema says, and leaves out no package."""

import importlib.util
import re
from pathlib import Path

import yaml

from spd.config.model import json_schema

ROOT = Path(__file__).parents[2]

spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)


def test_the_page_of_keys_is_current():
    assert reference.PAGE.read_text() == reference.config_page(json_schema()), "run python docs/reference.py"


def test_every_model_and_key_stands_in_the_page_with_its_docstring():
    page = reference.PAGE.read_text()
    for name, model in json_schema()["$defs"].items():
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for key, entry in model.get("properties", {}).items():
            row = next(line for line in section.splitlines() if line.startswith(f"| `{key}` |"))
            assert entry.get("description"), f"{name}.{key} has no docstring"
            assert row.rsplit(" | ", 1)[1].strip(" |"), f"{name}.{key}"


def test_bounds_choices_and_defaults_are_spelt_out():
    schema = {
        "properties": {
            "rate": {
                "type": "number",
                "minimum": 0,
                "exclusiveMaximum": 1,
                "default": 0.5,
                "description": "R.",
            },
            "kind": {"enum": ["a", "b"], "description": "`<x>` | <y>"},
        },
        "required": ["kind"],
        "$defs": {},
    }
    page = reference.config_page(schema)
    assert "| `rate` | number ≥ 0 < 1 | `0.5` | R. |" in page
    assert "| `kind` | `a`, `b` |  | `<x>` \\| &lt;y> |" in page


def test_every_package_with_modules_has_a_page():
    modules = {module for names in reference.packages().values() for module in names}
    for path in (ROOT / "spd").rglob("*.py"):
        if not path.name.startswith("_"):
            assert ".".join(path.relative_to(ROOT).with_suffix("").parts) in modules


def test_links_of_the_front_page_stay_inside_the_site():
    text = reference.front_page("[a](docs/a.md) [c](config.yaml) ![p](docs/images/p.png) [w](https://x.org)")
    assert text == "[a](a.md) c ![p](images/p.png) [w](https://x.org)"
    for target in re.findall(r"\]\(([^)#]+)", reference.front_page((ROOT / "README.md").read_text())):
        assert target.startswith("http") or (ROOT / "docs" / target).exists(), target


def test_each_page_stands_in_one_of_the_five_parts_of_the_navigation():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    parts = {name: pages for part in nav for name, pages in part.items()}
    assert list(parts) == ["Start", "How-to", "Python API", "Method and evidence", "Maintainers"]
    assert parts["Python API"] and all(page.startswith("reference/") for page in parts["Python API"])
    written = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    made = [*reference.OUTSIDE, *(f"reference/{package}.md" for package in reference.packages())]
    assert sorted(page for pages in parts.values() for page in pages) == sorted([*written, *made])
