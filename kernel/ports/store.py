"""The store port: the database under the journal, as plain synchronous calls.

A writer is used by the committer's thread alone, a reader by one thread at a time. A store knows
rows and transactions, never hashing: what it is given it keeps, and what it kept it gives back.

Every failure of the database is raised as JournalDown, with the cause and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from kernel.errors import Invalid, JournalDown, KernelBug

Scalar: TypeAlias = "int | float | str | None"

Filter: TypeAlias = "Mapping[str, Scalar | tuple[Scalar, ...]]"
"""By column: the value that it has, or those of which it has one."""

EntryRow: TypeAlias = tuple[int, int, str, str, str, bytes, bytes | None, bytes, bytes | None]
"""seq, time_us, principal, stream, kind, digest, blobs (digests joined, None for none), leaf hash,
payload (canonical bytes; None where erased)."""

LeafRow: TypeAlias = tuple[int, bytes]
"""seq, leaf hash."""

PROJECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "runs": (
        *("id", "seed", "owner", "status", "goal", "persona", "model", "workspace"),
        *("started_us", "updated_us", "finished_us", "turns", "note", "verdict"),
    ),
    "seeds": ("id", "parent", "generation", "goal", "created_us", "digest", "source"),
    "approvals": (
        *("id", "run", "call", "owner", "status", "choice", "question"),
        *("asked_us", "expires_us", "answered_us", "answered_by", "reason"),
    ),
    "capabilities": (
        *("id", "holder", "resource", "rights", "parent"),
        *("expires_us", "uses", "uses_left", "origin", "revoked"),
    ),
    "sessions": (
        *("id", "name", "owner", "status", "model", "persona", "workspace"),
        *("created_us", "updated_us", "turns", "opening"),
        *("pinned", "named", "parent", "parent_turn"),
    ),
    "messages": ("seq", "session", "turn", "role", "terms"),
    "users": ("name", "role", "workspace", "created_us", "created_by", "changed_us", "removed_us"),
    "tokens": (
        *("id", "owner", "name", "scopes", "digest", "created_us", "created_by"),
        *("expires_us", "revoked_us"),
    ),
    "state": ("key", "value"),
}
"""The columns of each projection, its key first: what changes may name and `rows` gives back. The
stores' own declarations are tested against this."""


class StoreDamaged(JournalDown):
    """The database's file is not what its own format allows: waiting will not help."""


class StoreAbsent(JournalDown):
    """There is no journal in the database."""


class StoreOutdated(JournalDown):
    """An earlier release made the tables; `Store.prepare` brings them up to date."""


class RowChange(Protocol):
    """An upsert: insert `key | values`, or change `values` of the row that has `key`."""

    @property
    def table(self) -> str: ...

    @property
    def key(self) -> Mapping[str, Scalar]: ...

    @property
    def values(self) -> Mapping[str, Scalar]: ...


