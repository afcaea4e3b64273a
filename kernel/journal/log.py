"""The journal: append in call order, wait until durable, read back, hear of every commit.

Guarantees: entries get their numbers in the order `append` was called; an awaited append returns
only after a synced commit; while the journal cannot write, `writable` is False, `append` refuses,
and it is tried again each second until it can.
Does not protect an entry nobody awaited against a crash within `linger_s`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import anyio
from anyio import to_thread

from kernel.clock import Clock
from kernel.errors import Invalid, JournalDown, LimitExceeded, NotFound
from kernel.ids import KERNEL, Digest, Principal
from kernel.journal import codec
from kernel.journal.committer import Committer
from kernel.journal.entry import SYSTEM_STREAM, Draft, Entry, Subscriber
from kernel.journal.forget import forgetting
from kernel.journal.group import GroupCommit, Pending, Tuning
from kernel.journal.keys import rotation_statement
from kernel.journal.opening import JournalFiles, open_ledger
from kernel.journal.projection import Projector
from kernel.journal.readers import Readers
from kernel.journal.view import JournalView, raw_digest
from kernel.journal.writer import Ledger, Prepared
from kernel.jsontypes import JsonObject
from kernel.limits import BLOB_BYTES_MAX, ENTRY_PAYLOAD_BYTES_MAX
from kernel.ports.store import Store

T = TypeVar("T")

_CLOSE_S: Final = 30.0
_KEPT: Final = frozenset({"blob.erased", "key.created", "key.rotated"})
"""Kinds whose payloads `audit verify` needs: they are never erased."""


class Journal(JournalView):
    """See `kernel.journal.appender.Appender`. Made by `open_journal`; belongs to one event loop."""

    def __init__(self, committer: Committer, ledger: Ledger, readers: Readers, tuning: Tuning) -> None:
        super().__init__(readers)
        self._committer = committer
        self._ledger = ledger
        self._subscribers: list[Subscriber] = []
        self._rotating = anyio.Lock()
        self._group = GroupCommit(committer, ledger, self._publish, tuning)

    @property
    def writable(self) -> bool:
        return self._group.down is None

    @property
    def trouble(self) -> str:
        """Why `writable` is False, for a person; empty while it is True."""
        down = self._group.down
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
        return self._group.add(_prepared(draft))

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        self._subscribers.append(subscriber)

        def end() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return end

    def enter_stream(self) -> None:
        self._group.streams += 1

    def leave_stream(self) -> None:
        self._group.streams -= 1
        assert self._group.streams >= 0, "leave_stream without enter_stream"

    async def flush(self) -> None:
        """Wait until everything appended so far is durable. Raises: JournalDown."""
        last = self._group.last()
        if last is not None:
            await last

    async def erase(self, digest: Digest, by: Principal, reason: str) -> Entry:
        """Remove the payload or blob of this digest for ever; its entries and all proofs stand.

        Raises: NotFound, where nothing has it; Invalid, where the journal itself needs it.
        """
        raw = raw_digest(digest)
        erased, blob = await self._do(lambda reader: (reader.entries_of(raw), reader.blob(raw) is not None))
        kinds = sorted({row[4] for row in erased})
        if not kinds and not blob:
            raise NotFound(f"nothing has the digest {digest}", remedy="`oxios audit log --json` shows digests")
        if _KEPT & set(kinds):
            raise Invalid(f"{digest} is a {kinds[0]} record", remedy="the journal needs it to be verified")
        was = [*kinds, "blob"] if blob else kinds
        payload: JsonObject = {"digest": digest, "reason": reason, "was": was}
        words = await self._do(lambda reader: forgetting(reader, erased, self._ledger.projectors))
        prepared = _prepared(Draft(by, SYSTEM_STREAM, "blob.erased", payload))
        return await self._group.add(replace(prepared, erase=raw, changes=tuple(words)))

    async def rotate_key(self, by: Principal = KERNEL) -> Entry:
        """Sign with a new key from now on; the old one signs over to it. Raises: JournalDown.

        One at a time, and to its end: who is cancelled meanwhile leaves no key half in force.
        """
        async with self._rotating:
            with anyio.CancelScope(shield=True):
                return await self._rotate(by)
            raise AssertionError("a shield swallows no error")

    async def _rotate(self, by: Principal) -> Entry:
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
                await self.flush()
        finally:
            self._group.close(JournalDown("the journal is closed", remedy="the system is stopping: start it again"))
            try:
                with anyio.CancelScope(shield=True):
                    await self._committer.call(self._ledger.close)
            finally:
                self._committer.stop()
                self._readers.close()

    def _publish(self, entries: tuple[Entry, ...]) -> None:
        if not entries:
            return
        failed: Exception | None = None
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(entries)
            except Exception as error:  # noqa: BLE001 -- raised below, once everybody has heard
                failed = failed or error
        if failed is not None:
            raise failed


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
    journal = Journal(committer, ledger, Readers(store, reader), tuning or Tuning())
    try:
        if new:
            key = ledger.ring.signer.key.text
            await journal.append(Draft(KERNEL, SYSTEM_STREAM, "key.created", {"key": key}))
        yield journal
    finally:
        await journal.close()


def _prepared(draft: Draft) -> Prepared:
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
    return Prepared(draft, payload, codec.digest_of(payload), blobs)
