"""Opening a journal for writing: is this database the one this home wrote last?

Guarantees: a ledger opens only on a database that ends in a checkpoint signed by this home's key
and that continues the head file outside it; a first start makes the key, and a start after a crash
finishes what was cut off. What it finds wrong is named, and nothing is repaired that could hide it.
Costs the same at any size, but for one chunk root per 256 entries after a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kernel.clock import Clock
from kernel.errors import Conflict, Invalid, JournalDown
from kernel.journal import keys
from kernel.journal.entry import SYSTEM_STREAM
from kernel.journal.head import CheckpointFile, HeadFile, Signed, read_head
from kernel.journal.keys import KeyRing
from kernel.journal.merkle import Frontier
from kernel.journal.note import open_checkpoint
from kernel.journal.projection import Projector
from kernel.journal.proof import StoredTree
from kernel.journal.rows import payload_of
from kernel.journal.writer import Ledger
from kernel.ports.store import EntryQuery, Store, StoreReader, StoreWriter, TreeRow


@dataclass(frozen=True, slots=True)
class JournalFiles:
    """Where a home keeps what belongs to its journal."""

    home: Path

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def public_keys(self) -> Path:
        return self.keys / keys.PUBLIC

    @property
    def head(self) -> Path:
        return self.home / "journal" / "head"

    @property
    def checkpoints(self) -> Path:
        return self.home / "journal" / "checkpoints"


def open_ledger(
    store: Store, files: JournalFiles, clock: Clock, projectors: Mapping[str, Projector]
) -> tuple[Ledger, bool]:
    """The ledger, and whether the journal is new and wants its first entry.

    Raises: JournalDown, where the database fails, or is not what the head file says it must be.
    """
    store.prepare()
    writer = store.writer()
    try:
        return _open(store, writer, files, clock, projectors)
    except BaseException:
        writer.close()
        raise


def _open(
    store: Store, writer: StoreWriter, files: JournalFiles, clock: Clock, projectors: Mapping[str, Projector]
) -> tuple[Ledger, bool]:
    tree = writer.tree()
    head, checkpoints = HeadFile(files.head), CheckpointFile(files.checkpoints)
    ring = _ring(files, tree, head)
    reader = store.reader()
    try:
        _require_same(reader, tree, ring, files)
        ledger = Ledger(store, ring, head, checkpoints, clock=clock, projectors=projectors)
        try:
            head.open()
            checkpoints.repair()
        except OSError as error:
            raise JournalDown(f"the journal's files cannot be opened: {error}", remedy="check the home") from error
        ledger.open(writer, tree)
        if not files.checkpoints.exists() or not files.checkpoints.stat().st_size:
            ledger.checkpoint()
        _finish_rotation(reader, ledger, files)
    finally:
        reader.close()
    return ledger, tree.size == 0


def _ring(files: JournalFiles, tree: TreeRow, head: HeadFile) -> KeyRing:
    if keys.exists(files.keys):
        return keys.load(files.keys)
    if tree.size or head.exists():
        raise JournalDown(
            f"the signing key of this journal is missing from {files.keys}",
            remedy="restore keys/ from a backup; without it this journal can only be read",
        )
    try:
        return keys.create(files.keys)
    except OSError as error:
        raise JournalDown(f"no signing key can be made in {files.keys}: {error}", remedy="check the home") from error


def _require_same(reader: StoreReader, tree: TreeRow, ring: KeyRing, files: JournalFiles) -> None:
    head = _head(files, ring, tree)
    if tree.size:
        _require_own_note(tree, ring)
        ends = [row[0] for row in reader.entries(EntryQuery(after=tree.size - 1, limit=2))]
        if ends != [tree.size]:
            raise _broken(f"entries after {max(ends, default=0) or 'some point'} are not what entry {tree.size} ended")
    if head is None:
        return
    said = head.checkpoint
    if said.size > tree.size:
        raise _broken(
            f"the database ends at entry {tree.size}, but the head outside it signed {said.size}: "
            "rows were cut off, or an older database was put back"
        )
    try:
        root = StoredTree(reader, tree.size).root(said.size)
    except Conflict as error:
        raise _broken(error.message) from error
    if root != said.root:
        raise _broken(f"the first {said.size} entries are not those that the head outside the database signed")


def _head(files: JournalFiles, ring: KeyRing, tree: TreeRow) -> Signed | None:
    try:
        reading = read_head(files.head, ring.trusted)
    except FileNotFoundError:
        if tree.size:
            raise _broken(f"the head file {files.head} is missing") from None
        return None
    except OSError as error:
        raise JournalDown(f"the head file {files.head} cannot be read: {error}", remedy="check the home") from error
    if reading.newest is None and tree.size:
        raise _broken(f"the head file {files.head} was altered ({'; '.join(reading.wrong)})")
    return reading.newest


def _require_own_note(tree: TreeRow, ring: KeyRing) -> None:
    try:
        said = open_checkpoint(tree.note, ring.trusted)
        frontier = Frontier(tree.size, tree.peaks)
    except (Invalid, ValueError) as error:
        raise _broken(f"the database's own checkpoint is forged or damaged: {error}") from error
    if said.size != tree.size or said.root != frontier.root() or said.origin != ring.origin:
        raise _broken("the database's own checkpoint signs another tree than the database holds")


def _finish_rotation(reader: StoreReader, ledger: Ledger, files: JournalFiles) -> None:
    """A rotation that died between its entry and its key file goes on; one that died before is undone."""
    following = keys.staged(files.keys)
    if following is None:
        return
    after, recorded = 0, False
    while rows := reader.entries(EntryQuery(after=after, stream=SYSTEM_STREAM, kind="key.rotated")):
        after = rows[-1][0]
        recorded = recorded or any(_names(payload_of(row[8]), following.key.text) for row in rows)
    if recorded:
        ledger.promote(following)
    else:
        keys.discard_staged(files.keys)


def _names(payload: Mapping[str, object] | None, key: str) -> bool:
    return payload is not None and payload.get("new") == key


def _broken(what: str) -> JournalDown:
    return JournalDown(
        f"the journal is broken: {what}",
        remedy="run `oxios audit verify`; restore home and database together from a backup, or keep them as "
        "evidence and start a new home",
    )
