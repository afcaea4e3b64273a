"""The journal alone: durable appends by many writers, and verification of what they wrote."""

from __future__ import annotations

import tempfile
from pathlib import Path

import anyio

from kernel.adapters.store.sqlite import SqliteStore
from kernel.clock import SystemClock
from kernel.ids import agent, new_run_id
from kernel.journal.entry import Draft
from kernel.journal.keys import load_public
from kernel.journal.log import Journal, open_journal
from kernel.journal.opening import JournalFiles
from kernel.journal.verify import verify
from tests.bench import floors
from tests.bench.measure import Figure, Stopwatch, from_pairs, paired

WRITERS = 64
APPENDS_PER_S_MIN = 5_000
VERIFIED_PER_S_MIN = 100_000
PAYLOAD = {"call": "r01k3v8n5w-4tq9x2m.12", "tool": "read", "arguments": {"path": "src/notes.md", "offset": 0}, "n": 12}
PAYLOAD_BYTES = 120


def fresh_home(folder: Path) -> Path:
    """An empty home with the folders a journal needs."""
    home = Path(tempfile.mkdtemp(dir=folder))
    (home / "journal").mkdir()
    return home


async def fill(journal: Journal, entries: int, writers: int = WRITERS) -> None:
    """So many entries by so many writers, each waiting until its own is durable."""
    clock = SystemClock()

    async def write() -> None:
        run = new_run_id(clock.now_us())
        for _ in range(entries // writers):
            await journal.append(Draft(agent(run), run, "call.intent", PAYLOAD))

    async with anyio.create_task_group() as group:
        for _ in range(writers):
            group.start_soon(write)


def appends_per_s(folder: Path, entries: int) -> float:
    """Durable entries per second of wall time, hashed, signed and committed."""
    home = fresh_home(folder)

    async def run() -> float:
        store = SqliteStore(home / "journal" / "oxios.db")
        async with open_journal(store, home, SystemClock(), {}) as journal:
            watch = Stopwatch()
            await fill(journal, entries)
            return entries / watch.read().wall_s
        raise AssertionError("the block above returns")

    return anyio.run(run)


def append_figure(folder: Path, *, entries: int, repetitions: int) -> Figure:
    payload = b"x" * PAYLOAD_BYTES
    pairs = paired(
        lambda: appends_per_s(folder, entries),
        lambda: floors.group_commit_per_s(folder, writers=WRITERS, entries=entries, payload=payload),
        repetitions,
    )
    name = f"journal, {WRITERS} writers"
    return from_pairs(name, "durable entries/s", pairs, "bare group commit", APPENDS_PER_S_MIN, at_least=True)


def verified_per_s(folder: Path, entries: int) -> float:
    """Entries per second of `audit verify`: every payload, leaf, root, signature and derived row checked."""
    home = fresh_home(folder)
    store, files = SqliteStore(home / "journal" / "oxios.db"), JournalFiles(home)

    async def run() -> None:
        async with open_journal(store, home, SystemClock(), {}) as journal:
            await fill(journal, entries)

    anyio.run(run)
    keys = load_public(files.public_keys)
    watch = Stopwatch()
    report = verify(store, files, SystemClock(), trusted=keys, projectors={})
    rate = report.size / watch.read().wall_s
    assert report.good, report.findings
    assert report.size > entries
    return rate


def verify_figure(folder: Path, *, entries: int, repetitions: int) -> Figure:
    payload = b"x" * PAYLOAD_BYTES
    pairs = paired(
        lambda: verified_per_s(folder, entries),
        lambda: floors.read_and_hash_per_s(folder, entries=entries, payload=payload),
        repetitions,
    )
    return from_pairs("`audit verify`", "entries/s", pairs, "read and hash", VERIFIED_PER_S_MIN, at_least=True)
