"""Sessions on record: made, found by name or id, listed, searched; the table `sessions` lists them.

Guarantees: a session is its stream in the journal and nothing else; a person finds their own only.
Names need not be unique: of several the newest that is not archived is meant.

Source: RFC-0013.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

from kernel.directive import Budget, Mount
from kernel.errors import Invalid, NotFound
from kernel.ids import Principal, RunId, new_id
from kernel.journal.appender import Appender, Reader
from kernel.journal.entry import Draft, Entry
from kernel.journal.projection import Projector, Scalar, Upsert
from kernel.jsontypes import JsonObject, JsonValue
from ouroboros import session as words
from ouroboros.seedbook import read_stream
from ouroboros.session import Session, fold

NAME_CHARS_MAX: Final = 80
LISTED_MAX: Final = 1_000
_OPENING_CHARS_MAX: Final = 200
_SNIPPET_CHARS: Final = 60
_ID: Final = re.compile(r"s[0-9a-z]{9}-[0-9a-z]{7}")


@dataclass(frozen=True, slots=True)
class Found:
    """A session in which something was found, and where."""

    row: Mapping[str, Scalar]
    snippet: str


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


async def create(journal: Appender, making: Making, now_us: int) -> Session:
    """Raises: Invalid (name); JournalDown."""
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
    }
    await record(journal, session, words.CREATED, payload, by=making.owner)
    return session


async def record(
    journal: Appender, session: Session, kind: str, payload: JsonObject, *, by: Principal | None = None
) -> None:
    """Append an entry to the session's stream, durably, and fold it in. Raises: JournalDown."""
    entry = await journal.append(Draft(by or session.owner, session.id, kind, payload))
    session.apply(kind, payload, entry.time_us)


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

    async def listed(self, *, archived: bool = False, limit: int = 100) -> list[dict[str, Scalar]]:
        """Rows of the table `sessions`, the newest change first."""
        rows = await self.journal.rows(
            "sessions", {"owner": self.owner}, order="updated_us", descending=True, limit=LISTED_MAX
        )
        return [row for row in rows if archived or row["status"] != "archived"][:limit]

    async def find(self, name_or_id: str) -> Session:
        """Raises: NotFound."""
        where = {"id" if is_id(name_or_id) else "name": name_or_id, "owner": self.owner}
        rows = await self.journal.rows("sessions", where, order="updated_us", descending=True)
        rows.sort(key=lambda row: row["status"] == "archived")
        if not rows:
            raise NotFound(f"there is no session {name_or_id!r}", remedy="`oxios sessions list` shows them")
        return await self.read(RunId(str(rows[0]["id"])))

    async def read(self, session: RunId) -> Session:
        return fold(session, await read_stream(self.journal, session))

    async def search(self, text: str, *, limit: int = 20) -> list[Found]:
        """Sessions in whose name or messages `text` stands, in any case; the newest change first."""
        wanted = text.casefold()
        found: list[Found] = []
        for row in await self.listed(archived=True, limit=LISTED_MAX):
            snippet = _snippet(str(row["name"]), wanted) or await self._said(RunId(str(row["id"])), wanted)
            if snippet:
                found.append(Found(row, snippet))
            if len(found) == limit:
                break
        return found

    async def _said(self, session: RunId, wanted: str) -> str:
        for entry in await read_stream(self.journal, session, words.MESSAGE):
            snippet = _snippet(str((entry.payload or {}).get("text", "")), wanted)
            if snippet:
                return snippet
        return ""


def _snippet(text: str, wanted: str) -> str:
    """Some of `text` around `wanted`, on one line; empty where it is not in it."""
    place = text.casefold().find(wanted)
    if place < 0:
        return ""
    start = max(0, place - _SNIPPET_CHARS)
    return " ".join(text[start : place + len(wanted) + _SNIPPET_CHARS].split())


def _created(entry: Entry) -> Iterable[Upsert]:
    payload = cast("Mapping[str, Any]", entry.payload or {})
    if payload:
        mounts: Sequence[Mapping[str, str]] = payload["mounts"]
        values: dict[str, Scalar] = {
            **{key: str(payload[key]) for key in ("name", "owner", "model", "persona")},
            "status": "active",
            "workspace": mounts[0]["path"] if mounts else "",
            "created_us": entry.time_us,
            "turns": 0,
            "opening": "",
        }
        yield _row(entry, values)


def _changed(entry: Entry) -> Iterable[Upsert]:
    known = {"name", "model", "persona"}
    yield _row(entry, {key: str(value) for key, value in (entry.payload or {}).items() if key in known})


def _archived(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        yield _row(entry, {"status": "archived" if entry.payload["archived"] else "active"})


def _said(entry: Entry) -> Iterable[Upsert]:
    payload = cast("Mapping[str, Any]", entry.payload or {})
    values: dict[str, Scalar] = {}
    if payload.get("as") == "goal":
        values["turns"] = int(payload["turn"])
        if payload["turn"] == 1:
            values["opening"] = str(payload["text"])[:_OPENING_CHARS_MAX]
    yield _row(entry, values)


def _row(entry: Entry, values: Mapping[str, Scalar]) -> Upsert:
    return Upsert("sessions", {"id": entry.stream}, {**values, "updated_us": entry.time_us})


PROJECTORS: dict[str, Projector] = {
    words.CREATED: _created,
    words.CHANGED: _changed,
    words.RENAMED: _changed,
    words.ARCHIVED: _archived,
    words.MESSAGE: _said,
}
