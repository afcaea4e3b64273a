"""What the journal's tests share: homes, stores, a filled journal, and a look at one."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio

from kernel.adapters.store.sqlite import SqliteStore
from kernel.clock import SystemClock
from kernel.ids import Principal
from kernel.journal.entry import Draft, Entry
from kernel.journal.findings import Kind, Report
from kernel.journal.keys import load_public
from kernel.journal.log import Journal, Tuning, open_journal
from kernel.journal.note import VerifierKey
from kernel.journal.opening import JournalFiles
from kernel.journal.projection import Projector, Upsert
from kernel.journal.verify import verify
from kernel.jsontypes import JsonObject
from kernel.ports.store import Store

QUICK = Tuning(linger_s=0.001, probe_s=0.01)


def database(home: Path) -> Path:
    return home / "journal" / "oxios.db"


def sqlite_store(home: Path) -> SqliteStore:
    return SqliteStore(database(home), lock_wait_s=0.05)


def draft(number: int = 0, *, stream: str = "r1", kind: str = "call.intent", blobs: tuple[bytes, ...] = ()) -> Draft:
    return Draft(Principal(f"agent:{stream}"), stream, kind, {"number": number}, blobs)


@asynccontextmanager
async def opened(
    home: Path,
    store: Store | None = None,
    projectors: Mapping[str, Projector] | None = None,
    tuning: Tuning = QUICK,
) -> AsyncGenerator[Journal]:
    async with open_journal(
        store or sqlite_store(home), home, SystemClock(), projectors or {}, tuning=tuning
    ) as journal:
        yield journal


def fill(home: Path, entries: int, *, blobs: bool = False) -> None:
    """A journal of so many entries (the first is the key's), closed."""

    async def main() -> None:
        async with opened(home) as journal:
            for number in range(2, entries + 1):
                journal.append(draft(number, blobs=(f"blob {number}".encode(),) if blobs else ()))

    anyio.run(main)


def keys(home: Path) -> list[VerifierKey]:
    return load_public(JournalFiles(home).public_keys)


def audit(
    home: Path,
    *,
    store: Store | None = None,
    witnessed: tuple[str, ...] = (),
    projectors: Mapping[str, Projector] | None = None,
) -> Report:
    return verify(
        store or sqlite_store(home),
        JournalFiles(home),
        SystemClock(),
        trusted=keys(home),
        witnessed=witnessed,
        projectors=projectors,
    )


def found(report: Report) -> set[tuple[Kind, int | None]]:
    return {(finding.kind, finding.seq) for finding in report.findings}


def tamper(home: Path, *statements: str) -> None:
    """Change the database behind the journal's back."""
    with closing(sqlite3.connect(database(home))) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def run_row(entry: Entry) -> tuple[Upsert]:
    """A projector: each entry of a stream counts as a turn."""
    payload: JsonObject = entry.payload or {}
    return (Upsert("runs", {"id": entry.stream}, {"turns": int(str(payload["number"])), "updated_us": entry.time_us}),)


def grown(home: Path) -> None:
    """One entry more."""

    async def main() -> None:
        async with opened(home) as journal:
            await journal.append(draft(1))

    anyio.run(main)


def without(home: Path, count: int) -> None:
    """The newest `count` entries cut off."""
    tamper(home, f"DELETE FROM entries WHERE seq > (SELECT max(seq) - {count} FROM entries)")
