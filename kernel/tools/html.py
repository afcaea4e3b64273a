"""HTML to text that reads well: headings, lists, links, tables; without scripts and decoration.

Guarantees: ends in time linear in the page, whatever the page holds (the standard library's parser
can take quadratic time on broken markup); runs nothing and fetches nothing. Where the page marks
its main part (`main`, `article`) and that part is not trivial, only that is returned.

Does not build a tree: unclosed tags may leave a list or a table less well formed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape
from typing import Final
from urllib.parse import urljoin

MAIN_CHARS_MIN: Final = 200
_TAG_END: Final = re.compile(r"[\"'>]")
_NAME: Final = re.compile(r"/?([a-zA-Z][a-zA-Z0-9:-]{0,63})")
_HREF: Final = re.compile(
    r"\bhref\s{0,8}=\s{0,8}(?:\"([^\"]{0,4096})\"|'([^']{0,4096})'|([^\s\"'>]{1,4096}))", re.IGNORECASE
)
_SPACES: Final = re.compile(r"[ \t\r\n\f\u00a0]+")
_GAPS: Final = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_RAW: Final = frozenset({"script", "style", "noscript", "template", "svg", "iframe", "object", "canvas", "math"})
_BLOCKS: Final = frozenset(
    {"p", "div", "section", "article", "main", "header", "footer", "nav", "aside", "ul", "ol", "dl", "table", "tr"}
    | {"blockquote", "figure", "figcaption", "form", "fieldset", "address", "details", "summary", "dt", "hr", "body"}
)
_MAIN: Final = frozenset({"main", "article"})
_LINKS_START: Final = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Page:
    title: str
    text: str


@dataclass(slots=True)
class _Writer:
    """Gathers text; `main` keeps what lies in the page's main part."""

    base: str
    whole: list[str] = field(default_factory=list[str])
    main: list[str] = field(default_factory=list[str])
    title: list[str] = field(default_factory=list[str])
    in_main: int = 0
    in_title: bool = False
    in_pre: int = 0
    link: str = ""

    def put(self, text: str) -> None:
        self.whole.append(text)
        if self.in_main:
            self.main.append(text)

    def text(self, raw: str) -> None:
        if self.in_title:
            self.title.append(raw)
            return
        plain = unescape(raw)
        self.put(plain if self.in_pre else _SPACES.sub(" ", plain))

    def tag(self, name: str, inside: str, *, closing: bool) -> None:
        if name == "title":
            self.in_title = not closing
        elif name == "br":
            self.put("\n")
        elif name == "a":
            self._anchor(inside, closing=closing)
        elif name in {"h1", "h2", "h3", "h4", "h5", "h6"}:
            self.put("\n\n" if closing else "\n\n" + "#" * int(name[1]) + " ")
        elif name in {"li", "dd"}:
            self.put("" if closing else "\n- ")
        elif name in {"td", "th"}:
            self.put(" | " if closing else "")
        elif name == "pre":
            self.in_pre = max(self.in_pre + (-1 if closing else 1), 0)
            self.put("\n\n")
        elif name in _BLOCKS:
            self._block(name, closing=closing)

    def _block(self, name: str, *, closing: bool) -> None:
        if name in _MAIN and not closing:
            self.in_main += 1
        self.put("\n" if name == "tr" else "\n\n")
        if name in _MAIN and closing:
            self.in_main = max(self.in_main - 1, 0)

    def _anchor(self, inside: str, *, closing: bool) -> None:
        if self.link:
            self.put(f"]({self.link})")
            self.link = ""
        if closing:
            return
        match = _HREF.search(inside)
        if match is None:
            return
        try:
            target = urljoin(self.base, unescape(next(part for part in match.groups() if part is not None)).strip())
        except ValueError:
            return
        if target.startswith(_LINKS_START) and target.split("#")[0] != self.base.split("#")[0]:
            self.link = target
            self.put("[")


def readable(markup: str, base: str) -> Page:
    """The text of a page; `base` makes its links absolute."""
    writer = _Writer(base)
    lower = markup.lower() if len(markup.lower()) == len(markup) else markup
    at = 0
    while at < len(markup):
        start = markup.find("<", at)
        if start < 0:
            writer.text(markup[at:])
            break
        if start > at:
            writer.text(markup[at:start])
        at = _tag(markup, lower, start, writer)
    title = _SPACES.sub(" ", unescape("".join(writer.title))).strip()
    main = _tidy(writer.main)
    return Page(title, main if len(main) >= MAIN_CHARS_MIN else _tidy(writer.whole))


def _tag(markup: str, lower: str, start: int, writer: _Writer) -> int:
    """Handle what begins at `<`; returns where to go on."""
    if markup.startswith("<!--", start):
        end = markup.find("-->", start + 4)
        return len(markup) if end < 0 else end + 3
    named = _NAME.match(markup, start + 1)
    if named is None:
        if markup.startswith(("<!", "<?"), start):
            end = markup.find(">", start)
            return len(markup) if end < 0 else end + 1
        writer.text("<")
        return start + 1
    end = _end_of_tag(markup, named.end())
    name, closing = named[1].lower(), markup[start + 1] == "/"
    if name in _RAW and not closing and not markup.startswith("/", end - 1):
        close = lower.find(f"</{name}", end)
        return len(markup) if close < 0 else _end_of_tag(markup, close + 2 + len(name)) + 1
    writer.tag(name, markup[named.end() : end], closing=closing)
    return end + 1


def _end_of_tag(markup: str, at: int) -> int:
    """Where the tag's `>` stands; a `>` in quotes is not it. The page's end where there is none."""
    while True:
        found = _TAG_END.search(markup, at)
        if found is None:
            return len(markup)
        if found[0] == ">":
            return found.start()
        close = markup.find(found[0], found.end())
        if close < 0:
            end = markup.find(">", found.end())
            return len(markup) if end < 0 else end
        at = close + 1


def _tidy(pieces: list[str]) -> str:
    lines = [line.rstrip() for line in "".join(pieces).split("\n")]
    return _GAPS.sub("\n\n", "\n".join(lines)).strip()
