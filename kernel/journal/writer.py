"""What the committer's thread does with a group of appends: number, hash, sign, write, show.

Guarantees: sequence numbers are dense and start at 1, times never go back, and a group is in the
database with its projections, its tree and its signed checkpoint, or not at all. After a failure
the ledger believes the database, not its memory, so a number is never given twice.
All of it runs on one thread; nothing here knows of the event loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kernel.clock import Clock
from kernel.errors import InstanceLocked, JournalDown
from kernel.ids import Digest
from kernel.journal import codec
from kernel.journal.entry import Draft, Entry
from kernel.journal.head import CheckpointFile, HeadFile
from kernel.journal.keys import KeyRing
from kernel.journal.merkle import Frontier, leaf_hash
from kernel.journal.note import Checkpoint, Signer
from kernel.journal.projection import Projector
from kernel.ports.store import Batch, EntryRow, RowChange, Store, StoreWriter, TreeRow

CHECKPOINT_ENTRIES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """A draft with what was computed when it was appended."""

    draft: Draft
    payload: bytes
    digest: bytes
    blobs: tuple[tuple[bytes, bytes], ...]
    erase: bytes | None = None
    changes: tuple[RowChange, ...] = ()
    """To derived tables, beside what its projector makes."""


@dataclass(frozen=True, slots=True)
class Committed:
    """`trouble` is set where the entries are durable but the head file could not follow."""

    entries: tuple[Entry, ...]
    trouble: JournalDown | None = None


class Ledger:
    """The write side of one journal."""

    def __init__(
        self,
        store: Store,
        ring: KeyRing,
        head: HeadFile,
        checkpoints: CheckpointFile,
        *,
        clock: Clock,
        projectors: Mapping[str, Projector],
    ) -> None:
        self.ring = ring
        self._store = store
        self._head = head
        self._checkpoints = checkpoints
        self._clock = clock
        self.projectors = projectors
        self._writer: StoreWriter | None = None
        self._tree = TreeRow()
        self._frontier = Frontier()
        self._attempt: tuple[TreeRow, tuple[Entry, ...]] | None = None
        self._checkpointed = 0

    @property
    def tree(self) -> TreeRow:
        return self._tree

    def open(self, writer: StoreWriter, tree: TreeRow) -> None:
        """Continue from `tree`, which the caller has proved to be this journal's. Raises: JournalDown."""
        self._writer = writer
        self._adopt(tree)
        self._checkpointed = tree.size
        if not tree.note:
            self._tree = TreeRow(note=self._sign(Frontier()))
        for _ in range(2):
            self._show()

    def commit(self, group: Sequence[Prepared]) -> Committed:
        """Raises: JournalDown (nothing was written, as far as is known), KernelBug (a projector)."""
        frontier = self._frontier.copy()
        entries, rows, chunks = self._number(group, frontier)
        tree = TreeRow(frontier.size, entries[-1].time_us, frontier.packed(), self._sign(frontier))
        batch = Batch(
            tree=tree,
            entries=rows,
            blobs=[blob for one in group for blob in one.blobs],
            chunks=chunks,
            changes=[*self._project(entries), *(change for one in group for change in one.changes)],
            erase=[one.erase for one in group if one.erase is not None],
        )
        self._attempt = (tree, entries)
        self._database().commit(batch)
        self._attempt = None
        self._tree, self._frontier = tree, frontier
        return Committed(entries, self._follow())

    def recover(self) -> tuple[Entry, ...]:
        """Connect anew, really write, and go on from what the database holds.

        Returns the entries of the failed group where the database had committed them after all.
        Raises: JournalDown, while it still fails, or for good where another writer was there.
        """
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()
        try:
            writer = self._store.writer()
        except InstanceLocked as error:
            raise JournalDown(error.message, remedy=error.remedy, retry_after_s=1.0) from error
        try:
            writer.probe()
            found = writer.tree()
        except BaseException:
            writer.close()
            raise
        self._writer = writer
        return self._reconcile(found)

    def checkpoint(self) -> str:
        """Append the current checkpoint to the file of checkpoints; returns the note."""
        try:
            self._checkpoints.append(self._tree.note)
            self._head.sync()
        except OSError as error:
            raise _head_down(error) from error
        self._checkpointed = self._tree.size
        return self._tree.note

    def promote(self, following: Signer) -> None:
        """Sign with the staged key from now on. Raises: JournalDown."""
        try:
            self.ring = self.ring.promote(following)
        except OSError as error:
            raise _head_down(error) from error
        tree = self._tree
        signed = TreeRow(tree.size, tree.time_us, tree.peaks, self._sign(self._frontier))
        self._database().commit(Batch(tree=signed))
        self._tree = signed
        for _ in range(2):
            self._show()
        self.checkpoint()

    def close(self) -> None:
        """Raises: JournalDown, where the last checkpoint cannot be written; all is closed anyway."""
        try:
            if self._checkpointed < self._tree.size:
                self.checkpoint()
        finally:
            self._head.close()
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _number(
        self, group: Sequence[Prepared], frontier: Frontier
    ) -> tuple[tuple[Entry, ...], list[EntryRow], list[tuple[int, bytes]]]:
        now_us = max(self._clock.now_us(), self._tree.time_us)
        entries: list[Entry] = []
        rows: list[EntryRow] = []
        for seq, one in enumerate(group, start=frontier.size + 1):
            draft, digest = one.draft, one.digest
            blobs = b"".join(name for name, _ in one.blobs) or None
            header = (seq, now_us, draft.principal, draft.stream, draft.kind, digest, blobs)
            rows.append((*header, leaf_hash(codec.header_bytes(header)), one.payload))
            entries.append(Entry(*header[:5], Digest(digest.hex()), draft.payload))
        return tuple(entries), rows, frontier.extend([row[7] for row in rows])

    def _project(self, entries: Sequence[Entry]) -> list[RowChange]:
        changes: list[RowChange] = []
        for entry in entries:
            projector = self.projectors.get(entry.kind)
            if projector is not None:
                changes.extend(projector(entry))
        return changes

    def _sign(self, frontier: Frontier) -> str:
        return self.ring.signer.sign(Checkpoint(self.ring.origin, frontier.size, frontier.root()).text())

    def _follow(self) -> JournalDown | None:
        """The head file after a commit; the entries are durable whatever happens here."""
        try:
            self._show()
            if self._tree.size - self._checkpointed >= CHECKPOINT_ENTRIES:
                self.checkpoint()
        except JournalDown as error:
            return error
        return None

    def _show(self) -> None:
        try:
            self._head.write(self._tree.note)
        except OSError as error:
            raise _head_down(error) from error

    def _reconcile(self, found: TreeRow) -> tuple[Entry, ...]:
        late: tuple[Entry, ...] = ()
        if self._attempt is not None and found == self._attempt[0]:
            late = self._attempt[1]
        elif found.size != self._tree.size or found.peaks != self._tree.peaks:
            raise JournalDown(
                f"the database holds {found.size} entries where {self._tree.size} were written: another wrote to it",
                remedy="stop Oxios and run `oxios audit verify`",
            )
        self._attempt = None
        if found.note:
            self._adopt(found)
        self._show()
        return late

    def _adopt(self, tree: TreeRow) -> None:
        self._tree = tree
        self._frontier = Frontier(tree.size, tree.peaks)

    def _database(self) -> StoreWriter:
        if self._writer is None:
            raise JournalDown("the journal's database is not connected", remedy="it is tried again each second")
        return self._writer


def _head_down(error: OSError) -> JournalDown:
    return JournalDown(
        f"the journal's head file cannot be written: {error}",
        remedy="check the free space and the modes under the home's journal/; it recovers by itself",
        retry_after_s=1.0,
    )
