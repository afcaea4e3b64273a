"""The newest turns of a session, and how it stands, without reading all of it.

Guarantees: what is read grows with the turns that are asked for, not with the session; turns that were rewound
are passed over; of a fork, the turns that it was forked with come before its own.
What a glance does not know: what the whole session spent. `SessionBook.read` does.

Source: RFC-0013.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from kernel.ids import RunId
from kernel.journal.appender import Reader
from kernel.journal.entry import Entry
from ouroboros import session as words
from ouroboros.seedbook import read_stream
from ouroboros.session import Session, fold

_AT_ONCE: Final = 300
_TOLD: Final = frozenset({words.MESSAGE, words.STARTED, words.FINISHED})


@dataclass(frozen=True, slots=True)
class Recent:
    """Entries of some turns, oldest first. `earlier` says whether there are turns before them."""

    entries: tuple[Entry, ...]
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class Glance:
    """A session as it stands; `session` has its newest turn alone, unless it is `whole`."""

    session: Session
    opening: str
    turns: int
    whole: bool = False


@dataclass(slots=True)
class _Gathering:
    """Entries as they are met, the newest first."""

    turns: int
    turn_max: float
    kept: list[Entry] = field(default_factory=list[Entry])
    group: list[Entry] = field(default_factory=list[Entry])
    found: int = 0
    earlier: bool = False

    def take(self, entry: Entry) -> None:
        payload = cast("dict[str, Any]", entry.payload or {})
        self.group.append(entry)
        if entry.kind == words.REWOUND and payload:
            self.turn_max = min(self.turn_max, payload["turn"])
        elif entry.kind == words.MESSAGE and payload.get("as") == "goal":
            self._end_turn(lives=payload["turn"] <= self.turn_max)

    def end(self) -> None:
        """What stands before the first turn belongs to it."""
        if not self.earlier:
            self.kept += self.group
        self.group = []

    def _end_turn(self, *, lives: bool) -> None:
        if lives and self.found == self.turns:
            self.earlier = True
            return
        self.found += lives
        self.kept += self.group if lives else [one for one in self.group if one.kind not in _TOLD]
        self.group = []


async def newest_turns(journal: Reader, session: RunId, turns: int, *, before: int = 0) -> Recent:
    """The newest `turns` turns, of those before entry `before` where it is not 0."""
    gathering = _Gathering(turns, math.inf)
    stream, below = session, before
    while True:
        opening: Entry | None = None
        async for entry in _backwards(journal, stream, below):
            gathering.take(entry)
            if gathering.earlier:
                break
            opening = entry if entry.kind == words.CREATED else opening
        if gathering.earlier:
            break
        if opening is None and before:
            opening = next(iter(await journal.read(stream=stream, limit=1)), None)
        origin = fold(stream, [opening] if opening else []).origin
        if origin is None:
            break
        gathering.turn_max = min(gathering.turn_max, origin.turn)
        stream, below = origin.session, min(origin.seq + 1, before or origin.seq + 1)
    gathering.end()
    return Recent(tuple(reversed(gathering.kept)), gathering.earlier)


async def glance(journal: Reader, session: RunId) -> Glance:
    """How the session with this id stands, whosoever it is."""
    recent = (await newest_turns(journal, session, 1)).entries
    first = await journal.read(stream=session, limit=1)
    switched = await read_stream(journal, session, words.CHANGED)
    own = {entry.seq: entry for entry in (*first, *switched, *recent) if entry.stream == session}
    told = {entry.seq: entry for entry in recent if entry.stream != session and entry.kind in _TOLD}
    state = Session(session)
    for _, entry in sorted({**told, **own}.items()):
        state.apply_entry(entry)
    rows = await journal.rows("sessions", {"id": session})
    row = rows[0] if rows else {}
    state.name, state.pinned = str(row.get("name") or ""), bool(row.get("pinned"))
    state.archived, state.deleted = row.get("status") == "archived", row.get("status") == "deleted"
    return Glance(state, str(row.get("opening") or ""), int(row.get("turns") or 0))


def glance_of(session: Session) -> Glance:
    """The same of one that was read whole."""
    opening = session.turns[0].message if session.turns else ""
    return Glance(session, opening, len(session.turns), whole=True)


async def _backwards(journal: Reader, stream: str, below: int) -> AsyncIterator[Entry]:
    while True:
        entries = await journal.latest(stream, before=below, limit=_AT_ONCE)
        for entry in entries:
            yield entry
        if len(entries) < _AT_ONCE:
            return
        below = entries[-1].seq
