"""HTML to text: what is kept, what is left out, and that nothing takes long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.tools.html import MAIN_CHARS_MIN, readable

BASE = "https://h.example/dir/page"

PAGES = [
    ("<p>one<p>two", "one\n\ntwo"),
    ("a <b>bold</b>  and\n\n spaced", "a bold and spaced"),
    ("<h1>Top</h1><h3>Sub</h3>x", "# Top\n\n### Sub\n\nx"),
    ("<ul><li>a<li>b</ul>", "- a\n- b"),
    ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", "a | b |\n\nc | d |"),
    ("<pre>  keep\n   this</pre>", "keep\n   this"),
    ("a<br>b<br/>c", "a\nb\nc"),
    ("&lt;tag&gt; &amp; &eacute;&#233;&#x2014;", "<tag> & éé—"),
    ("<script>if (a < b) { x('</p>') }</script>seen", "seen"),
    ("<style>p > a { }</style><noscript>no</noscript><svg><text>no</text></svg>seen", "seen"),
    ("<!-- <p>no</p> -->seen<!-- open", "seen"),
    ("<!DOCTYPE html><?xml version='1'?>seen", "seen"),
    ("<p title='a > b'>x</p><p title=\"c > d\">y</p>", "x\n\ny"),
    ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
    ("<script>never closed", ""),
    ("<a href='/x?a=1&amp;b=2'>link</a>", "[link](https://h.example/x?a=1&b=2)"),
    (
        "<a href=other>l</a> <a href='#here'>same</a> <a href='javascript:x()'>js</a>",
        "[l](https://h.example/dir/other) same js",
    ),
    ("<a href='http://[bad'>broken</a>", "broken"),
]


@pytest.mark.parametrize(("markup", "text"), PAGES, ids=range(len(PAGES)))
def test_a_page_reads_as_text(markup: str, text: str) -> None:
    """Structure becomes plain marks; code, comments and style go."""
    assert readable(markup, BASE).text == text


def test_the_title_is_kept_apart() -> None:
    """It is not repeated in the text."""
    page = readable("<head><title> A &amp;\n B </title></head><body>x</body>", BASE)
    assert (page.title, page.text) == ("A & B", "x")


@pytest.mark.parametrize(("length", "only_main"), [(MAIN_CHARS_MIN, True), (MAIN_CHARS_MIN - 1, False)])
def test_the_main_part_is_taken_where_it_is_not_trivial(length: int, only_main: bool) -> None:
    """A real main part drops the menu; a trivial one does not cost the page."""
    page = readable(f"<nav>menu</nav><main>{'x' * length}</main><footer>foot</footer>", BASE)
    assert ("menu" not in page.text) is only_main


@given(st.text(alphabet="<>/!-\"'=&;ab \n", max_size=200))
def test_any_text_gives_a_page(markup: str) -> None:
    """Broken markup is read, never an error."""
    assert isinstance(readable(markup, BASE).text, str)


HOSTILE = ("<", "<a ", "<a href='", "<!--", "</", "&", "<script>", "<a b=\"'>", "<![CDATA[", "<p><main>", "<a href=")


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_markup_costs_no_more_than_its_length(piece: str) -> None:
    """A million characters of what makes other parsers quadratic."""
    started = time.process_time()
    readable(piece * (1_000_000 // len(piece)), BASE)
    assert time.process_time() - started < 8
