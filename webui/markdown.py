"""Markdown of models, tools and files as HTML that can do nothing.

Guarantees: the result holds only the tags and attributes named here; links open elsewhere, carry no
referrer and lead to http, https or mail; images are not fetched but shown as links, since fetching one tells
its server. The source's own HTML is text, and what steers a terminal is left out.
Costs some microseconds a line; sources are cut at a bound.

Source: CommonMark 0.31; nh3 (ammonia).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

from webui.terminal import plain

SOURCE_CHARS_MAX: Final = 200_000
KEPT_CHARS_MAX: Final = 4_000_000
"""Of texts and what was drawn of them, kept between requests."""
_TAGS: Final = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
_SCHEMES: Final = {"http", "https", "mailto"}
_FRAMED: Final = {
    "<pre>": '<div class="code"><pre tabindex="0" role="region" aria-label="Code">',
    "</pre>": '</pre><button type="button" class="button button-small copy" data-copy-of="pre">Copy</button></div>',
    "<table>": '<div class="prose-table" tabindex="0" role="region" aria-label="Table"><table>',
    "</table>": "</table></div>",
}
"""Code is copied with one button; what is too wide scrolls in a place of its own, which the keyboard reaches."""


def to_html(source: str) -> Markup:
    """Sanitised HTML of a Markdown text; more than SOURCE_CHARS_MAX characters are cut, and it says so."""
    cut = source[:SOURCE_CHARS_MAX]
    html = _html(cut)
    return html if len(cut) == len(source) else html + Markup("<p>[cut here]</p>")


def framed(source: str) -> Markup:
    """`to_html`, with our own frame around code and tables."""
    return _frame(to_html(source))


def draft_html(source: str) -> Markup:
    """`framed` of a text that is still being written: of the newest part where it is long, and not kept."""
    return _frame(_render(source[-SOURCE_CHARS_MAX:]))


def _frame(plain: Markup) -> Markup:
    html = str(plain)
    for tag, whole in _FRAMED.items():
        html = html.replace(tag, whole)
    return Markup(html)  # noqa: S704 -- the sanitiser leaves no `<` of the source's own


class Drawn:
    """What was drawn last, for as many characters as `chars_max`: one text may be short or long. Of one thread."""

    def __init__(self, draw: Callable[[str], Markup], chars_max: int) -> None:
        self._draw = draw
        self._chars_max = chars_max
        self._kept: OrderedDict[str, Markup] = OrderedDict()
        self.chars = 0

    def __call__(self, source: str) -> Markup:
        html = self._kept.pop(source, None)
        if html is None:
            html = self._draw(source)
            self.chars += len(source) + len(html)
        self._kept[source] = html
        while self.chars > self._chars_max:
            oldest, drawn = self._kept.popitem(last=False)
            self.chars -= len(oldest) + len(drawn)
        return html


def _render(source: str) -> Markup:
    rendered = _parser().render(plain(source))
    return Markup(  # noqa: S704 -- it has passed the sanitiser
        nh3.clean(
            rendered,
            tags=_TAGS,
            attributes={"a": {"href"}, "ol": {"start"}, "*": set()},
            url_schemes=_SCHEMES,
            link_rel="noopener noreferrer nofollow",
            set_tag_attribute_values={"a": {"target": "_blank"}},
            strip_comments=True,
        )
    )


_html: Final = Drawn(_render, KEPT_CHARS_MAX)


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    """Raw HTML off; tables and strikethrough on; an image is the link it stands for."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.disable("image")
    return parser
