"""`/search`: sessions in whose name or messages every word that was typed begins a word.

Guarantees: finds in the user's own sessions alone, deleted ones left out; what was said is shown as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from litestar import Response, get
from litestar.params import FromQuery

from kernel.errors import Invalid
from kernel.terms import asked_terms, folded
from ouroboros.sessionbook import Found, SessionBook
from webui.desk import Desk
from webui.navigation import NavItem
from webui.terminal import plain
from webui.view import page

NAV = NavItem("Search", "/search", "search", 15, keys="g f")
SHOWN: Final = 50
QUERY_CHARS_MAX: Final = 200
_WORD: Final = re.compile(r"[^\W_]+")
_PAIR: Final = 2


@dataclass(frozen=True, slots=True)
class Hit:
    """`pieces` is the snippet, cut where a word was found: text, and whether it is one."""

    session: str
    name: str
    status: str
    updated_us: int
    pieces: tuple[tuple[str, bool], ...]


@get("/search", include_in_schema=False)
async def index(desk: Desk, q: FromQuery[str] = "") -> Response[str]:
    """The newest match first."""
    asked = q.strip()[:QUERY_CHARS_MAX]
    hits: list[Hit] = []
    wrong = ""
    if asked:
        try:
            terms = asked_terms(asked)
            found = await SessionBook(desk.kernel.journal, desk.user.principal).search(asked, limit=SHOWN)
            hits = [_hit(one, terms) for one in found]
        except Invalid as error:
            wrong = error.explain()
    return page(desk, "search/index.html", title="Search", q=asked, hits=hits, wrong=wrong, most=SHOWN)


def _hit(one: Found, terms: tuple[str, ...]) -> Hit:
    row = one.row
    return Hit(
        str(row["id"]),
        str(row["name"] or row["opening"] or "New session"),
        str(row["status"]),
        int(row["updated_us"] or 0),
        tuple(_pieces(plain(one.snippet), terms)),
    )


def _pieces(snippet: str, terms: tuple[str, ...]) -> list[tuple[str, bool]]:
    """Words that begin as one of `terms` (or hold it, where it is a pair of a script without spaces), and the rest."""
    pieces: list[tuple[str, bool]] = []
    end = 0
    for word in _WORD.finditer(snippet):
        bare = folded(word.group())
        if any(bare.startswith(term) or (len(term) == _PAIR and term in bare) for term in terms):
            pieces += [(snippet[end : word.start()], False), (word.group(), True)]
            end = word.end()
    return [*pieces, (snippet[end:], False)]


ROUTES = [index]
