"""What the tables learn from a session's entries: its row in `sessions`, its words in `messages`.

Guarantees: both are functions of the entries alone, so they can be rebuilt; a message is found under
its terms and its owner, and a session by the name it has now, not by former ones.

Source: RFC-0013.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from kernel.journal.entry import Entry
from kernel.journal.projection import Projector, Scalar, Upsert
from kernel.terms import terms_of, whose
from ouroboros import session as words

OPENING_CHARS_MAX: Final = 200


def _created(entry: Entry) -> Iterable[Upsert]:
    payload = cast("Mapping[str, Any]", entry.payload or {})
    if not payload:
        return
    mounts: Sequence[Mapping[str, str]] = payload["mounts"]
    values: dict[str, Scalar] = {
        **{key: str(payload[key]) for key in ("name", "owner", "model", "persona")},
        "status": "active",
        "workspace": mounts[0]["path"] if mounts else "",
        "created_us": entry.time_us,
        "turns": 0,
        "opening": "",
        "named": entry.seq,
    }
    if origin := payload.get("origin"):
        values |= {"parent": origin["session"], "parent_turn": origin["turn"], "turns": origin["turn"]}
        values["opening"] = str(payload.get("opening", ""))[:OPENING_CHARS_MAX]
    yield _row(entry, values)
    yield from _words(entry, 0, "name", values["name"])


def _changed(entry: Entry) -> Iterable[Upsert]:
    known = {"model", "persona"}
    yield _row(entry, {key: str(value) for key, value in (entry.payload or {}).items() if key in known})


def _renamed(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        yield _row(entry, {"name": str(entry.payload["name"]), "named": entry.seq})
        yield from _words(entry, 0, "name", entry.payload["name"])


def _archived(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        yield _row(entry, {"status": "archived" if entry.payload["archived"] else "active"})


def _pinned(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        # When it was last talked in decides its place, so a pin alone does not move it.
        yield Upsert("sessions", {"id": entry.stream}, {"pinned": int(bool(entry.payload["pinned"]))})


def _deleted(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        yield _row(entry, {"status": str(entry.payload["status"])})


def _rewound(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        yield _row(entry, {"turns": cast("int", entry.payload["turn"])})


def _said(entry: Entry) -> Iterable[Upsert]:
    payload = cast("Mapping[str, Any]", entry.payload or {})
    values: dict[str, Scalar] = {}
    if payload.get("as") == "goal":
        values["turns"] = int(payload["turn"])
        if payload["turn"] == 1:
            values["opening"] = str(payload["text"])[:OPENING_CHARS_MAX]
    yield _row(entry, values)
    if payload:
        yield from _words(entry, int(payload["turn"]), str(payload["role"]), payload["text"])


def _words(entry: Entry, turn: int, role: str, text: object) -> Iterable[Upsert]:
    if text:
        terms = " ".join((whose(entry.principal), *terms_of(str(text))))
        yield Upsert(
            "messages", {"seq": entry.seq}, {"session": entry.stream, "turn": turn, "role": role, "terms": terms}
        )


def _row(entry: Entry, values: Mapping[str, Scalar]) -> Upsert:
    return Upsert("sessions", {"id": entry.stream}, {**values, "updated_us": entry.time_us})


PROJECTORS: dict[str, Projector] = {
    words.CREATED: _created,
    words.CHANGED: _changed,
    words.RENAMED: _renamed,
    words.ARCHIVED: _archived,
    words.PINNED: _pinned,
    words.DELETED: _deleted,
    words.REWOUND: _rewound,
    words.MESSAGE: _said,
}
