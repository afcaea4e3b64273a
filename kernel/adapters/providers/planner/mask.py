r"""Quoted text set aside, so that the grammar never mistakes it for an instruction.

Guarantees: what stands in quotes, backticks or a fenced block becomes one token of the masked text,
and its content comes back unchanged. In double quotes JSON's escapes hold (`\n`, `\"`); elsewhere
every character stands for itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

LiteralKind: TypeAlias = Literal["quoted", "tick", "fence"]

_OPEN, _CLOSE = "\ue000", "\ue001"
LITERAL: Final = f"{_OPEN}[qtf]\\d+{_CLOSE}"
FENCE: Final = f"{_OPEN}f\\d+{_CLOSE}"

_QUOTATION: Final = re.compile(
    r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<lang>[\w+-]*)[^\n]*\n(?P<block>.*?)^[ \t]*(?P=fence)[ \t]*$"
    r"|(?<!`)(?P<ticks>`{1,2})(?!`)(?P<tick>[^\n]+?)(?<!`)(?P=ticks)(?!`)"
    r'|"(?P<double>(?:[^"\\]|\\.)*)"'
    r"|\u201e(?P<low>[^\u201c\u201d]*)[\u201c\u201d]|\u201c(?P<curly>[^\u201d]*)\u201d"
    r"|\u00ab(?P<angle>[^\u00bb]*)\u00bb|\u00bb(?P<inward>[^\u00ab]*)\u00ab|\u300c(?P<corner>[^\u300d]*)\u300d"
    r"|(?<!\w)\u2018(?P<half>[^\u2018\u2019\n]+)\u2019(?!\w)|(?<!\w)'(?P<single>[^'\n]+)'(?!\w)",
    re.MULTILINE | re.DOTALL,
)
_OTHERS: Final = ("low", "curly", "angle", "inward", "corner", "half", "single")
_OPEN_FENCE: Final = re.compile(r"^[ \t]*(?:`{3,}|~{3,})", re.MULTILINE)
_TOKEN: Final = re.compile(LITERAL)


@dataclass(frozen=True, slots=True)
class Quotation:
    """One quoted text. `source` is how it was written, quotes included."""

    kind: LiteralKind
    text: str
    source: str
    lang: str = ""


@dataclass(frozen=True, slots=True)
class Masked:
    """`text` with a token for each of `quotations`. `unclosed`: a fence begins and never ends."""

    text: str
    quotations: tuple[Quotation, ...]
    unclosed: bool = False

    def quotation(self, token: str) -> Quotation | None:
        """What the token stands for; None where `token` is plain text."""
        if not _TOKEN.fullmatch(token):
            return None
        return self.quotations[int(token[2:-1])]

    def plain(self, text: str) -> str:
        """`text` with every token as it was written."""
        return _TOKEN.sub(lambda match: self.quotations[int(match[0][2:-1])].source, text)


def mask(text: str) -> Masked:
    found: list[Quotation] = []

    def set_aside(match: re.Match[str]) -> str:
        quotation = _quotation(match)
        found.append(quotation)
        return f"{_OPEN}{quotation.kind[0]}{len(found) - 1}{_CLOSE}"

    clean = text.replace(_OPEN, "\ufffd").replace(_CLOSE, "\ufffd")
    masked = _QUOTATION.sub(set_aside, clean)
    return Masked(masked, tuple(found), _OPEN_FENCE.search(masked) is not None)


def _quotation(match: re.Match[str]) -> Quotation:
    source = match[0]
    if match["fence"]:
        return Quotation("fence", _dedent(match["block"], match["indent"]), source.strip(), match["lang"].lower())
    if match["ticks"]:
        return Quotation("tick", match["tick"], source)
    if match["double"] is not None:
        return Quotation("quoted", _unescape(source), source)
    inner = next(match[name] for name in _OTHERS if match[name] is not None)
    return Quotation("quoted", inner, source)


def _unescape(source: str) -> str:
    try:
        text = json.loads(source, strict=False)
    except ValueError:
        return source[1:-1]
    return str(text)


def _dedent(block: str, indent: str) -> str:
    if not indent:
        return block
    return "".join(line.removeprefix(indent) for line in block.splitlines(keepends=True))
