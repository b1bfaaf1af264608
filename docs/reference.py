"""The reference: a page of every key of config.yaml, from its schema; one for each package, from docstrings.

    python docs/reference.py           writes docs/config.md
    python docs/reference.py --check   fails where docs/config.md is not what the schema says

As a hook of mkdocs (`hooks:` in mkdocs.yml) it adds the README as the first page, CONTRIBUTING.md and the
packages' pages; they exist only in the built site.
"""

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE / "config.md"
SOURCES = HERE.parent / "spd"
OUTSIDE = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md"}

HEAD = """# Keys of config.yaml

Written from the schema by `python docs/reference.py`; edit the docstrings of the `options.py` files instead.
A key without a default has to be given. `null` means: leave it out.

"""


def config_page(schema: dict[str, Any]) -> str:
    """The whole reference as Markdown, from a JSON Schema as `spd.config.model.json_schema` returns it."""
    parts = [HEAD, "## Top level\n\n", _table(schema)]
    for name, model in sorted(schema["$defs"].items()):
        parts.append(f"\n## {name}\n\n")
        if model.get("description"):
            parts.append(f"{_line(model['description'])}\n\n")
        parts.append(_table(model) if model.get("properties") else f"{_kind(model)}\n")
    return "".join(parts)


def _table(model: dict[str, Any]) -> str:
    rows = ["| key | value | default | |\n|---|---|---|---|\n"]
    for key, entry in model["properties"].items():
        default = "" if key in model.get("required", []) else _default(entry)
        rows.append(f"| `{key}` | {_kind(entry)} | {default} | {_cell(entry.get('description', ''))} |\n")
    return "".join(rows)


def _default(entry: dict[str, Any]) -> str:
    value = entry.get("default")
    if isinstance(value, dict):
        return "see there"
    if value is None:
        return "`null`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(entry: dict[str, Any]) -> str:
    """Type and allowed values in words."""
    if "$ref" in entry:
        return _link(entry["$ref"])
    if "const" in entry:
        return f"`{entry['const']}`"
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    for union in ("anyOf", "oneOf"):
        if union in entry:
            return " or ".join(_kind(option) for option in entry[union])
    if entry.get("type") == "array":
        if "prefixItems" in entry:
            return "[" + ", ".join(_kind(item) for item in entry["prefixItems"]) + "]"
        return f"list of {_kind(entry.get('items', {}))}"
    if entry.get("type") == "object":
        values = [*entry.get("patternProperties", {}).values(), entry.get("additionalProperties")]
        values = [value for value in values if isinstance(value, dict)]
        return f"name: {_kind(values[0])}" if values else "mapping"
    return " ".join([_type(entry.get("type", "any")), *_bounds(entry)])


def _type(name: str) -> str:
    return {"null": "`null`", "boolean": "`true` or `false`", "string": "text"}.get(name, name)


def _bounds(entry: dict[str, Any]) -> list[str]:
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return [f"{sign} {entry[key]}" for key, sign in words.items() if key in entry]


def _link(reference: str) -> str:
    name = reference.rsplit("/", 1)[1]
    return f"[{name}](#{name.lower()})"


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    """Text for a cell: no bar that ends it, no `<` that a browser takes for a tag outside of code."""
    parts = _line(text).replace("|", "\\|").split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


# --- mkdocs ------------------------------------------------------------------------------------------


def packages() -> dict[str, list[str]]:
    """Package -> its public modules, dotted; the modules of `spd/` itself stand under `spd`."""
    found: dict[str, list[str]] = {}
    for path in sorted(SOURCES.rglob("*.py")):
        parts = path.relative_to(SOURCES.parent).with_suffix("").parts
        if parts[-1].startswith("_"):
            continue
        found.setdefault(".".join(parts[:-1]), []).append(".".join(parts))
    return found


def front_page(readme: str) -> str:
    """The README (or CONTRIBUTING.md) with its links into docs/ turned to the site's; other relative links
    become plain text."""
    text = re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?:|#|docs/[\w./-]+\.md)[^)]*\)", r"\1", readme)
    return re.sub(r"\]\(docs/", "](", text)


def on_files(files, config):
    """Hook of mkdocs: the pages that lie outside of docs/, and one generated page for each package."""
    from mkdocs.structure.files import File

    for page, source in OUTSIDE.items():
        content = front_page((HERE.parent / source).read_text())
        files.append(File.generated(config, page, content=content))
    for package, modules in packages().items():
        text = f"# {package}\n\n" + "\n\n".join(f"::: {module}" for module in modules) + "\n"
        files.append(File.generated(config, f"reference/{package}.md", content=text))
    return files


if __name__ == "__main__":
    from spd.config.model import json_schema

    page = config_page(json_schema())
    if "--check" in sys.argv[1:]:
        if PAGE.read_text() != page:
            sys.exit(f"{PAGE.name} is not what the schema says: run python docs/reference.py")
    else:
        PAGE.write_text(page)
        print(f"{PAGE.name}: {page.count(chr(10))} lines")
