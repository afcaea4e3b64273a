"""What the machine allows: the same amount of work without a kernel around it."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio

from tests.bench.measure import Stopwatch

_SCHEMA = (
    "CREATE TABLE log (seq INTEGER PRIMARY KEY, principal TEXT, stream TEXT, kind TEXT, digest TEXT, payload BLOB)"
)
INSERT = "INSERT INTO log (principal, stream, kind, digest, payload) VALUES (?, ?, ?, ?, ?)"
Row = tuple[str, str, str, str, bytes]


def open_log(path: Path) -> sqlite3.Connection:
    """A durable SQLite file: write-ahead log, a sync at each commit."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(_SCHEMA)
    return connection


def row(payload: bytes) -> Row:
    return ("agent:r0", "r0", "call.intent", hashlib.sha256(payload).hexdigest(), payload)


class GroupLog:
    """Group commit and nothing else: one committer, many writers on one event loop."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._pending: list[tuple[Row, asyncio.Future[None]]] = []
        self._wanted = asyncio.Event()

    async def append(self, payload: bytes) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((row(payload), done))
        self._wanted.set()
        await done

    async def commit_for_ever(self) -> None:
        while True:
            await self._wanted.wait()
            await asyncio.sleep(0)
            self._wanted.clear()
            batch, self._pending = self._pending, []
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(INSERT, [made for made, _ in batch])
            self._connection.execute("COMMIT")
            for _, done in batch:
                done.set_result(None)


def group_commit_per_s(folder: Path, *, writers: int, entries: int, payload: bytes) -> float:
    """Durable rows per second of wall time, `writers` waiting for each of theirs."""

    async def run() -> float:
        rate = 0.0
        with closing(open_log(folder / "floor.db")) as connection:
            log = GroupLog(connection)

            async def write() -> None:
                for _ in range(entries // writers):
                    await log.append(payload)

            async with anyio.create_task_group() as committer:
                committer.start_soon(log.commit_for_ever)
                watch = Stopwatch()
                async with anyio.create_task_group() as group:
                    for _ in range(writers):
                        group.start_soon(write)
                rate = entries // writers * writers / watch.read().wall_s
                committer.cancel_scope.cancel()
        return rate

    rate = anyio.run(run)
    (folder / "floor.db").unlink()
    return rate


def read_and_hash_per_s(folder: Path, *, entries: int, payload: bytes) -> float:
    """Rows per second read from SQLite in order, each hashed once."""
    path = folder / "read.db"
    with closing(open_log(path)) as connection:
        connection.execute("BEGIN")
        connection.executemany(INSERT, [row(payload)] * entries)
        connection.execute("COMMIT")
        watch = Stopwatch()
        for found in connection.execute("SELECT seq, digest, payload FROM log ORDER BY seq"):
            hashlib.sha256(found[2]).digest()
        spent = watch.read()
    path.unlink()
    return entries / spent.wall_s


def scan_us(capabilities: int, decisions: int) -> float:
    """µs to compare one path with every one of so many path patterns, as strings."""
    held = [f"/w/part{number}/" for number in range(capabilities)]
    wanted = f"/w/part{capabilities - 1}/file"
    watch = Stopwatch()
    for _ in range(decisions):
        assert any(wanted.startswith(prefix) for prefix in held)
    return watch.read().cpu_s / decisions * 1e6
