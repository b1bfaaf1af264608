"""The examples of docs/extending.md, as the page has them, and the number of lines of each.

python tests/extending/examples.py --write puts the counts into the page.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/extending.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
COUNTS = re.compile(r"(?<=--write -->\n)(.*)(?=<!-- /lines -->)", re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A section: mine.yaml, command, files by name, Python to run first; "" where it has none."""

    title: str
    yaml: str
    command: str
    files: dict[str, str]
    python: str


def examples():
    """name of the section -> Example, in the page's order."""
    found = {}
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title = section.splitlines()[0]
        blocks = BLOCK.findall(section)
        plain = {language: text for language, name, text in blocks if not name}
        files = {name: text for _, name, text in blocks if name}
        found[title] = Example(
            title,
            plain["yaml"],
            plain["sh"].strip(),
            files,
            plain.get("python", ""),
        )
    return found


def counts():
    """The table of line counts, blank lines left out, as Markdown."""
    rows = ["", "| to bring | lines of `mine.yaml` | lines of Python |", "|---|--:|--:|"]
    for example in examples().values():
        modules = "".join(text for name, text in example.files.items() if name.endswith(".py"))
        anchor = example.title.lower().replace(" ", "-")
        rows.append(f"| [{example.title}](#{anchor}) | {_lines(example.yaml)} | {_lines(modules)} |")
    return "\n".join(rows) + "\n\n"


def _lines(text):
    return sum(bool(line.strip()) for line in text.splitlines())


if __name__ == "__main__":
    text = COUNTS.sub(lambda _: counts(), PAGE.read_text(encoding="utf-8"))
    if "--write" in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    print(counts())
