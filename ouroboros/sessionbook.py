"""Sessions on record: made, found by name or id, listed in pages, searched.

Guarantees: a session is its stream in the journal, with the turns it was forked with; a person finds
their own only, and deleted ones only where they ask for them. Names need not be unique: of several the
newest that is not archived is meant.

Source: RFC-0013.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal, TypeAlias

from kernel.directive import Budget, Mount
from kernel.errors import Invalid, NotFound
from kernel.ids import Principal, RunId, new_id
from kernel.journal.appender import Appender, Reader
from kernel.journal.entry import Draft, Entry
from kernel.journal.projection import Scalar
from kernel.jsontypes import JsonObject, JsonValue
from kernel.terms import asked_terms, folded
from ouroboros import session as words
from ouroboros.seedbook import read_stream
from ouroboros.session import Origin, Session, Turn, fold

NAME_CHARS_MAX: Final = 80
LISTED_MAX: Final = 1_000
FOUND_MAX: Final = 100
PINNED_MAX: Final = 100
_HITS: Final = 250
"""Messages that are looked through at a time, until enough sessions are found."""
_HITS_MAX: Final = 10_000
_FOLDED: Final = 200
"""Entries that are folded in at a time: more would hold up whatever else the process does."""
_SNIPPET_CHARS: Final = 60
_WORD: Final = re.compile(r"[^\W_]+")
_ID: Final = re.compile(r"s[0-9a-z]{9}-[0-9a-z]{7}")


Status: TypeAlias = Literal["active", "archived", "deleted", "kept"]
"""Which sessions are listed; `kept` are active and archived ones."""


@dataclass(frozen=True, slots=True)
class Found:
    """A session in which something was found, and where: the newest message that has it."""

    row: Mapping[str, Scalar]
    snippet: str
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Some sessions of a list. `after` is what to ask the next page with; empty after the last."""

    rows: tuple[Mapping[str, Scalar], ...]
    after: str = ""


@dataclass(frozen=True, slots=True)
class Making:
    """What a new session begins with."""

    owner: Principal
    mounts: tuple[Mount, ...]
    name: str = ""
    model: str = ""
    persona: str = ""
    approve: str = ""
    budget: Budget = Budget()  # noqa: RUF009 -- frozen


async def create(journal: Appender, making: Making, now_us: int, more: JsonObject | None = None) -> Session:
    """A new session; `more` stands in its first entry as well. Raises: Invalid (name); JournalDown."""
    check_name(making.name)
    session = Session(RunId(new_id("s", now_us)))
    payload: dict[str, JsonValue] = {
        "owner": making.owner,
        "name": making.name,
        "model": making.model,
        "persona": making.persona,
        "approve": making.approve,
        "mounts": [asdict(mount) for mount in making.mounts],
        "budget": {key: value for key, value in asdict(making.budget).items() if value is not None},
        **(more or {}),
    }
    await record(journal, session, words.CREATED, payload, by=making.owner)
    return session


async def record(
    journal: Appender,
    session: Session,
    kind: str,
    payload: JsonObject,
    *,
    by: Principal | None = None,
    blobs: tuple[bytes, ...] = (),
) -> Entry:
    """Append an entry to the session's stream, durably, and fold it in. Raises: JournalDown."""
    entry = await journal.append(Draft(by or session.owner, session.id, kind, payload, blobs))
    session.apply_entry(entry)
    return entry


async def catch_up(journal: Appender, session: Session) -> None:
    """Fold in what was recorded in the stream since, by whomever. Raises: JournalDown."""
    await journal.flush()
    for entry in await read_stream(journal, session.id, after=session.seq):
        session.apply_entry(entry)


def check_name(name: str) -> None:
    """Raises: Invalid."""
    if len(name) > NAME_CHARS_MAX or not name.isprintable() or name != name.strip() or _ID.fullmatch(name):
        raise Invalid(
            f"{name[:NAME_CHARS_MAX]!r} cannot name a session",
            remedy=f"at most {NAME_CHARS_MAX} printable characters, no blanks around it, and not the form of an id",
        )


def is_id(text: str) -> bool:
    return bool(_ID.fullmatch(text))


