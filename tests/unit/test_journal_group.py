"""Group commit: who is gathered, who waits for whom, and what is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from kernel import limits
from kernel.clock import SystemClock
from kernel.errors import Invalid, JournalDown, LimitExceeded, QueueFull
from kernel.journal import group
from kernel.journal.entry import Entry
from kernel.journal.group import Tuning
from kernel.journal.log import Journal, open_journal
from kernel.ports.store import Batch, StoreWriter
from kernel.testing.memory_store import MemoryStore
from tests.journal_world import draft

SLOW = Tuning(window_per_stream_s=5.0, window_max_s=5.0, linger_s=5.0)


class Groups(MemoryStore):
    """Remembers how many entries each commit had."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def writer(self) -> StoreWriter:
        writer, sizes = super().writer(), self.sizes

        class Counting:
            def __getattr__(self, name: str) -> object:
                return getattr(writer, name)

            def commit(self, batch: Batch) -> None:
                sizes.append(len(batch.entries))
                writer.commit(batch)

        return Counting()  # type: ignore[return-value] -- it has the writer's other methods by delegation


def _with(home: Path, act: Callable[[Journal, list[int]], Awaitable[None]], tuning: Tuning | None = None) -> list[int]:
    store = Groups()

    async def main() -> None:
        async with open_journal(store, home, SystemClock(), {}, tuning=tuning) as journal:
            store.sizes.clear()
            with anyio.fail_after(3):
                await act(journal, store.sizes)

    anyio.run(main)
    return store.sizes


def test_appends_of_one_moment_are_one_commit(tmp_path: Path) -> None:
    """What is appended before the loop turns goes in one transaction, awaited or not."""

    async def act(journal: Journal, sizes: list[int]) -> None:
        for number in range(5):
            journal.append(draft(number))
        await journal.append(draft(5))
        assert sizes == [6]

    _with(tmp_path, act, SLOW)


def test_what_comes_during_a_commit_is_the_next_group(tmp_path: Path) -> None:
    """Many writers, each waiting for its own entries, share commits: far fewer than entries."""

    async def act(journal: Journal, sizes: list[int]) -> None:
        async def write(number: int) -> None:
            for _ in range(20):
                await journal.append(draft(number))

        async with anyio.create_task_group() as tasks:
            for number in range(32):
                tasks.start_soon(write, number)
        assert sum(sizes) == 640
        assert len(sizes) <= 60

    _with(tmp_path, act)


def test_one_live_stream_waits_for_nobody(tmp_path: Path) -> None:
    """With one stream live a durable wait commits at once, however wide the window."""

    async def act(journal: Journal, _sizes: list[int]) -> None:
        journal.enter_stream()
        await journal.append(draft(1))
        journal.leave_stream()

    assert _with(tmp_path, act, SLOW)[0] == 1


def test_as_many_waiters_as_streams_do_not_wait_for_the_window(tmp_path: Path) -> None:
    """With three streams live, three waits are one commit, well before the window ends."""

    async def act(journal: Journal, sizes: list[int]) -> None:
        async def write(number: int, order: list[int]) -> None:
            for _ in range(number):
                await anyio.lowlevel.checkpoint()
            order.append((await journal.append(draft(number))).seq)

        for _ in range(3):
            journal.enter_stream()
        order: list[int] = []
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(write, number * 5, order)
        assert order == [2, 3, 4]
        assert sizes == [3]

    _with(tmp_path, act, SLOW)


def test_a_lonely_waiter_is_served_when_the_window_ends(tmp_path: Path) -> None:
    """With more streams live than wait, the wait ends with the window."""

    async def act(journal: Journal, _sizes: list[int]) -> None:
        for _ in range(2):
            journal.enter_stream()
        assert (await journal.append(draft(1))).seq == 2

    _with(tmp_path, act, Tuning(window_per_stream_s=0.001))


def test_an_entry_nobody_awaits_goes_by_itself(tmp_path: Path) -> None:
    """After `linger_s` an entry is committed though nobody asked."""

    async def act(journal: Journal, sizes: list[int]) -> None:
        journal.append(draft(1))
        while not sizes:
            await anyio.lowlevel.checkpoint()
        assert journal.size <= 2

    assert _with(tmp_path, act, Tuning(linger_s=0.001))[0] == 1


def test_an_entry_nobody_awaits_causes_no_commit_of_its_own(tmp_path: Path) -> None:
    """Within the linger it rides with the next durable wait."""

    async def act(journal: Journal, sizes: list[int]) -> None:
        journal.append(draft(1))
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        await journal.read()
        assert sizes == []
        await journal.append(draft(2))
        assert sizes == [2]

    _with(tmp_path, act, SLOW)


def test_awaiting_late_does_not_wait_for_the_linger(tmp_path: Path) -> None:
    """An append awaited some turns after it was made is hurried along."""

    async def act(journal: Journal, _sizes: list[int]) -> None:
        pending = journal.append(draft(1))
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        assert (await pending).seq == 2
        assert (await pending).seq == 2

    _with(tmp_path, act, SLOW)


