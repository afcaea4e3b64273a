"""What a program wrote to its terminal, as HTML: its colours stay, what else steers a terminal goes.

Guarantees: every character is escaped; the only markup is a span with the classes named here. A carriage return takes
the line back to its start, as progress bars expect: what they wrote last is shown.
"""

from __future__ import annotations

import re
from typing import Final

from markupsafe import Markup, escape

_COLOURS: Final = frozenset({*range(30, 38), *range(90, 98)})
_SGR: Final = re.compile(r"\x1b\[([0-9;]*)m")
_OTHER: Final = re.compile(
    r"\x1b(?:\[(?![0-9;]*m)[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])"
    r"|[\x00-\x08\x0b-\x1a\x7f]"
)
_BOLD: Final = 1
_EXTENDED: Final = (38, 48)
"""A colour by number follows, which none of the classes stands for."""


def to_html(text: str) -> Markup:
    """As a terminal would show it at the end, without cursor movements."""
    plain = _OTHER.sub("", "\n".join(_last_written(line) for line in text.replace("\r\n", "\n").split("\n")))
    parts = _SGR.split(plain)
    shown, style = [escape(parts[0])], (False, 0)
    for codes, words in zip(parts[1::2], parts[2::2], strict=True):
        style = _styled(style, codes)
        shown.append(_span(style, words))
    return Markup("").join(shown)


def plain(text: str) -> str:
    """The same as words alone: nothing that steers a terminal, no colours, no control characters but line ends."""
    return _SGR.sub("", _OTHER.sub("", text))


def _last_written(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part), "")


def _styled(style: tuple[bool, int], codes: str) -> tuple[bool, int]:
    """Bold, and the colour or 0."""
    bold, colour = style
    for code in (int(one or 0) for one in codes.split(";")):
        if code in _EXTENDED:
            break
        if code == 0:
            bold, colour = False, 0
        elif code == _BOLD:
            bold = True
        elif code == 22:  # noqa: PLR2004 -- neither bold nor faint
            bold = False
        elif code == 39:  # noqa: PLR2004 -- the colour of plain text
            colour = 0
        elif code in _COLOURS:
            colour = code
    return bold, colour


def _span(style: tuple[bool, int], words: str) -> Markup:
    bold, colour = style
    names = [*(("sgr-bold",) if bold else ()), *((f"sgr-{colour}",) if colour else ())]
    if not names or not words:
        return escape(words)
    return Markup('<span class="{}">{}</span>').format(" ".join(names), words)