@dataclass(frozen=True, slots=True)
class SessionBook:
    """The sessions of one person in one journal, for reading."""

    journal: Reader
    owner: Principal

    async def page(self, status: Status = "active", *, limit: int = 20, after: str = "") -> Page:
        """Sessions, the newest change first; on the first page the pinned ones stand before the others.

        Raises: Invalid, where `after` is none that a page gave.
        """
        rows = [] if after or status == "deleted" else await self._rows(status, pinned=1, limit=PINNED_MAX, after=None)
        more = await self._rows(status, pinned=0, limit=limit + 1, after=_place(after) if after else None)
        cursor = f"{more[limit - 1]['updated_us']}:{more[limit - 1]['id']}" if len(more) > limit else ""
        return Page((*rows, *more[:limit]), cursor)

    async def listed(self, *, archived: bool = False, limit: int = 100) -> list[Mapping[str, Scalar]]:
        """The first page alone."""
        page = await self.page("kept" if archived else "active", limit=min(limit, LISTED_MAX))
        return list(page.rows[:limit])

    async def find(self, name_or_id: str, *, deleted: bool = False) -> Session:
        """Raises: NotFound."""
        where = {"id" if is_id(name_or_id) else "name": name_or_id, "owner": self.owner}
        found = await self.journal.rows("sessions", where, order="updated_us", descending=True)
        rows = [row for row in found if (row["status"] == "deleted") is deleted]
        rows.sort(key=lambda row: row["status"] == "archived")
        if not name_or_id or not rows:
            what = "deleted session" if deleted else "session"
            raise NotFound(f"there is no {what} {name_or_id!r}", remedy="`oxios sessions list` shows them")
        return await self.read(RunId(str(rows[0]["id"])))

    async def read(self, session: RunId) -> Session:
        """The session with this id, whosoever; its state as it stands. Others run between its parts."""
        entries = await self.journal.read(stream=session, limit=_FOLDED)
        origin = fold(session, entries[:1]).origin
        state = Session(session, turns=[] if origin is None else await self._turns_before(origin))
        while entries:
            for entry in entries:
                state.apply_entry(entry)
            entries = await self.journal.read(stream=session, after=entries[-1].seq, limit=_FOLDED)
        return state

    async def search(self, text: str, *, limit: int = 20) -> list[Found]:
        """Sessions in whose name or messages every word of `text` begins a word, the newest match first.

        Case and accents make no difference. Raises: Invalid, where there is no word in `text`.
        """
        terms = asked_terms(text)
        if not terms:
            raise Invalid(f"there is no word to look for in {text!r}", remedy="give letters or digits")
        hits: dict[str, int] = {}
        before, looked = 0, 0
        wanted = max(1, min(limit, FOUND_MAX))
        while len(hits) < wanted and looked < _HITS_MAX:
            batch = await self.journal.said(self.owner, terms, before=before, limit=_HITS)
            for seq, session in batch:
                hits.setdefault(session, seq)
            if len(batch) < _HITS:
                break
            before, looked = batch[-1][0], looked + len(batch)
        found = dict(list(hits.items())[:wanted])
        rows = {row["id"]: row for row in await self.journal.rows("sessions", {"id": tuple(found)})}
        return [await self._found(rows[session], seq, terms) for session, seq in found.items()]

    async def _found(self, row: Mapping[str, Scalar], seq: int, terms: tuple[str, ...]) -> Found:
        session = str(row["id"])
        entries = await self.journal.read(stream=session, after=seq - 1, limit=1)
        payload = (entries[0].payload if entries else None) or {}
        return Found(row, _snippet(str(payload.get("text") or payload.get("name") or ""), terms), seq)

    async def _rows(
        self, status: Status, *, pinned: int, limit: int, after: tuple[Scalar, Scalar] | None
    ) -> list[dict[str, Scalar]]:
        where: dict[str, Scalar] = {"owner": self.owner}
        if status != "deleted":
            where["pinned"] = pinned
        if status != "kept":
            where["status"] = status
        kept: list[dict[str, Scalar]] = []
        while len(kept) < limit:
            rows = await self.journal.rows(
                "sessions", where, order="updated_us", descending=True, limit=limit, after=after
            )
            kept += [row for row in rows if status == "deleted" or row["status"] != "deleted"]
            if len(rows) < limit:
                break
            after = (rows[-1]["updated_us"], rows[-1]["id"])
        return kept[:limit]

    async def record_of(self, session: RunId, upto: int | None = None) -> tuple[list[Entry], list[Turn]]:
        """Its entries up to the one numbered `upto`, and the turns that it was forked with."""
        entries = await read_stream(self.journal, session)
        if upto is not None:
            entries = [entry for entry in entries if entry.seq <= upto]
        origin = fold(session, entries[:1]).origin
        if origin is None:
            return entries, []
        return entries, await self._turns_before(origin)

    async def _turns_before(self, origin: Origin) -> list[Turn]:
        source = fold(origin.session, *await self.record_of(origin.session, origin.seq))
        return [one for one in source.turns if one.number <= origin.turn]


def _place(after: str) -> tuple[Scalar, Scalar]:
    """Raises: Invalid."""
    updated, _, session = after.partition(":")
    if not updated.isdecimal() or not is_id(session):
        raise Invalid(f"{after!r} is no place in the list of sessions", remedy="pass on what the page before gave")
    return int(updated), session


def _snippet(text: str, terms: tuple[str, ...]) -> str:
    """Some of `text` around the first word that was asked for, on one line."""
    start, end = 0, 0
    for word in _WORD.finditer(text):
        own = folded(word.group())
        if any(own.startswith(term) or (len(term) == 2 and term in own) for term in terms):  # noqa: PLR2004 -- a pair of a script without spaces
            start, end = word.span()
            break
    start = max(0, start - _SNIPPET_CHARS)
    return " ".join(text[start : end + _SNIPPET_CHARS].split())
