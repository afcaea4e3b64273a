"""A masked goal cut into clauses: one instruction each.

Guarantees: a quotation is never cut; a fenced block stays with the sentence that announces it.
Cuts at line ends (unless a sentence runs on), list items, sentence ends, `;`, "then", and at "and"
or a comma where a verb the planner knows follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kernel.adapters.providers.planner.mask import FENCE, LITERAL

_VERBS: Final = (
    "add answer append ask cat change check copy count create delete display download duplicate edit execute explain "
    "fetch find get give grep list locate look ls make memorise memorize mkdir move note open print put read remember "
    "remove rename replace reply report respond retrieve return run save say scan search show store substitute "
    "summarise summarize tell touch translate verify view visit write"
)
_VERB: Final = rf"(?:{_VERBS.replace(' ', '|')})(?=\s|$)"
_ITEM: Final = re.compile(
    r"\s*(?:[-*+\u2022]\s+(?:\[[ xX]\]\s+)?|(?:step\s+)?\d+\s*[.):]\s+|[a-z][.)]\s+)", re.IGNORECASE
)
_STARTS: Final = re.compile(rf"(?:please\s+|then\s+|finally\s+|next,?\s+)*{_VERB}", re.IGNORECASE)
_BLANKS: Final = re.compile(r"[^\S\n]+")
_LINE_END: Final = re.compile(r"(?: ?\n)+ ?")
_DANGLING: Final = re.compile(r"(?:,|\b(?:and|or|then|to|in|into|with|of|for|from|the|an?))$", re.IGNORECASE)
_COLON: Final = re.compile(rf"^({_VERBS.replace(' ', '|')}):\s+", re.IGNORECASE)
_BEFORE_FENCE: Final = re.compile(rf"\n+(?={FENCE})")
_SENTENCE: Final = re.compile(rf"(?<=[^\s.][.!?])\s+(?!{FENCE})|;\s+")
_THEN: Final = re.compile(
    r",?\s+(?:and\s+)?(?:then|after\s+that|afterwards),?\s+|^(?:and\s+)?(?:then|after\s+that|afterwards),?\s+",
    re.IGNORECASE,
)
_AND: Final = re.compile(rf"(?:,?\s+and\s+(?:also\s+|finally\s+)?|,\s+)(?={_VERB})", re.IGNORECASE)
_PLACE: Final = re.compile(rf"in\s+(?:the\s+)?(?:file\s+)?(?:{LITERAL}|\S+)", re.IGNORECASE)
_PLAN_TAIL: Final = re.compile(rf"(?P<head>.*\S)\s+(?P<fence>{FENCE})", re.DOTALL)
_END: Final = re.compile(r"(?<=[^\s./])[.!;,]+$|\?+$")
_COURTESY: Final = re.compile(
    r"(?:(?:your\s+)?(?:goal|task|todo|instructions?)(?=:)|please|kindly|now"
    r"|first(?:ly)?|second(?:ly)?|third(?:ly)?|next|finally|lastly|also|and|go\s+ahead\s+and"
    r"|(?:can|could|would|will)\s+you|you\s+(?:should|must|need\s+to)|i(?:'d|\s+would)\s+like\s+you\s+to"
    r"|i\s+want\s+you\s+to|let(?:'s|\s+us)|be\s+sure\s+to|make\s+sure\s+to)(?:\s*[,:]\s*|\s+)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Clause:
    """One instruction, masked. Clauses of one sentence share a `group`, until a "then"."""

    text: str
    group: int
    linked: bool


def clauses(masked: str) -> Iterator[Clause]:
    group = 0
    for sentence in _sentences(masked):
        parts = _THEN.split(sentence)
        for number, part in enumerate(parts):
            group += 1
            place = ""
            for text in _AND.split(part):
                bare = _bare(text)
                if _PLACE.fullmatch(bare):
                    place = f"{bare}, "
                elif bare:
                    yield Clause(place + bare, group, linked=number > 0)
                    place = ""
            if place:
                yield Clause(place.rstrip(", "), group, linked=number > 0)


def split_fence(text: str) -> tuple[str, str] | None:
    """A clause and the fenced block at its end; None where there is none, or nothing before it."""
    match = _PLAN_TAIL.fullmatch(text)
    return (match["head"], match["fence"]) if match else None


def _sentences(masked: str) -> Iterator[str]:
    # Runs of blanks shrink first: the patterns below may look at each blank again and again.
    narrow = _LINE_END.sub(_shorter, _BLANKS.sub(" ", masked))
    for line in _lines(_BEFORE_FENCE.sub(" ", narrow)):
        yield from (part for part in _SENTENCE.split(line) if part and part.strip())


def _shorter(match: re.Match[str]) -> str:
    return "\n\n" if match[0].count("\n") > 1 else "\n"


def _lines(text: str) -> Iterator[str]:
    """Logical lines: a sentence broken over several is one; headings are none."""
    held = ""
    for line in text.splitlines():
        item = _ITEM.match(line)
        content = line[item.end() :].strip() if item else line.strip()
        runs_on = held and content and not item and held[-1] not in ".!?:;" and not _ends_in_fence(held[-12:])
        if runs_on and (_DANGLING.search(held[-8:]) or not _STARTS.match(content)):
            held = f"{held} {content}"
            continue
        if held:
            yield held
        held = "" if content.startswith("#") else content
    if held:
        yield held


def _ends_in_fence(text: str) -> bool:
    return re.search(rf"{FENCE}$", text) is not None


def _bare(text: str) -> str:
    text = text.strip()
    while (match := _COURTESY.match(text)) is not None:
        text = text[match.end() :]
    return _END.sub("", _COLON.sub(r"\1 ", text)).strip()


def is_heading(text: str) -> bool:
    """A line that only announces what follows, such as "Steps:"."""
    return text.endswith(":") and re.search(LITERAL, text) is None
