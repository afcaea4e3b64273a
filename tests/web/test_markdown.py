"""Markdown from outside becomes HTML that can do nothing."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from webui.markdown import SOURCE_CHARS_MAX, Drawn, framed, to_html

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://tracker.example/p.png)",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "<a href='x' onclick='alert(1)'>x</a>",
    "<style>body{display:none}</style>",
    "<iframe src=//evil></iframe>",
    '[x](https://ok.example "onmouseover=alert(1)")',
    "```html\n<script>alert(1)</script>\n```",
    "<svg><script>alert(1)</script></svg>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "`<b>`",
    "<form action=/sign-out method=post><button>x</button></form>",
    "<base href=//evil>",
    "x" * 10 + "\u202e" + "gpj.exe",
]
TAGS = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}


class _Seen(HTMLParser):
    """Every tag and attribute that a browser would meet."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def _harmless(source: str) -> None:
    seen = _Seen()
    seen.feed(str(to_html(source)))
    for tag, attributes in seen.tags:
        assert tag in TAGS
        assert set(attributes) <= {"href", "rel", "target", "start"}
        href = attributes.get("href") or "https:"
        assert href.startswith(("http:", "https:", "mailto:", "/", "#", "?", ".")) or ":" not in href.split("/")[0]


def test_what_steers_a_terminal_is_left_out() -> None:
    """A reply that quotes a program's colours shows its words, without the signs that no font has."""
    assert str(to_html("done \x1b[32mgreen\x1b[0m \x1b]0;title\x07ok\x00")) == "<p>done green ok</p>\n"


@pytest.mark.parametrize("source", HOSTILE)
def test_hostile_sources_lose_their_teeth(source: str) -> None:
    """Only the named tags and attributes come out, and links that lead nowhere dangerous."""
    _harmless(source)


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([*HOSTILE, "\n", "\n\n", "> ", "- ", "|a|b|\n|-|-|\n", "**", "`", "```\n"]), max_size=8)
)
def test_mixtures_are_as_harmless(parts: list[str]) -> None:
    """Put together in any way they stay so."""
    _harmless("".join(parts))


def test_what_people_write_is_drawn() -> None:
    """Emphasis, lists, code and tables are what they were meant to be, and links open elsewhere."""
    html = to_html("**a** `b`\n\n- c\n\n|x|y|\n|-|-|\n|1|2|\n\n[d](https://e.example)")
    for part in ("<strong>a</strong>", "<code>b</code>", "<li>c</li>", "<td>1</td>"):
        assert part in html
    assert 'rel="noopener noreferrer nofollow"' in html


def test_an_image_is_no_request() -> None:
    """Showing it would tell its server who reads: it stays a link."""
    assert "<img" not in to_html("![alt](https://tracker.example/p.png)")


def test_a_source_is_cut_at_its_bound() -> None:
    """One character less is drawn whole, one more is cut and says so."""
    assert "cut here" not in to_html("x" * SOURCE_CHARS_MAX)
    assert "cut here" in to_html("x" * (SOURCE_CHARS_MAX + 1))


def test_code_and_tables_have_a_frame() -> None:
    """Code has a button that copies it; what looks like the frame in the source is text."""
    html = framed("```\n<pre>x</pre>\n```\n\n| a |\n|---|\n| 1 |\n\n<table>")
    assert html.count("<pre ") == html.count("data-copy-of") == html.count("<table>") == 1
    assert "&lt;pre&gt;x&lt;/pre&gt;" in html


def test_what_is_kept_of_drawn_texts_is_bounded_in_characters() -> None:
    """However many texts there are, and however long: the oldest go, and one in use is not drawn again."""
    drawn: list[str] = []

    def draw(source: str) -> Markup:
        drawn.append(source)
        return Markup(source)

    kept = Drawn(draw, 100)
    for source in ("a" * 20, "b" * 20, "a" * 20, "c" * 20, "a" * 20, "b" * 20):
        assert kept(source) == source
    assert [source[0] for source in drawn] == ["a", "b", "c", "b"]
    assert kept("d" * 60) == "d" * 60
    assert kept.chars <= 100
