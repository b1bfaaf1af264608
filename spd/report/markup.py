"""Any text as Markdown or LaTeX that shows exactly that text."""

import re

_LATEX = {
    **{letter: f"\\{letter}" for letter in "{}$&#%_"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''", "`": r"\textasciigrave{}"},
    **{"−": r"\ensuremath{-}", "±": r"\ensuremath{\pm}", "×": r"\ensuremath{\times}"},
    **{
        "·": r"\ensuremath{\cdot}",
        "≤": r"\ensuremath{\leq}",
        "≥": r"\ensuremath{\geq}",
        "≠": r"\ensuremath{\neq}",
    },
    **{"→": r"\ensuremath{\rightarrow}", "η": r"\ensuremath{\eta}", "σ": r"\ensuremath{\sigma}"},
    **{letter: f"{{{letter}}}" for letter in "[]*"},  # after a row's end these would be read as its argument
    **{"†": r"\dag{}", "‡": r"\ddag{}", "\n": " ", "\r": " "},
}


def latex(text: object) -> str:
    """`text` for the body of a LaTeX document. Letters beyond Latin need XeLaTeX or LuaLaTeX."""
    shown = "".join(_LATEX.get(letter, letter) for letter in str(text).replace("–", "\0").replace("—", "\1"))
    # Two hyphens are two hyphens (`--cores`); only a dash is a dash.
    return re.sub("-(?=-)", "-{}", shown).replace("\0", "--").replace("\1", "---")


def markdown(text: object) -> str:
    """`text` for a cell or paragraph of GitHub's Markdown: no markup, no HTML, no end of a cell."""
    escaped = re.sub(r"([\\`*_{}\[\]|~$#])", r"\\\1", str(text))
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\r\n]+", " ", escaped)