def test_several_tasks_may_await_one_append_and_one_may_give_up(tmp_path: Path) -> None:
    """Cancelling one waiter neither cancels the append nor the other waiters."""

    async def act(journal: Journal, _sizes: list[int]) -> None:
        got: list[Entry] = []

        async def wait() -> None:
            got.append(await pending)

        for _ in range(2):
            journal.enter_stream()
        pending = journal.append(draft(1))
        async with anyio.create_task_group() as outer:
            outer.start_soon(wait)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await pending
            assert scope.cancelled_caught
            outer.start_soon(wait)
        assert [entry.seq for entry in got] == [2, 2]

    _with(tmp_path, act, Tuning(window_per_stream_s=0.002))


def test_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many entries as the bound may wait for the disk, and one more is refused; then there is room again."""
    monkeypatch.setattr(group, "JOURNAL_QUEUE_MAX", 10)

    async def act(journal: Journal, _sizes: list[int]) -> None:
        pending = [journal.append(draft(number)) for number in range(10)]
        with pytest.raises(QueueFull):
            journal.append(draft(10))
        await pending[-1]
        journal.append(draft(11))

    _with(tmp_path, act, SLOW)
    assert limits.JOURNAL_QUEUE_MAX == 20_000


def test_a_group_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More entries than one transaction takes go in several, in order, and all waiters are served."""
    monkeypatch.setattr(group, "GROUP_MAX", 4)

    async def act(journal: Journal, sizes: list[int]) -> None:
        pending = [journal.append(draft(number)) for number in range(10)]
        assert [(await each).seq for each in pending] == list(range(2, 12))
        assert sizes == [4, 4, 2]

    _with(tmp_path, act, SLOW)


def test_payloads_and_blobs_are_bounded(tmp_path: Path) -> None:
    """The largest payload and blob are taken, one byte more is refused before anything is queued."""

    async def act(journal: Journal, _sizes: list[int]) -> None:
        frame = len(b'{"t":""}')
        base = draft()
        fits = type(base)(base.principal, base.stream, base.kind, {"t": "x" * (limits.ENTRY_PAYLOAD_BYTES_MAX - frame)})
        await journal.append(fits)
        over = {"t": "x" * (limits.ENTRY_PAYLOAD_BYTES_MAX - frame + 1)}
        with pytest.raises(LimitExceeded, match="payload"):
            journal.append(type(base)(base.principal, base.stream, base.kind, over))
        await journal.append(draft(blobs=(bytes(limits.BLOB_BYTES_MAX),)))
        with pytest.raises(LimitExceeded, match="blob"):
            journal.append(draft(blobs=(bytes(limits.BLOB_BYTES_MAX + 1),)))
        assert journal.size == 3

    _with(tmp_path, act)


def test_what_cannot_be_recorded_is_refused_at_once(tmp_path: Path) -> None:
    """A payload that is no JSON never reaches the queue."""

    async def act(journal: Journal, _sizes: list[int]) -> None:
        base = draft()
        with pytest.raises(Invalid):
            journal.append(type(base)(base.principal, base.stream, base.kind, {"n": float("nan")}))
        await journal.flush()
        assert journal.size == 1

    _with(tmp_path, act)


def test_closing_commits_what_waits_and_then_refuses(tmp_path: Path) -> None:
    """Entries nobody awaited are there after the journal closed, and a closed journal takes nothing."""
    store, kept = MemoryStore(), list[Journal]()

    async def main() -> None:
        async with open_journal(store, tmp_path, SystemClock(), {}, tuning=SLOW) as journal:
            kept.append(journal)
            for number in range(3):
                journal.append(draft(number))
        assert not journal.writable
        with pytest.raises(JournalDown, match="closed"):
            journal.append(draft())

    anyio.run(main)
    assert store.tables.tree.size == 4
    assert not store.writing


def test_a_subscriber_that_fails_holds_nobody_up(tmp_path: Path) -> None:
    """What waits behind a batch is committed though a subscriber raised, the others hear, and so does the loop."""

    async def act(journal: Journal, _sizes: list[int]) -> None:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context.get("exception")))

        def fail(_: tuple[Entry, ...]) -> None:
            raise LookupError

        heard: list[int] = []
        end = journal.subscribe(fail)
        journal.subscribe(lambda entries: heard.extend(entry.seq for entry in entries))
        first = journal.append(draft(1))

        async def second() -> None:
            await first
            await journal.append(draft(2))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(second)
            await journal.append(draft(3))
        end()
        assert (journal.size, heard) == (4, [2, 3, 4])
        assert {type(error) for error in told} == {LookupError}

    _with(tmp_path, act)


def test_times_never_go_back(tmp_path: Path) -> None:
    """Though the machine's clock is set back between commits, the entries' times do not go down."""

    class Falling(SystemClock):
        now = 2_000_000

        def now_us(self) -> int:
            self.now -= 1
            return self.now

    async def main() -> None:
        async with open_journal(MemoryStore(), tmp_path, Falling(), {}) as journal:
            times = [(await journal.append(draft(number))).time_us for number in range(3)]
            assert times == sorted(times)

    anyio.run(main)


def test_leaving_a_stream_that_was_not_entered_is_a_bug(tmp_path: Path) -> None:
    """Streams are counted in pairs."""

    async def act(journal: Journal, _sizes: list[int]) -> None:
        with pytest.raises(AssertionError):
            journal.leave_stream()
        journal.enter_stream()

    _with(tmp_path, act)
