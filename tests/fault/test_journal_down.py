"""A journal that cannot write says so, refuses, and goes on when it can: no number lost or given twice."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from kernel.adapters.store.sqlite import SqliteStore
from kernel.errors import JournalDown, KernelBug
from kernel.journal.entry import Entry
from kernel.journal.head import HeadFile
from kernel.journal.log import Journal
from kernel.journal.projection import Upsert
from kernel.ports.store import Store
from kernel.testing.faults import FaultPlan, FaultyStore, disk_full
from kernel.testing.memory_store import MemoryStore
from tests.journal_world import audit, database, draft, opened, sqlite_store


def _with(home: Path, store: Store, act: Callable[[Journal], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened(home, store) as journal:
            await act(journal)

    anyio.run(main)


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.lowlevel.checkpoint()


def test_while_the_disk_is_full_nothing_is_taken_and_then_it_goes_on(tmp_path: Path) -> None:
    """Waiters get the cause, appends are refused at once; after healing the next number follows."""
    plan, store = FaultPlan(), MemoryStore()

    async def act(journal: Journal) -> None:
        await journal.append(draft(1))
        plan.fail("commit.before", disk_full())
        plan.fail("probe", disk_full())
        waiting = [journal.append(draft(number)) for number in range(2, 5)]
        for pending in waiting:
            with pytest.raises(JournalDown, match="disk is full") as failed:
                await pending
            assert failed.value.remedy == "free disk space"
        assert not journal.writable
        assert "disk is full" in journal.trouble
        with pytest.raises(JournalDown, match="disk is full"):
            journal.append(draft(5))
        await until(lambda: plan.hits.get("probe", 0) > 2)
        assert not journal.writable
        plan.heal("commit.before")
        plan.heal("probe")
        await until(lambda: journal.writable)
        assert journal.trouble == ""
        assert (await journal.append(draft(6))).seq == 3

    _with(tmp_path, FaultyStore(store, plan), act)
    report = audit(tmp_path, store=store)
    assert (report.findings, report.size) == ([], 3)


def test_a_failure_nobody_waits_for_shows_in_writable(tmp_path: Path) -> None:
    """An append that is not awaited fails without a sound of its own, and `writable` turns False."""
    plan = FaultPlan()

    async def act(journal: Journal) -> None:
        plan.fail("commit.before", disk_full())
        plan.fail("probe", disk_full())
        journal.append(draft(1))
        await until(lambda: not journal.writable)

    _with(tmp_path, FaultyStore(MemoryStore(), plan), act)


def test_a_commit_whose_answer_was_lost_is_found_and_not_repeated(tmp_path: Path) -> None:
    """Where the database had committed what it failed to acknowledge, its entries stand, and are heard of, once."""
    plan, store, heard = FaultPlan(), MemoryStore(), list[Entry]()

    async def act(journal: Journal) -> None:
        journal.subscribe(heard.extend)
        await journal.append(draft(1))
        plan.fail("commit.after", disk_full(), times=1)
        with pytest.raises(JournalDown):
            await journal.append(draft(2))
        await until(lambda: journal.writable)
        assert (await journal.append(draft(3))).seq == 4

    _with(tmp_path, FaultyStore(store, plan), act)
    assert [entry.payload for entry in heard] == [{"number": number} for number in (1, 2, 3)]
    assert [entry.seq for entry in heard] == [2, 3, 4]
    assert audit(tmp_path, store=store).findings == []


def test_a_lost_connection_is_made_anew(tmp_path: Path) -> None:
    """While connecting itself fails it is tried again, and the journal comes back with the connection."""
    plan, store = FaultPlan(), MemoryStore()

    async def act(journal: Journal) -> None:
        plan.fail("writer", disk_full())
        plan.fail("commit.before", disk_full(), times=1)
        with pytest.raises(JournalDown):
            await journal.append(draft(1))
        await until(lambda: plan.hits["writer"] > 3)
        assert not journal.writable
        plan.heal("writer")
        await until(lambda: journal.writable)
        await journal.append(draft(2))

    _with(tmp_path, FaultyStore(store, plan), act)


def test_another_writer_is_noticed_after_an_outage(tmp_path: Path) -> None:
    """If the database moved on while the journal was down, it stays down rather than fork the numbers."""
    plan, store = FaultPlan(), MemoryStore()

    async def act(journal: Journal) -> None:
        await journal.append(draft(1))
        older = store.tables.tree
        await journal.append(draft(2))
        plan.fail("commit.before", disk_full(), times=1)
        with pytest.raises(JournalDown):
            await journal.append(draft(3))
        store.tables.tree = older
        await until(lambda: "another wrote" in journal.trouble)
        assert not journal.writable
        with pytest.raises(JournalDown, match="another wrote"):
            journal.append(draft(4))

    _with(tmp_path, FaultyStore(store, plan), act)


def test_really_full_pages_are_an_outage_that_ends(tmp_path: Path) -> None:
    """SQLite's own SQLITE_FULL is reported with its remedy, and room makes the journal go on."""
    full = {"now": False}

    class Bounded(SqliteStore):
        def __init__(self) -> None:
            super().__init__(database(tmp_path), pages_max=40)

        def writer(self):  # type: ignore[no-untyped-def] -- the port's own type
            return (sqlite_store(tmp_path) if full["now"] else super()).writer()

    async def act(journal: Journal) -> None:
        acknowledged: list[int] = []

        async def fill() -> None:
            for number in range(1000):
                entry = await journal.append(draft(number, blobs=(os.urandom(3000),)))
                acknowledged.append(entry.seq)

        with pytest.raises(JournalDown, match="full") as refused:
            await fill()
        assert acknowledged
        assert "free disk space" in refused.value.remedy
        await until(lambda: not journal.writable)
        full["now"] = True
        await until(lambda: journal.writable)
        assert (await journal.append(draft(1))).seq == acknowledged[-1] + 1

    _with(tmp_path, Bounded(), act)
    assert audit(tmp_path).findings == []


