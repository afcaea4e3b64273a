"""The readers: a long read keeps no other waiting, and none outlives the journal."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Event

import anyio
import pytest

from kernel.adapters.store.sqlite import LOG_BYTES_KEPT, SqliteStore
from kernel.errors import JournalDown
from kernel.journal.readers import READERS_MAX, Readers
from kernel.ports.store import StoreReader
from tests.journal_world import database, draft, opened

pytestmark = pytest.mark.anyio


class Counting(SqliteStore):
    """Knows its connections."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.opened: list[StoreReader] = []

    def reader(self) -> StoreReader:
        self.opened.append(super().reader())
        return self.opened[-1]


async def _made(root: Path) -> tuple[Counting, Readers]:
    store = Counting(root / "j.db")
    store.prepare()
    return store, Readers(store, store.reader())


async def test_a_long_read_keeps_nobody_waiting(tmp_path: Path) -> None:
    """While one job reads on, another is answered; one job at a time opens no second connection."""
    store, readers = await _made(tmp_path)
    for _ in range(3):
        await readers.do(lambda reader: reader.tree())
    assert len(store.opened) == 1
    go = Event()

    def waiting(_reader: StoreReader) -> None:
        go.wait(10)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(readers.do, waiting)
            assert (await readers.do(lambda reader: reader.tree())).size == 0
            go.set()
    readers.close()


async def test_connections_are_bounded_and_never_shared(tmp_path: Path) -> None:
    """Many jobs at once share READERS_MAX connections, each used by one at a time."""
    store, readers = await _made(tmp_path)
    using: set[StoreReader] = set()

    def job(reader: StoreReader) -> None:
        assert reader not in using
        using.add(reader)
        reader.tree()
        using.discard(reader)

    async with anyio.create_task_group() as group:
        for _ in range(200):
            group.start_soon(readers.do, job)
    assert 1 <= len(store.opened) <= READERS_MAX
    readers.close()


async def test_no_connection_outlives_the_journal(tmp_path: Path) -> None:
    """One that is in use when the journal closes is closed when its job ends; later jobs are refused."""
    store, readers = await _made(tmp_path)
    begun, go = Event(), Event()

    def slow(_reader: StoreReader) -> None:
        begun.set()
        go.wait(10)

    async with anyio.create_task_group() as group:
        group.start_soon(readers.do, slow)
        await anyio.to_thread.run_sync(begun.wait)
        readers.close()
        go.set()
    for reader in store.opened:
        with pytest.raises(JournalDown):
            reader.tree()
    with pytest.raises(JournalDown):
        await readers.do(lambda reader: reader.tree())


async def test_the_write_ahead_log_gives_back_what_a_long_read_made_it_take(tmp_path: Path) -> None:
    """While an old moment is read it holds all that came since; afterwards it is as small as LOG_BYTES_KEPT again."""
    log = database(tmp_path).with_name("oxios.db-wal")
    blob = b"x" * (LOG_BYTES_KEPT // 4)
    async with opened(tmp_path) as journal:
        with closing(sqlite3.connect(database(tmp_path))) as reading:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM entries").fetchone()
            for number in range(6):
                await journal.append(draft(number, blobs=(blob + bytes([number]),)))
            assert log.stat().st_size > LOG_BYTES_KEPT
        for number in range(3):
            await journal.append(draft(number))
        assert log.stat().st_size <= LOG_BYTES_KEPT
