"""The journal: append in call order, wait until durable, read back, hear of every commit.

Guarantees: entries get their numbers in the order `append` was called; an awaited append returns
only after a synced commit; while the journal cannot write, `writable` is False, `append` refuses,
and it is tried again each second until it can. Appends of one loop iteration, and of all that
wait while a commit is under way, go in one transaction.
Does not protect an entry nobody awaited against a crash within `linger_s`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from kernel.clock import Clock
from kernel.errors import Invalid, JournalDown, KernelBug, LimitExceeded, NotFound, QueueFull
from kernel.ids import KERNEL, Digest, Principal
from kernel.journal import codec
from kernel.journal.committer import Committer
from kernel.journal.entry import SYSTEM_STREAM, Draft, Entry, Subscriber
from kernel.journal.keys import rotation_statement
from kernel.journal.opening import JournalFiles, open_ledger
from kernel.journal.projection import Projector, Scalar
from kernel.journal.rows import entry_of
from kernel.journal.writer import Committed, Ledger, Prepared
from kernel.jsontypes import JsonObject
from kernel.limits import BLOB_BYTES_MAX, ENTRY_PAYLOAD_BYTES_MAX, JOURNAL_QUEUE_MAX
from kernel.ports.store import EntryQuery, RowQuery, Store, StoreReader

T = TypeVar("T")

GROUP_MAX: Final = 2_048
"""Entries of one transaction: bounds how long one commit can take."""
_CLOSE_S: Final = 30.0
_KEPT: Final = frozenset({"blob.erased", "key.created", "key.rotated"})
"""Kinds whose payloads `audit verify` needs: they are never erased."""


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

    __slots__ = ("_journal", "_waiters", "entry", "error", "prepared", "under_way")

    def __init__(self, journal: Journal, prepared: Prepared) -> None:
        self._journal = journal
        self.prepared = prepared
        self.entry: Entry | None = None
        self.error: BaseException | None = None
        self.under_way = False
        self._waiters: list[asyncio.Future[None]] | None = None

    def __await__(self) -> Generator[object, None, Entry]:
        if self.entry is None and self.error is None:
            waiter = self._journal.wait_for(self, first=self._waiters is None)
            self._waiters = [*(self._waiters or ()), waiter]
            yield from waiter
        if self.error is not None:
            raise _again(self.error)
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


class Journal:
    """See `kernel.journal.appender.Appender`. Made by `open_journal`; belongs to one event loop."""

    def __init__(self, committer: Committer, ledger: Ledger, reader: StoreReader, tuning: Tuning) -> None:
        self._loop = asyncio.get_running_loop()
        self._committer = committer
        self._ledger = ledger
        self._reader = reader
        self._reading = CapacityLimiter(1)
        self._tuning = tuning
        self._queue: list[Pending] = []
        self._under_way: list[Pending] = []
        self._awaited = 0
        self._streams = 0
        self._flushing = False
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._probe: asyncio.TimerHandle | None = None
        self._down: BaseException | None = None
        self._closed = False
        self._subscribers: list[Subscriber] = []

    @property
    def writable(self) -> bool:
        return self._down is None and not self._closed

    @property
    def trouble(self) -> str:
        """Why `writable` is False, for a person; empty while it is True."""
        down = self._down
        return "" if down is None else down.explain() if isinstance(down, JournalDown) else str(down)

    @property
    def size(self) -> int:
        """Committed entries."""
        return self._ledger.tree.size

    @property
    def checkpoint(self) -> str:
        """The newest signed checkpoint."""
        return self._ledger.tree.note

    def append(self, draft: Draft) -> Pending:
        return self._append(draft, None)

    async def read(
        self,
        *,
        stream: str | None = None,
        kind: str | None = None,
        principal: Principal | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[Entry]:
        query = EntryQuery(after=after, limit=limit, stream=stream, kind=kind, principal=principal)
        return await self._with_reader(lambda reader: [entry_of(row) for row in reader.entries(query)])

    async def rows(
        self,
        table: str,
        where: Mapping[str, Scalar] | None = None,
        *,
        order: str = "",
        descending: bool = False,
        limit: int = 1000,
    ) -> list[dict[str, Scalar]]:
        query = RowQuery(table, where or {}, order, descending, limit)
        return await self._with_reader(lambda reader: reader.rows(query))

    async def blob(self, digest: Digest) -> bytes:
        content = await self._with_reader(lambda reader: reader.blob(_raw(digest)))
        if content is None:
            raise NotFound(f"there is no blob {digest}", remedy="it was erased, or never stored")
        return content

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        self._subscribers.append(subscriber)

        def end() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return end

    def enter_stream(self) -> None:
        self._streams += 1

    def leave_stream(self) -> None:
        self._streams -= 1
        assert self._streams >= 0, "leave_stream without enter_stream"

    async def flush(self) -> None:
        """Wait until everything appended so far is durable. Raises: JournalDown."""
        last = self._queue[-1] if self._queue else self._under_way[-1] if self._under_way else None
        if last is not None:
            await last

    async def erase(self, digest: Digest, by: Principal, reason: str) -> Entry:
        """Remove the payload or blob of this digest for ever; its entries and all proofs stand.

        Raises: NotFound, where nothing has it; Invalid, where the journal itself needs it.
        """
        raw = _raw(digest)
        kinds, blob = await self._with_reader(lambda reader: (reader.kinds_of(raw), reader.blob(raw) is not None))
        if not kinds and not blob:
            raise NotFound(f"nothing has the digest {digest}", remedy="`oxios audit log --json` shows digests")
        if _KEPT & set(kinds):
            raise Invalid(f"{digest} is a {kinds[0]} record", remedy="the journal needs it to be verified")
        was = [*kinds, "blob"] if blob else kinds
        payload: JsonObject = {"digest": digest, "reason": reason, "was": was}
        return await self._append(Draft(by, SYSTEM_STREAM, "blob.erased", payload), raw)

    async def rotate_key(self, by: Principal = KERNEL) -> Entry:
        """Sign with a new key from now on; the old one signs over to it. Raises: JournalDown."""
        following = await self._committer.call(self._ledger.ring.stage_next)
        old = self._ledger.ring.signer
        payload = {
            "old": old.key.text,
            "new": following.key.text,
            "statement": rotation_statement(old, following.key),
        }
        entry = await self.append(Draft(by, SYSTEM_STREAM, "key.rotated", payload))
        await self._committer.call(partial(self._ledger.promote, following))
        return entry

    async def write_checkpoint(self) -> str:
        """Append the current checkpoint to the home's file of checkpoints; returns it."""
        await self.flush()
        return await self._committer.call(self._ledger.checkpoint)

    async def close(self) -> None:
        """Commit what waits, write a last checkpoint, and let go of the database."""
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_S):
                if self._down is None:
                    await self.flush()
        finally:
            self._closed = True
            self._stop_timers()
            self._fail(self._queue, _closed())
            self._queue = []
            try:
                with anyio.CancelScope(shield=True):
                    await self._committer.call(self._ledger.close)
            finally:
                self._committer.stop()
                self._reader.close()

    def wait_for(self, pending: Pending, *, first: bool) -> asyncio.Future[None]:
        """Called by an awaited `Pending`: someone now wants it durable."""
        if first and not pending.under_way:
            self._awaited += 1
            self._schedule()
        return self._loop.create_future()

    def _append(self, draft: Draft, erase: bytes | None) -> Pending:
        if self._down is not None:
            raise _again(self._down)
        if self._closed:
            raise _closed()
        if len(self._queue) + len(self._under_way) >= JOURNAL_QUEUE_MAX:
            raise QueueFull(
                f"{JOURNAL_QUEUE_MAX} entries wait for the disk",
                remedy="wait for them: await an append before the next",
            )
        pending = Pending(self, _prepared(draft, erase))
        self._queue.append(pending)
        self._schedule()
        return pending

    def _schedule(self) -> None:
        if not self._flushing and not self._busy:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Commit now, or set a timer: until enough streams wait, or until entries nobody awaits are due."""
        self._flushing = False
        if self._busy or not self._queue:
            return
        tuning, streams = self._tuning, self._streams
        if not self._awaited:
            wait_s = tuning.linger_s
        elif streams < 2 or self._awaited >= streams:  # noqa: PLR2004 -- one stream gathers with nobody
            wait_s = 0.0
        else:
            wait_s = min(streams * tuning.window_per_stream_s, tuning.window_max_s)
        if not wait_s or len(self._queue) >= GROUP_MAX:
            self._hand_over()
            return
        due = self._loop.time() + wait_s
        if self._timer is None or due < self._timer.when():
            self._stop_timer()
            self._timer = self._loop.call_at(due, self._hand_over)

    def _hand_over(self) -> None:
        self._stop_timer()
        if self._busy or not self._queue:
            return
        self._under_way, self._queue = self._queue[:GROUP_MAX], self._queue[GROUP_MAX:]
        self._awaited = sum(pending.awaited for pending in self._queue)
        self._busy = True
        for pending in self._under_way:
            pending.under_way = True
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
        self._publish(result.entries)
        if result.trouble is not None:
            self._go_down(result.trouble, [])
        elif self._queue:
            self._flush()

    def _go_down(self, error: BaseException, group: list[Pending]) -> None:
        self._down = error
        self._stop_timer()
        queue, self._queue, self._awaited = self._queue, [], 0
        self._fail([*group, *queue], error)
        if not isinstance(error, JournalDown):
            # A bug of ours: nothing more may be written by this process.
            self._loop.call_exception_handler({"message": "the journal stopped", "exception": error})
        elif not self._closed:
            self._probe = self._loop.call_later(self._tuning.probe_s, self._try_again)

    def _try_again(self) -> None:
        if not self._closed:
            self._committer.submit(self._ledger.recover, self._recovered)

    def _recovered(self, late: tuple[Entry, ...] | None, error: BaseException | None) -> None:
        if error is not None:
            self._go_down(error, [])
        elif late is not None:
            self._down = None
            self._publish(late)

    def _publish(self, entries: tuple[Entry, ...]) -> None:
        if entries:
            for subscriber in tuple(self._subscribers):
                subscriber(entries)

    def _fail(self, group: list[Pending], error: BaseException) -> None:
        for pending in group:
            pending.settle(None, error)

    def _stop_timers(self) -> None:
        self._stop_timer()
        if self._probe is not None:
            self._probe.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _with_reader(self, job: Callable[[StoreReader], T]) -> T:
        return await to_thread.run_sync(job, self._reader, limiter=self._reading)


@asynccontextmanager
async def open_journal(
    store: Store,
    home: Path,
    clock: Clock,
    projectors: Mapping[str, Projector],
    *,
    tuning: Tuning | None = None,
) -> AsyncGenerator[Journal]:
    """The journal of `home`, for writing; the caller holds the home's instance lock.

    Makes the tables, the key and the first entry where they are not there yet.
    Raises: JournalDown, naming what is wrong, where the database cannot be used or was tampered with.
    """
    committer = Committer()
    try:
        ledger, new = await committer.call(partial(open_ledger, store, JournalFiles(home), clock, projectors))
    except BaseException:
        committer.stop()
        raise
    try:
        reader = await to_thread.run_sync(store.reader)
    except BaseException:
        await committer.call(ledger.close)
        committer.stop()
        raise
    journal = Journal(committer, ledger, reader, tuning or Tuning())
    try:
        if new:
            key = ledger.ring.signer.key.text
            await journal.append(Draft(KERNEL, SYSTEM_STREAM, "key.created", {"key": key}))
        yield journal
    finally:
        await journal.close()


def _prepared(draft: Draft, erase: bytes | None) -> Prepared:
    payload = codec.canonical(draft.payload)
    if len(payload) > ENTRY_PAYLOAD_BYTES_MAX:
        raise LimitExceeded(
            f"the payload of {draft.kind} has {len(payload)} bytes, over {ENTRY_PAYLOAD_BYTES_MAX}",
            remedy="store the big part as a blob and name it by digest",
        )
    for content in draft.blobs:
        if len(content) > BLOB_BYTES_MAX:
            raise LimitExceeded(
                f"a blob of {draft.kind} has {len(content)} bytes, over {BLOB_BYTES_MAX}",
                remedy="keep it as a file of the workspace and record its digest",
            )
    blobs = tuple((codec.digest_of(content), content) for content in draft.blobs)
    return Prepared(draft, payload, codec.digest_of(payload), blobs, erase)


def _raw(digest: Digest) -> bytes:
    try:
        raw = bytes.fromhex(digest)
    except ValueError:
        raw = b""
    if len(raw) != codec.DIGEST_BYTES:
        raise Invalid(f"{digest!r} is no digest", remedy="a digest is 64 hexadecimal characters")
    return raw


def _closed() -> JournalDown:
    return JournalDown("the journal is closed", remedy="the system is stopping: start it again")


def _again(error: BaseException) -> BaseException:
    """A fresh exception for each waiter: a shared one would gather every waiter's traceback."""
    if isinstance(error, JournalDown):
        return JournalDown(error.message, remedy=error.remedy, retry_after_s=error.retry_after_s)
    return KernelBug(f"the journal stopped: {error}")
