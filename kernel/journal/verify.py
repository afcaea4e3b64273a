"""Verifying a journal whole: entries, tree, signatures, and the files outside the database.

Guarantees: it only reads, and sees one state of a journal that is being written. A flipped bit, a
deleted, reordered, inserted or cut-off entry, an older database put back, and a forged checkpoint
or head are each found and named. With a public key kept elsewhere (`trusted`) it also finds a
history that was signed anew with another key.
Does not protect against the holder of the signing key, nor against someone who puts back database,
head and checkpoints together to an earlier moment: give `witnessed` checkpoints kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from kernel.clock import Clock
from kernel.errors import Invalid
from kernel.journal.entry import SYSTEM_STREAM
from kernel.journal.findings import Kind, Report
from kernel.journal.head import Reading, read_checkpoints, read_head
from kernel.journal.keys import successor
from kernel.journal.merkle import CHUNK, Frontier
from kernel.journal.note import Checkpoint, VerifierKey, open_checkpoint, verifier_key
from kernel.journal.opening import JournalFiles
from kernel.journal.projection import Projector
from kernel.journal.rebuild import Rebuild
from kernel.journal.rows import said_in
from kernel.journal.scan import Scan
from kernel.jsontypes import JsonObject
from kernel.ports.store import EntryQuery, Store, StoreAbsent, StoreDamaged, StoreReader, TreeRow

_FAR: Final = 2**62
"""Beyond the number of any chunk."""


def verify(
    store: Store,
    files: JournalFiles,
    clock: Clock,
    *,
    trusted: Sequence[VerifierKey],
    witnessed: Sequence[str] = (),
    projectors: Mapping[str, Projector] | None = None,
) -> Report:
    """`witnessed` are checkpoints kept elsewhere; with `projectors`, derived tables are compared too.

    Raises: JournalDown, where the database cannot be read, or there never was one; Invalid, where a
    witnessed checkpoint is no text of this journal's.
    """
    started_s = clock.monotonic_s()
    report = Report(store.address)
    try:
        reader = store.reader()
    except StoreDamaged as error:
        report.add(Kind.DAMAGED, error.message)
        return report
    except StoreAbsent as error:
        _require_no_signs(files, trusted, report, error)
        return report
    try:
        rotations = _rotations(reader)
        keys = _with_successors(rotations, trusted)
        known = _with_predecessors(rotations, keys)
        head, checkpoints = _outside(files, keys, known, report)
        kept = [open_checkpoint(note, known) for note in witnessed]
        with _snapshot(reader):
            _check(reader, report, keys, [*_points(head), *_points(checkpoints), *kept], projectors)
            _require_files(report, head, checkpoints)
        report.checkpoints = len(_points(checkpoints)) + len(kept)
    except StoreDamaged as error:
        report.add(Kind.DAMAGED, error.message)
    finally:
        reader.close()
    report.duration_s = clock.monotonic_s() - started_s
    return report


def _check(
    reader: StoreReader,
    report: Report,
    keys: Sequence[VerifierKey],
    points: Sequence[Checkpoint],
    projectors: Mapping[str, Projector] | None,
) -> None:
    tree = reader.tree()
    own = _own_checkpoint(tree, keys, report)
    wanted = {point.size: point.root for point in [*points, *([own] if own else [])]}
    scan = Scan(reader, report, wanted)
    rebuild = Rebuild(projectors) if projectors else None
    if rebuild is not None:
        scan.on_entry = rebuild.add
    try:
        scan.run()
    except StoreDamaged as error:
        report.add(Kind.DAMAGED, f"entries after {scan.last} cannot be read: {error.message}", scan.last + 1)
        return
    report.size = scan.last
    for damage in reader.damages():
        report.add(Kind.DAMAGED, f"the database finds itself damaged: {damage}")
    root = scan.root()
    report.root = root.hex() if root is not None else ""
    report.origin = own.origin if own else ""
    _check_ends(report, tree, scan.last, max((point.size for point in points), default=0))
    _check_forks(report, points)
    if report.good:
        _check_beyond(reader, report)
    if rebuild is not None and report.good:
        rebuild.compare(reader, report)


def _check_beyond(reader: StoreReader, report: Report) -> None:
    """The journal would come upon such a row later, and could not write its own."""
    for start, stop in ((-_FAR, 0), (report.size // CHUNK, _FAR)):
        for number, _ in reader.chunks(start, stop):
            message = f"the stored tree hash {number} is over entries that are not there: it was inserted"
            report.add(Kind.TREE_ALTERED, message)


def _own_checkpoint(tree: TreeRow, keys: Sequence[VerifierKey], report: Report) -> Checkpoint | None:
    if not tree.size:
        return None
    try:
        own = open_checkpoint(tree.note, keys)
        matches = own.size == tree.size and Frontier(tree.size, tree.peaks).root() == own.root
    except (Invalid, ValueError) as error:
        report.add(Kind.CHECKPOINT_FORGED, f"the database's own checkpoint is forged or damaged: {_said(error)}")
        return None
    if not matches:
        report.add(Kind.CHECKPOINT_FORGED, "the database's own checkpoint signs another tree than stands beside it")
    return own


def _check_ends(report: Report, tree: TreeRow, last: int, outside: int) -> None:
    if last > tree.size:
        many = f"entry {last} was" if last == tree.size + 1 else f"entries {tree.size + 1} to {last} were"
        report.add(Kind.INSERTED, f"{many} added after the last signed one, {tree.size}", tree.size + 1)
    elif last < tree.size:
        report.add(
            Kind.TRUNCATED,
            f"the newest entries are gone: {last + 1} to {tree.size}, which the database signed",
            last + 1,
        )
    if outside > tree.size:
        report.add(
            Kind.ROLLED_BACK,
            f"the database ends at entry {tree.size}, but {outside} were signed outside it: "
            "an older database was put back, or its newest entries were cut off",
            tree.size + 1,
        )


def _check_forks(report: Report, points: Sequence[Checkpoint]) -> None:
    """Two checkpoints of one size with different roots: one key signed two histories."""
    roots: dict[int, bytes] = {}
    for point in points:
        if roots.setdefault(point.size, point.root) != point.root:
            report.add(Kind.REWRITTEN, f"two histories of {point.size} entries were signed")


def _outside(
    files: JournalFiles, keys: Sequence[VerifierKey], known: Sequence[VerifierKey], report: Report
) -> tuple[Reading | None, Reading | None]:
    """Read before the database is: what it holds is then at least as new."""
    head = checkpoints = None
    try:
        head = read_head(files.head, keys)
        for wrong in head.wrong:
            report.add(Kind.HEAD_ALTERED, f"the head file was altered, or its writing was cut off: {wrong}")
    except FileNotFoundError:
        pass  # Whether it is missed depends on whether there are entries.
    try:
        checkpoints = read_checkpoints(files.checkpoints, known)
        for wrong in checkpoints.wrong:
            report.add(Kind.CHECKPOINT_FORGED, f"a recorded checkpoint is forged or damaged: {wrong}")
    except FileNotFoundError:
        pass  # The same.
    return head, checkpoints


def _require_no_signs(files: JournalFiles, trusted: Sequence[VerifierKey], report: Report, absent: StoreAbsent) -> None:
    """No journal is none that was cut off only where nothing outside it tells of one. Raises: StoreAbsent."""
    head, checkpoints = _outside(files, trusted, trusted, report)
    signed = max((point.size for point in (*_points(head), *_points(checkpoints))), default=0)
    if signed:
        what = f"{absent.message}, but {signed} entries were signed outside it: it was removed or emptied"
        report.add(Kind.ROLLED_BACK, what, 1)
    if report.good:
        raise absent


def _require_files(report: Report, head: Reading | None, checkpoints: Reading | None) -> None:
    if report.size and head is None:
        report.add(Kind.HEAD_MISSING, "the head file is missing: nothing outside the database says where it ends")
    if report.size and (checkpoints is None or not (checkpoints.good or checkpoints.wrong)):
        report.add(Kind.CHECKPOINTS_MISSING, "the file of checkpoints is missing, or empty")


def _points(reading: Reading | None) -> list[Checkpoint]:
    return [signed.checkpoint for signed in reading.good] if reading else []


def _rotations(reader: StoreReader) -> list[JsonObject]:
    found: list[JsonObject] = []
    after = 0
    while rows := reader.entries(EntryQuery(after=after, stream=SYSTEM_STREAM, kind="key.rotated")):
        after = rows[-1][0]
        found += [said_in(row) for row in rows]
    return found


def _with_successors(rotations: Sequence[JsonObject], trusted: Sequence[VerifierKey]) -> list[VerifierKey]:
    """The trusted keys, and those they signed over to in turn."""
    keys = list(trusted)
    for said in rotations:
        try:
            keys.append(successor(str(said.get("statement")), keys))
        except Invalid:
            continue  # Signed by a key that is not trusted: what it names is not trusted either.
    return keys


def _with_predecessors(rotations: Sequence[JsonObject], trusted: Sequence[VerifierKey]) -> list[VerifierKey]:
    """Those and the keys before them, for checkpoints of their time: the log that a trusted key
    signs says which they were.
    """
    keys = list(trusted)
    for said in reversed(rotations):
        try:
            if verifier_key(str(said.get("new"))) in keys:
                keys.append(verifier_key(str(said.get("old"))))
        except Invalid:
            continue  # An altered entry: the scan names it.
    return keys


@contextmanager
def _snapshot(reader: StoreReader) -> Generator[None]:
    reader.snapshot()
    try:
        yield
    finally:
        reader.release()


def _said(error: Exception) -> str:
    return error.message if isinstance(error, Invalid) else str(error)
