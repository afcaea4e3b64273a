"""`/palette`: pages, sessions, runs, personas and commands by what a person types.

Guarantees: finds only what the user may see; a run by its id or its goal among the newest RUNS_LOOKED_AT.
Without words it offers pages and the newest sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from litestar import Response, get
from litestar.params import FromQuery

from kernel.errors import Invalid
from kernel.persona import load_personas
from ouroboros.sessionbook import SessionBook
from webui.desk import Desk
from webui.view import part

NAV = None
QUERY_CHARS_MAX: Final = 200
EACH_MAX: Final = 6
RUNS_LOOKED_AT: Final = 300
_TITLE_CHARS: Final = 90


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
        "Personas": matching(_personas(desk), q) if q else [],
        "Commands": matching(COMMANDS, q),
    }
    return part(desk, "palette/results.html", groups=groups, q=q, found=sum(map(len, groups.values())))


def matching(lines: Sequence[Line], q: str, most: int = EACH_MAX) -> list[Line]:
    """Those in which each word typed begins a word, those whose label begins so first."""
    typed = q.casefold().split()

    def fits(line: Line) -> bool:
        words = f"{line.label} {line.words} {line.href}".casefold().replace("/", " ").replace("-", " ").split()
        return all(any(word.startswith(start) for word in words) for start in typed)

    found = [line for line in lines if fits(line)]
    found.sort(key=lambda line: not line.label.casefold().startswith(q.casefold()))
    return found[:most]


async def _sessions(desk: Desk, q: str) -> list[Line]:
    book = SessionBook(desk.kernel.journal, desk.user.principal)
    if not q:
        rows = await book.listed(limit=EACH_MAX)
        return [_session(str(row["id"]), row["name"], "") for row in rows]
    try:
        found = await book.search(q, limit=EACH_MAX)
    except Invalid:  # No word in it: nothing is found by signs alone.
        return []
    return [_session(str(one.row["id"]), one.row["name"], one.snippet) for one in found]


def _session(session: str, name: object, note: str) -> Line:
    return Line(_short(str(name or session)), "message-square", f"/chat/{session}", note=_short(note, 60))


async def _runs(desk: Desk, q: str) -> list[Line]:
    rows = await desk.rows("runs", order="started_us", descending=True, limit=RUNS_LOOKED_AT)
    wanted = q.casefold()
    found = [row for row in rows if wanted in str(row["goal"] or "").casefold() or str(row["id"]).startswith(q)]
    return [
        Line(_short(str(row["goal"] or row["id"])), "activity", f"/runs/{row['id']}", note=str(row["status"] or ""))
        for row in found[:EACH_MAX]
    ]


def _personas(desk: Desk) -> list[Line]:
    known = load_personas(desk.kernel.settings.home).values()
    return [Line(one.name, "user-cog", f"/personas/{one.id}", note=one.role, words=one.id) for one in known]


def _short(text: str, most: int = _TITLE_CHARS) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


ROUTES = [palette]