@dataclass(frozen=True, slots=True)
class TreeRow:
    """Where the log stands: written in the transaction of the entries it counts.

    `peaks` are the roots of the perfect subtrees, largest first, 32 bytes each; `note` is the
    signed checkpoint of exactly this size ("" before the first entry).
    """

    size: int = 0
    time_us: int = 0
    peaks: bytes = b""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction writes; all of it or nothing."""

    tree: TreeRow
    entries: Sequence[EntryRow] = ()
    blobs: Sequence[tuple[bytes, bytes]] = ()
    """Digest and content; one that is there already is left as it is."""
    chunks: Sequence[tuple[int, bytes]] = ()
    """Number (from 0) and root of each subtree of 256 leaves that these entries completed."""
    changes: Sequence[RowChange] = ()
    erase: Sequence[bytes] = ()
    """Digests whose payloads and blobs lose their content."""


@dataclass(frozen=True, slots=True)
class EntryQuery:
    """Which entries: those after `after`, narrowed by each field that is set, in order of seq.

    Those before `before`, where it is not 0; with `descending` the newest first.
    """

    after: int = 0
    limit: int = 1000
    stream: str | None = None
    kind: str | None = None
    principal: str | None = None
    before: int = 0
    descending: bool = False


@dataclass(frozen=True, slots=True)
class RowQuery:
    """Which rows of a projection; `order` is a column's name, or empty for the primary key.

    `after` is the order column's value and the key of a row: those that follow it are meant. Rows
    whose order column is empty are none of them.
    """

    table: str
    where: Filter
    order: str = ""
    descending: bool = False
    limit: int = 1000
    after: tuple[Scalar, Scalar] | None = None


@dataclass(frozen=True, slots=True)
class SaidQuery:
    """Messages of one owner's sessions in which each of `terms` begins a term, the newest first.

    Those before entry `before`, where that is not 0. Of deleted sessions none, and of names the
    present ones alone.
    """

    owner: str
    terms: tuple[str, ...]
    before: int = 0
    limit: int = 100


class StoreWriter(Protocol):
    """The one connection that writes."""

    def commit(self, batch: Batch) -> None:
        """Durable when it returns.

        Raises: KernelBug, for a change that fits no projection. JournalDown, and then nothing of it
        was written, unless the database fell silent during the commit itself: `tree` tells.
        """
        ...

    def tree(self) -> TreeRow: ...

    def probe(self) -> None:
        """Really write and remove as much as the largest payload. Raises: JournalDown."""
        ...

    def close(self) -> None: ...


class StoreReader(Protocol):
    """One connection that reads committed state."""

    def tree(self) -> TreeRow: ...

    def entries(self, query: EntryQuery) -> list[EntryRow]: ...

    def scan(self, after: int = 0) -> Iterator[EntryRow]:
        """Every entry after `after`, in order of seq, without holding them all in memory."""
        ...

    def leaves(self, start: int, stop: int) -> list[LeafRow]:
        """Those with start < seq <= stop, in order."""
        ...

    def chunks(self, start: int, stop: int) -> list[tuple[int, bytes]]:
        """Those with start <= number < stop, in order."""
        ...

    def rows(self, query: RowQuery) -> list[dict[str, Scalar]]:
        """Raises: Invalid, where the table is no projection or has no such column."""
        ...

    def said(self, query: SaidQuery) -> list[tuple[int, str]]:
        """Entry number and session of each."""
        ...

    def blob(self, digest: bytes) -> bytes | None: ...

    def blobs(self) -> Iterator[tuple[bytes, bytes]]: ...

    def entries_of(self, digest: bytes) -> list[EntryRow]:
        """The entries whose payload has this digest and is still there, in order of seq."""
        ...

    def damages(self) -> list[str]:
        """What the database itself finds wrong with its file or its indexes."""
        ...

    def snapshot(self) -> None:
        """From here on see one state, whatever others write, until `release`."""
        ...

    def release(self) -> None: ...

    def close(self) -> None: ...


class Store(Protocol):
    """One database, by its address."""

    @property
    def address(self) -> str:
        """For a person to read; never a password."""
        ...

    def prepare(self) -> None:
        """Make the tables, or bring them to this program's revision. Raises: JournalDown."""
        ...

    def writer(self) -> StoreWriter:
        """Raises: JournalDown; InstanceLocked, where the store itself knows another writer."""
        ...

    def reader(self) -> StoreReader:
        """Raises: JournalDown, also where the tables are not there or of another revision."""
        ...


def check_change(change: RowChange) -> None:
    """Names come from projectors, which are ours: a wrong one is a bug. Raises: KernelBug."""
    columns = PROJECTIONS.get(change.table)
    if columns is None:
        raise KernelBug(f"{change.table!r} is no projection")
    unknown = [name for name in (*change.key, *change.values) if name not in columns]
    if unknown or tuple(change.key) != columns[:1] or columns[0] in change.values:
        raise KernelBug(f"projection {change.table} is changed by {columns[0]}, not {[*change.key, *change.values]}")


def check_query(query: RowQuery) -> tuple[str, ...]:
    """The columns of what is asked for. Raises: Invalid, where there is no such table or column."""
    columns = PROJECTIONS.get(query.table)
    if columns is None:
        raise Invalid(f"{query.table!r} is no projection", remedy=f"use one of {', '.join(PROJECTIONS)}")
    wanted = [*query.where, query.order] if query.order else [*query.where]
    unknown = [name for name in wanted if name not in columns]
    if unknown:
        raise Invalid(f"{query.table} has no column {unknown[0]!r}", remedy=f"its columns are {', '.join(columns)}")
    return columns
