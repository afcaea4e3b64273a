"""`/palette`: whatever has a page, and commands, by what a person types.

Guarantees: finds only what the user may see; runs and Seeds by their ids or goals
among the newest LOOKED_AT, an entry of the journal by its number.
Without words it offers pages and the newest sessions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final
from urllib.parse import quote

from litestar import Response, get
from litestar.params import FromQuery

from kernel.errors import Invalid
from kernel.journal.projection import Scalar
from kernel.persona import load_personas
from kernel.settings.load import SPECS
from ouroboros.sessionbook import SessionBook
from webui import seeds
from webui.desk import Desk
from webui.runs_view import status_now
from webui.terminal import plain
from webui.view import part

NAV = None
QUERY_CHARS_MAX: Final = 200
EACH_MAX: Final = 6
LOOKED_AT: Final = 300
_TITLE_CHARS: Final = 90
_SIGNS: Final = re.compile(r"[/._-]+")


@dataclass(frozen=True, slots=True)
class Line:
    """`href` is where it leads; `command` is one of static/palette.js instead."""

    label: str
    icon: str
    href: str = ""
    note: str = ""
    command: str = ""
    words: str = ""
    """What else it is found by."""


COMMANDS: Final = (
    Line("New chat", "message-square-plus", "/chat/new", words="session conversation begin"),
    Line("Account", "user", "/account", words="password sign out sessions"),
    Line("Light theme", "sun", command="theme-light", words="appearance bright"),
    Line("Dark theme", "moon", command="theme-dark", words="appearance night"),
    Line("Theme of the system", "monitor", command="theme-system", words="appearance automatic"),
    Line("Fold the menu", "panel-left", note="Ctrl B", command="sidebar", words="sidebar hide"),
    Line("Keyboard shortcuts", "keyboard", note="?", command="shortcuts", words="help keys"),
)


@get("/palette", include_in_schema=False)
async def palette(desk: Desk, q: FromQuery[str] = "") -> Response[str]:
    q = q.strip()[:QUERY_CHARS_MAX]
    shown = [item for item in desk.house.views.navigation if not item.needs or desk.may(item.needs, "r")]
    pages = [Line(item.label, item.icon, item.path, note=item.keys) for item in shown]
    groups = {
        "Pages": matching(pages, q, most=EACH_MAX if q else len(pages)),
        "Sessions": await _sessions(desk, q),
        "Runs": await _runs(desk, q) if q else [],
        "Seeds": await _seeds(desk, q) if q else [],
        "Personas": matching(_personas(desk), q) if q else [],
        "Tools": matching(_tools(desk), q) if q else [],
        "Settings": matching(_settings(), q) if q and desk.may("kernel:config", "r") else [],
        "Journal": [_entry(desk, q)] if q.isdecimal() and 0 < int(q) <= desk.kernel.journal.size else [],
        "Commands": matching(COMMANDS, q),
    }
    return part(desk, "palette/results.html", groups=groups, q=q, found=sum(map(len, groups.values())))


def matching(lines: Sequence[Line], q: str, most: int = EACH_MAX) -> list[Line]:
    """Those in which each word typed begins a word, those whose label begins so first."""
    typed = _SIGNS.sub(" ", q.casefold()).split()

    def fits(line: Line) -> bool:
        words = _SIGNS.sub(" ", f"{line.label} {line.words} {line.href}".casefold()).split()
        return all(any(word.startswith(start) for word in words) for start in typed)

    found = [line for line in lines if fits(line)]
    found.sort(key=lambda line: not line.label.casefold().startswith(q.casefold()))
    return found[:most]


async def _sessions(desk: Desk, q: str) -> list[Line]:
    book = SessionBook(desk.kernel.journal, desk.user.principal)
    if not q:
        rows = await book.listed(limit=EACH_MAX)
        return [_session(row, "") for row in rows]
    try:
        found = await book.search(q, limit=EACH_MAX)
    except Invalid:  # No word in it: nothing is found by signs alone.
        return []
    return [_session(one.row, plain(one.snippet)) for one in found]


def _session(row: Mapping[str, Scalar], note: str) -> Line:
    title = str(row["name"] or row["opening"] or "New session")
    return Line(_short(title), "message-square", f"/chat/{row['id']}", note=_short(note, 60))


async def _runs(desk: Desk, q: str) -> list[Line]:
    rows = await desk.rows("runs", order="started_us", descending=True, limit=LOOKED_AT)
    return [
        Line(_goal(row), "activity", f"/runs/{row['id']}", note=status_now(desk, str(row["id"]), row["status"]))
        for row in _with(rows, q)
    ]


async def _seeds(desk: Desk, q: str) -> list[Line]:
    rows = await seeds.listed(desk, limit=LOOKED_AT)
    return [
        Line(_goal(row), "sprout", f"/seeds/{row['id']}", note=f"generation {row['generation']}")
        for row in _with(rows, q)
    ]


def _with(rows: Sequence[dict[str, Scalar]], q: str) -> list[dict[str, Scalar]]:
    wanted = q.casefold()
    found = (row for row in rows if wanted in str(row["goal"] or "").casefold() or str(row["id"]).startswith(q))
    return list(islice(found, EACH_MAX))


def _goal(row: Mapping[str, Scalar]) -> str:
    return _short(str(row["goal"] or row["id"]))


def _tools(desk: Desk) -> list[Line]:
    return [Line(one.name, "wrench", f"/tools#tool-{one.name}") for one in desk.kernel.table]


def _settings() -> list[Line]:
    return [Line(spec.key, "settings", f"/settings?q={quote(spec.key)}", note=_short(spec.doc, 60)) for spec in SPECS]


def _entry(desk: Desk, q: str) -> Line:
    return Line(f"Entry {int(q)}", "scroll-text", f"/audit/{int(q)}", note=f"of {desk.kernel.journal.size}")


def _personas(desk: Desk) -> list[Line]:
    known = load_personas(desk.kernel.settings.home).values()
    return [Line(one.name, "user-cog", f"/personas/{one.id}", note=one.role, words=one.id) for one in known]


def _short(text: str, most: int = _TITLE_CHARS) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


ROUTES = [palette]
