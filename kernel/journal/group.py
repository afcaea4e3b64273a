"""Group commit: appends queue in call order and are handed to the committer together.

Guarantees: one group is under way at a time; what is appended meanwhile forms the next. A group
starts at once where as many streams wait as are live, else within the window; entries that nobody
awaits ride along, and go by themselves after `linger_s`. While the ledger is down everything
queued fails, and it is tried again each `probe_s`.
All of it runs on the event loop, so it needs no lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final

from kernel.errors import JournalDown, KernelBug, QueueFull
from kernel.journal.committer import Committer
from kernel.journal.entry import Entry
from kernel.journal.writer import Committed, Ledger, Prepared
from kernel.limits import JOURNAL_QUEUE_MAX

GROUP_MAX: Final = 2_048
"""Entries of one transaction: bounds how long one commit can take."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Waits of the group commit, in seconds."""

    window_per_stream_s: float = 0.0001
    window_max_s: float = 0.010
    linger_s: float = 0.050
    """How long an entry that nobody awaits may wait for company."""
    probe_s: float = 1.0


class Pending:
    """An append on its way. Await it, from any number of tasks, or leave it."""

    __slots__ = ("_group", "_waiters", "entry", "error", "prepared", "under_way")

    def __init__(self, group: GroupCommit, prepared: Prepared) -> None:
        self._group = group
        self._waiters: list[asyncio.Future[None]] | None = None
        self.prepared = prepared
        self.entry: Entry | None = None
        self.error: BaseException | None = None
        self.under_way = False

    def __await__(self) -> Generator[object, None, Entry]:
        if self.entry is None and self.error is None:
            waiter = self._group.waiter(self)
            if self._waiters is None:
                self._waiters = [waiter]
            else:
                self._waiters.append(waiter)
            yield from waiter
        if self.error is not None:
            raise again(self.error)
        assert self.entry is not None, "a waiter wakes after the outcome is known"
        return self.entry

    @property
    def awaited(self) -> bool:
        return self._waiters is not None

    def settle(self, entry: Entry | None, error: BaseException | None) -> None:
        self.entry, self.error = entry, error
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)


class GroupCommit:
    """The queue between those who append and the ledger's thread."""

    def __init__(
        self, committer: Committer, ledger: Ledger, publish: Callable[[tuple[Entry, ...]], None], tuning: Tuning
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._committer = committer
        self._ledger = ledger
        self._publish = publish
        self._tuning = tuning
        self.streams = 0
        """Live runs: how many durable waits may come together."""
        self.down: BaseException | None = None
        """Why nothing can be appended now."""
        self._queue: list[Pending] = []
        self._under_way: list[Pending] = []
        self._awaited = 0
        self._scheduled = False
        self._busy = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._probe: asyncio.TimerHandle | None = None

    def add(self, prepared: Prepared) -> Pending:
        """Raises: JournalDown, QueueFull."""
        if self.down is not None:
            raise again(self.down)
        if len(self._queue) + len(self._under_way) >= JOURNAL_QUEUE_MAX:
            raise QueueFull(
                f"{JOURNAL_QUEUE_MAX} entries wait for the disk",
                remedy="wait for them: await an append before the next",
            )
        pending = Pending(self, prepared)
        self._queue.append(pending)
        self._schedule()
        return pending

    def waiter(self, pending: Pending) -> asyncio.Future[None]:
        """What an awaited append waits on: someone now wants it durable."""
        if not pending.under_way and not pending.awaited:
            self._awaited += 1
            self._schedule()
        return self._loop.create_future()

    def last(self) -> Pending | None:
        """The newest append that is not yet committed."""
        waiting = self._queue or self._under_way
        return waiting[-1] if waiting else None

    def close(self, error: JournalDown) -> None:
        """Nothing is taken from now on; what still queues fails with `error`."""
        self.down, self._closed = error, True
        self._stop_timer()
        if self._probe is not None:
            self._probe.cancel()
        queue, self._queue = self._queue, []
        _fail(queue, error)

    def _schedule(self) -> None:
        if not self._scheduled and not self._busy:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Commit now, or set a timer until this group is due."""
        self._scheduled = False
        if self._busy or not self._queue:
            return
        wait_s = self._wait_s()
        if not wait_s or len(self._queue) >= GROUP_MAX:
            self._hand_over()
            return
        due_s = self._loop.time() + wait_s
        if self._timer is None or due_s < self._timer.when():
            self._stop_timer()
            self._timer = self._loop.call_at(due_s, self._hand_over)

    def _wait_s(self) -> float:
        tuning = self._tuning
        if not self._awaited:
            return tuning.linger_s
        if self.streams <= 1 or self._awaited >= self.streams:
            return 0.0
        return min(self.streams * tuning.window_per_stream_s, tuning.window_max_s)

    def _hand_over(self) -> None:
        self._stop_timer()
        if self._busy or not self._queue:
            return
        self._under_way, self._queue = self._queue[:GROUP_MAX], self._queue[GROUP_MAX:]
        self._awaited = sum(pending.awaited for pending in self._queue)
        for pending in self._under_way:
            pending.under_way = True
        self._busy = True
        group = [pending.prepared for pending in self._under_way]
        self._committer.submit(lambda: self._ledger.commit(group), self._committed)

    def _committed(self, result: Committed | None, error: BaseException | None) -> None:
        group, self._under_way = self._under_way, []
        self._busy = False
        if result is None:
            assert error is not None, "a job has a result or an error"
            self._go_down(error, group)
            return
        for pending, entry in zip(group, result.entries, strict=True):
            pending.settle(entry, None)
        # The next group first: a subscriber that fails must not leave it waiting.
        if result.trouble is not None:
            self._go_down(result.trouble, [])
        else:
            self._flush()
        self._publish(result.entries)

    def _go_down(self, error: BaseException, group: list[Pending]) -> None:
        queue, self._queue, self._awaited = self._queue, [], 0
        self._stop_timer()
        _fail([*group, *queue], error)
        if self._closed:
            return
        self.down = error
        if not isinstance(error, JournalDown):
            # A bug of ours: nothing more may be written by this process.
            self._loop.call_exception_handler({"message": "the journal stopped", "exception": error})
        else:
            self._probe = self._loop.call_later(self._tuning.probe_s, self._try_again)

    def _try_again(self) -> None:
        self._committer.submit(self._ledger.recover, self._recovered)

    def _recovered(self, late: tuple[Entry, ...] | None, error: BaseException | None) -> None:
        if error is not None:
            self._go_down(error, [])
        elif late is not None and not self._closed:
            self.down = None
            self._publish(late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def again(error: BaseException) -> BaseException:
    """A fresh exception for each waiter: a shared one would gather every waiter's traceback."""
    if isinstance(error, JournalDown):
        return JournalDown(error.message, remedy=error.remedy, retry_after_s=error.retry_after_s)
    return KernelBug(f"the journal stopped: {error}")


def _fail(group: list[Pending], error: BaseException) -> None:
    for pending in group:
        pending.settle(None, error)