def test_a_locked_database_is_an_outage_that_ends(tmp_path: Path) -> None:
    """While another program holds SQLite's write lock appends fail, and go on when it lets go."""

    async def act(journal: Journal) -> None:
        await journal.append(draft(1))
        with closing(sqlite3.connect(database(tmp_path), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalDown, match="locked") as refused:
                await journal.append(draft(2))
            assert "another program" in refused.value.remedy
            other.execute("ROLLBACK")
        await until(lambda: journal.writable)
        assert (await journal.append(draft(3))).seq == 3

    _with(tmp_path, sqlite_store(tmp_path), act)
    assert audit(tmp_path).findings == []


def test_a_head_that_cannot_be_written_is_an_outage_that_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry is durable and its waiter is told so; then nothing more is taken until the head can follow."""
    real = HeadFile.write
    broken = {"now": False}

    def write(head: HeadFile, note: str) -> None:
        if broken["now"]:
            raise OSError(28, "No space left on device")
        real(head, note)

    monkeypatch.setattr(HeadFile, "write", write)

    async def act(journal: Journal) -> None:
        broken["now"] = True
        assert (await journal.append(draft(1))).seq == 2
        assert not journal.writable
        assert "head file" in journal.trouble
        with pytest.raises(JournalDown, match="head file"):
            journal.append(draft(2))
        broken["now"] = False
        await until(lambda: journal.writable)
        assert (await journal.append(draft(3))).seq == 3

    _with(tmp_path, MemoryStore(), act)


def test_a_projector_that_fails_stops_the_journal_for_good(tmp_path: Path) -> None:
    """A bug of ours is not an outage: the waiter gets it, nothing was written, nothing more is taken."""
    store, told = MemoryStore(), list[str]()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context["message"])))
        async with opened(tmp_path, store, {"call.intent": _wrong}) as journal:
            with pytest.raises(KernelBug, match="nonsense"):
                await journal.append(draft(1))
            assert not journal.writable
            with pytest.raises(KernelBug, match="nonsense"):
                journal.append(draft(2, kind="other.kind"))

    anyio.run(main)
    assert told == ["the journal stopped"]
    assert store.tables.tree.size == 1


def _wrong(entry: Entry) -> tuple[Upsert]:
    return (Upsert("runs", {"id": entry.stream}, {"nonsense": 1}),)


@pytest.mark.parametrize("point", ["commit.before", "commit.after"])
def test_closing_a_broken_journal_says_what_was_lost(tmp_path: Path, point: str) -> None:
    """Entries that still waited at the end and could not be written make the close fail, not pass in silence."""
    plan = FaultPlan()

    async def main() -> None:
        async with opened(tmp_path, FaultyStore(MemoryStore(), plan)) as journal:
            plan.fail(point, disk_full())
            journal.append(draft(1))

    with pytest.raises(JournalDown, match="disk is full"):
        anyio.run(main)
