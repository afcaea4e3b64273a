"""Rates of the journal, printed: `python tests/bench/journal_rates.py [FOLDER]`. Asserts nothing."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import anyio

from kernel.adapters.store.sqlite import SqliteStore
from kernel.clock import SystemClock
from kernel.ids import KERNEL, Principal
from kernel.journal.entry import Draft
from kernel.journal.log import Journal, open_journal
from kernel.journal.projection import Upsert

_PAYLOAD = {"call": "r01k3v8n5w-4tq9x2m.12", "tool": "write", "arguments": {"path": "notes/a.md", "content": "x" * 120}}


class CountingStore(SqliteStore):
    """Counts commits: in WAL mode each is one fsync."""

    commits = 0

    def writer(self):  # noqa: ANN201 -- the port's type
        writer = super().writer()
        commit = writer.commit

        def counted(batch):  # noqa: ANN001, ANN202 -- the port's types
            self.commits += 1
            commit(batch)

        writer.commit = counted  # type: ignore[method-assign]
        return writer


def _draft(stream: str, kind: str = "call.intent") -> Draft:
    return Draft(Principal(f"agent:{stream}"), stream, kind, _PAYLOAD)


async def _writers(journal: Journal, writers: int, each: int) -> None:
    async def write(number: int) -> None:
        for _ in range(each):
            await journal.append(_draft(f"r{number:09d}-4tq9x2m"))

    async with anyio.create_task_group() as group:
        for number in range(writers):
            group.start_soon(write, number)


async def _rounds(journal: Journal, streams: int, rounds: int, burn: Callable[[], None]) -> None:
    async def run(number: int) -> None:
        stream = f"r{number:09d}-4tq9x2m"
        journal.enter_stream()
        for _ in range(rounds):
            journal.append(_draft(stream, "model.request"))
            await journal.append(_draft(stream, "model.reply"))
            burn()
            await anyio.lowlevel.checkpoint()
            await journal.append(_draft(stream, "call.intent"))
            burn()
            journal.append(_draft(stream, "call.outcome"))
        journal.leave_stream()

    async with anyio.create_task_group() as group:
        for number in range(streams):
            group.start_soon(run, number)


def _burn() -> None:
    end = time.thread_time_ns() + 500_000
    while time.thread_time_ns() < end:
        sum(range(50))


async def main(folder: Path) -> None:
    projectors = {
        "call.intent": lambda e: [Upsert("runs", {"id": e.stream}, {"updated_us": e.time_us, "turns": e.seq})]
    }
    floor(folder)
    for name, work, entries, rounds in (
        ("1 writer", lambda j: _writers(j, 1, 2000), 2000, 0),
        ("64 writers", lambda j: _writers(j, 64, 400), 25600, 0),
        ("1 stream, 300 rounds", lambda j: _rounds(j, 1, 300, _burn), 1200, 300),
        ("100 streams, 20 rounds", lambda j: _rounds(j, 100, 20, _burn), 8000, 2000),
    ):
        home = Path(tempfile.mkdtemp(dir=folder))
        store = CountingStore(home / "journal" / "oxios.db")
        async with open_journal(store, home, SystemClock(), projectors) as journal:
            before, cpu, wall = store.commits, time.process_time(), time.perf_counter()
            await work(journal)
            await journal.flush()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            commits = store.commits - before
        size = sum(path.stat().st_size for path in (home / "journal").iterdir())
        burn = rounds * 2 * 500e-6 if rounds else 0
        print(
            f"{name:24} {entries / wall:8.0f} entries/s  {1e6 * (cpu - burn) / entries:6.1f} us CPU/entry  "
            f"{entries / commits:6.1f} entries/commit  {size / entries:6.0f} bytes/entry"
            + (f"  {commits / rounds:.3f} commits/round  wall {wall:.2f}s" if rounds else "")
        )


def floor(folder: Path) -> None:
    connection = sqlite3.connect(Path(tempfile.mkdtemp(dir=folder)) / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)")
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(1000):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t (b) VALUES (?)", (bytes(300),))
        connection.execute("COMMIT")
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"floor: one synced row a commit   {1000 / wall:8.0f}/s, {1e6 * cpu / 1000:.0f} us CPU")


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1] if len(sys.argv) > 1 else os.getcwd()))
