import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spd.report.markup import latex, markdown

NASTY = r"a_b%c$d&e#f{g}~h^i\j<k>|l"


def test_latex_by_hand():
    assert latex(NASTY) == (
        r"a\_b\%c\$d\&e\#f\{g\}\textasciitilde{}h\textasciicircum{}i\textbackslash{}j"
        r"\textless{}k\textgreater{}\textbar{}l"
    )
    assert latex("--cores – [*] —") == "-{}-cores -- {[}{*}{]} ---"
    assert latex("η = 0.5 −1 ± 2") == r"\ensuremath{\eta} = 0.5 \ensuremath{-}1 \ensuremath{\pm} 2"


@given(st.text())
def test_latex_leaves_no_active_character(text):
    known = r"\\(text(backslash|asciitilde|asciicircum|less|greater|bar|asciigrave)|d?dag)\{\}"
    rest = re.sub(known + r"|\\ensuremath\{(-|\\[a-z]+)\}|\\[{}$&#%_]|\{[]*[]\}|-\{\}", "", latex(text))
    assert not set(rest) & set('\\{}$&#%_~^<>|"`\n')


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"])))
def test_markdown_cell_never_ends_early_nor_opens_html(text):
    shown = markdown(text)
    assert not set(shown) & set("\r\n<")
    assert not re.search(r"(?<!\\)(\\\\)*\|", shown)


@pytest.mark.parametrize(("text", "shown"), [("a_b", r"a\_b"), ("x|y", r"x\|y"), ("<b>&", "&lt;b&gt;&amp;")])
def test_markdown_by_hand(text, shown):
    assert markdown(text) == shown
