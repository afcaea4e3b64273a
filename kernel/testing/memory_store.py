"""A store in memory that passes the same contract as the real ones; for tests that need no disk.

It keeps what it is given across reopening, as a disk would, while the object lives.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from threading import Lock

from kernel.errors import InstanceLocked
from kernel.ports.store import (
    PROJECTIONS,
    Batch,
    EntryQuery,
    EntryRow,
    LeafRow,
    RowQuery,
    SaidQuery,
    Scalar,
    StoreReader,
    StoreWriter,
    TreeRow,
    check_change,
    check_query,
)
from kernel.terms import whose


@dataclass(slots=True)
class _Tables:
    tree: TreeRow = field(default_factory=TreeRow)
    entries: dict[int, EntryRow] = field(default_factory=dict[int, EntryRow])
    blobs: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    chunks: dict[int, bytes] = field(default_factory=dict[int, bytes])
    rows: dict[str, dict[Scalar, dict[str, Scalar]]] = field(
        default_factory=lambda: {table: dict[Scalar, dict[str, Scalar]]() for table in PROJECTIONS}
    )


class MemoryStore:
    """See `kernel.ports.store.Store`."""

    address = "memory"

    def __init__(self) -> None:
        self.tables = _Tables()
        self.lock = Lock()
        self.writing = False

    def prepare(self) -> None:
        """Nothing to make: the tables are there."""

    def writer(self) -> StoreWriter:
        with self.lock:
            if self.writing:
                raise InstanceLocked("another writer has this store", remedy="close it first")
            self.writing = True
        return _Writer(self)

    def reader(self) -> StoreReader:
        return _Reader(self)


class _Writer:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def commit(self, batch: Batch) -> None:
        for change in batch.changes:
            check_change(change)
        with self._store.lock:
            tables = self._store.tables
            tables.entries.update((row[0], row) for row in batch.entries)
            for digest, content in batch.blobs:
                tables.blobs.setdefault(digest, content)
            tables.chunks.update(batch.chunks)
            for change in batch.changes:
                columns = PROJECTIONS[change.table]
                row = tables.rows[change.table].setdefault(change.key[columns[0]], _new_row(columns))
                row |= {**change.key, **change.values}
            for digest in batch.erase:
                _erase(tables, digest)
            tables.tree = batch.tree

    def tree(self) -> TreeRow:
        return self._store.tables.tree

    def probe(self) -> None:
        """Memory can always be written."""

    def close(self) -> None:
        self._store.writing = False


class _Reader:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._frozen: _Tables | None = None

    @property
    def _tables(self) -> _Tables:
        return self._store.tables if self._frozen is None else self._frozen

    def tree(self) -> TreeRow:
        return self._tables.tree

    def entries(self, query: EntryQuery) -> list[EntryRow]:
        with self._store.lock:
            found = [row for row in self._sorted() if row[0] > query.after and _fits(row, query)]
        if query.descending:
            found.reverse()
        return found[: query.limit]

    def scan(self, after: int = 0) -> Iterator[EntryRow]:
        with self._store.lock:
            rows = self._sorted()
        yield from (row for row in rows if row[0] > after)

    def leaves(self, start: int, stop: int) -> list[LeafRow]:
        with self._store.lock:
            return [(row[0], row[7]) for row in self._sorted() if start < row[0] <= stop]

    def chunks(self, start: int, stop: int) -> list[tuple[int, bytes]]:
        with self._store.lock:
            return [(number, root) for number, root in sorted(self._tables.chunks.items()) if start <= number < stop]

    def rows(self, query: RowQuery) -> list[dict[str, Scalar]]:
        columns = check_query(query)
        with self._store.lock:
            rows = [deepcopy(row) for row in self._tables.rows[query.table].values()]
        found = [row for row in rows if all(_is(row[name], value) for name, value in query.where.items())]
        order = query.order or columns[0]

        def place(row: dict[str, Scalar]) -> tuple[object, ...]:
            return (_sort_key(row[order]), _sort_key(row[columns[0]]))

        found.sort(key=place, reverse=query.descending)
        if query.after is not None:
            last = (_sort_key(query.after[0]), _sort_key(query.after[1]))
            beyond = [row for row in found if row[order] is not None]
            found = [row for row in beyond if (place(row) < last if query.descending else place(row) > last)]
        return found[: query.limit]

    def said(self, query: SaidQuery) -> list[tuple[int, str]]:
        with self._store.lock:
            messages = sorted(
                self._tables.rows["messages"].values(), key=lambda row: int(row["seq"] or 0), reverse=True
            )
            sessions = deepcopy(self._tables.rows["sessions"])
        found = [(int(row["seq"] or 0), str(row["session"])) for row in messages if _says(row, sessions, query)]
        return [one for one in found if not query.before or one[0] < query.before][: query.limit]

    def blob(self, digest: bytes) -> bytes | None:
        return self._tables.blobs.get(digest)

    def blobs(self) -> Iterator[tuple[bytes, bytes]]:
        with self._store.lock:
            found = sorted(self._tables.blobs.items())
        yield from found

    def entries_of(self, digest: bytes) -> list[EntryRow]:
        with self._store.lock:
            return [row for row in self._sorted() if row[5] == digest and row[8] is not None]

    def damages(self) -> list[str]:
        return []

    def snapshot(self) -> None:
        with self._store.lock:
            self._frozen = deepcopy(self._store.tables)

    def release(self) -> None:
        self._frozen = None

    def close(self) -> None:
        self._frozen = None

    def _sorted(self) -> list[EntryRow]:
        return [row for _, row in sorted(self._tables.entries.items())]


def _says(row: dict[str, Scalar], sessions: dict[Scalar, dict[str, Scalar]], query: SaidQuery) -> bool:
    session = sessions.get(row["session"], {})
    if session.get("owner") != query.owner or session.get("status") == "deleted":
        return False
    if row["role"] == "name" and row["seq"] != session.get("named"):
        return False
    terms = str(row["terms"] or "").split(" ")
    return whose(query.owner) in terms and all(any(one.startswith(term) for one in terms) for term in query.terms)


def _new_row(columns: tuple[str, ...]) -> dict[str, Scalar]:
    counts = {"turns", "generation", "revoked", "pinned"}
    return {name: 0 if name in counts else None for name in columns}


def _erase(tables: _Tables, digest: bytes) -> None:
    tables.blobs.pop(digest, None)
    for seq, row in tables.entries.items():
        if row[5] == digest:
            tables.entries[seq] = (*row[:8], None)


def _fits(row: EntryRow, query: EntryQuery) -> bool:
    wanted = ((query.principal, row[2]), (query.stream, row[3]), (query.kind, row[4]))
    before = not query.before or row[0] < query.before
    return before and all(value is None or value == found for value, found in wanted)


def _is(found: Scalar, wanted: Scalar | tuple[Scalar, ...]) -> bool:
    return found in wanted if isinstance(wanted, tuple) else found == wanted


def _sort_key(value: Scalar) -> tuple[int, float, str]:
    """Empty first, as SQLite sorts; then numbers, then texts."""
    if value is None:
        return (0, 0.0, "")
    return (1, float(value), "") if isinstance(value, (int, float)) else (2, 0.0, value)
