"""What SQLite and PostgreSQL have in common: the statements, and the order they run in.

Guarantees: a batch is one transaction; many rows go in few statements, because each statement lets
go of the interpreter lock and a busy event loop gives it back only after its switch interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from typing import Any, Final, Protocol

from kernel.errors import JournalDown
from kernel.limits import ENTRY_PAYLOAD_BYTES_MAX
from kernel.ports.store import (
    Batch,
    EntryQuery,
    EntryRow,
    LeafRow,
    RowChange,
    RowQuery,
    SaidQuery,
    Scalar,
    TreeRow,
    check_change,
    check_query,
)
from kernel.terms import whose

_ENTRY: Final = ("seq", "time_us", "principal", "stream", "kind", "digest", "blobs", "leaf", "payload")
_ENTRY_LIST: Final = ", ".join(_ENTRY)
_ROWS_MAX: Final = 128
"""Rows of one INSERT: 128 × 13 values stay far below either database's bound on parameters."""
_FETCH: Final = 512
_SEQ_MAX: Final = 2**63 - 1
SAID: Final = "s.status <> 'deleted' AND (m.role <> 'name' OR m.seq = s.named)"
"""Which of the messages that have the terms are meant: those of live sessions, and of names the present ones."""


class Cursor(Protocol):
    def fetchone(self) -> Any: ...
    def fetchmany(self, size: int = ..., /) -> list[Any]: ...
    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """The part of DB-API that both drivers share."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor: ...
    def close(self) -> None: ...


class Dialect(Protocol):
    """What differs between the two."""

    @property
    def mark(self) -> str:
        """How a parameter is written."""
        ...

    @property
    def begin(self) -> str: ...

    @property
    def begin_read(self) -> str: ...

    @property
    def said(self) -> tuple[str, ...]:
        """Which messages have certain terms, as statements of four parameters.

        They are what `asked` gives, the owner, the number to stay below, and how many. The first
        that finds as many is taken, else the last.
        """
        ...

    def asked(self, terms: Sequence[str]) -> str:
        """Terms, the first whole and the others as beginnings, as the database's own index is asked."""
        ...

    def damages(self, connection: Connection) -> list[str]:
        """What the database itself finds wrong with its file."""
        ...

    def forget(self, connection: Connection) -> None:
        """Content was erased: drop what copies of it the database can reach."""
        ...

    def failures(self, doing: str) -> AbstractContextManager[None]:
        """Turn the driver's errors into JournalDown, and a refused row into KernelBug."""
        ...


class SqlWriter:
    """See `kernel.ports.store.StoreWriter`."""

    def __init__(self, connection: Connection, dialect: Dialect, on_close: Callable[[], None] | None = None) -> None:
        self._connection = connection
        self._dialect = dialect
        self._on_close = on_close

    def commit(self, batch: Batch) -> None:
        for change in batch.changes:
            check_change(change)
        with self._dialect.failures("write the journal"):
            self._connection.execute(self._dialect.begin)
            try:
                self._write(batch)
                self._connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            if batch.erase:
                self._dialect.forget(self._connection)

    def tree(self) -> TreeRow:
        with self._dialect.failures("read the journal"):
            return _tree(self._connection)

    def probe(self) -> None:
        mark = self._dialect.mark
        with self._dialect.failures("write the journal again"):
            self._connection.execute("DELETE FROM probe")
            content = bytes(ENTRY_PAYLOAD_BYTES_MAX)
            self._connection.execute(f"INSERT INTO probe (id, content) VALUES (1, {mark})", (content,))  # noqa: S608 -- no input in it
            self._connection.execute("DELETE FROM probe")

    def close(self) -> None:
        with self._dialect.failures("close the journal"):
            self._connection.close()
        if self._on_close is not None:
            self._on_close()

    def _roll_back(self) -> None:
        # A lost connection cannot roll back; the database then does it by itself.
        with suppress(JournalDown), self._dialect.failures("roll back"):
            self._connection.execute("ROLLBACK")

    def _write(self, batch: Batch) -> None:
        self._insert("entries", _ENTRY, batch.entries)
        self._insert("blobs", ("digest", "content"), batch.blobs, " ON CONFLICT (digest) DO NOTHING")
        self._insert("chunks", ("number", "root"), batch.chunks)
        for (table, key, values), rows in _grouped(batch.changes).items():
            self._insert(table, (*key, *values), rows, _on_conflict(key, values))
        mark = self._dialect.mark
        for digest in batch.erase:
            self._connection.execute(f"UPDATE entries SET payload = NULL WHERE digest = {mark}", (digest,))  # noqa: S608 -- no input in it
            self._connection.execute(f"DELETE FROM blobs WHERE digest = {mark}", (digest,))  # noqa: S608 -- no input in it
        tree = batch.tree
        self._connection.execute(_tree_sql(mark), (1, tree.size, tree.time_us, tree.peaks, tree.note))

    def _insert(self, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[Any]], tail: str = "") -> None:
        start, left = 0, len(rows)
        while left:
            count = min(1 << (left.bit_length() - 1), _ROWS_MAX)
            sql = _insert_sql(table, columns, tail, count, self._dialect.mark)
            flat = [value for row in rows[start : start + count] for value in row]
            self._connection.execute(sql, flat)
            start, left = start + count, left - count


class SqlReader:
    """See `kernel.ports.store.StoreReader`."""

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    def tree(self) -> TreeRow:
        with self._dialect.failures("read the journal"):
            return _tree(self._connection)

    def entries(self, query: EntryQuery) -> list[EntryRow]:
        mark = self._dialect.mark
        wanted = {"stream": query.stream, "kind": query.kind, "principal": query.principal}
        narrowed = {column: value for column, value in wanted.items() if value is not None}
        where = "".join(f" AND {column} = {mark}" for column in narrowed)
        end = f" AND seq < {mark}" if query.before else ""
        order = "seq DESC" if query.descending else "seq"
        sql = f"SELECT {_ENTRY_LIST} FROM entries WHERE seq > {mark}{where}{end} ORDER BY {order} LIMIT {mark}"  # noqa: S608 -- fixed names and marks
        bounds = (query.before,) if query.before else ()
        return self._all(sql, (query.after, *narrowed.values(), *bounds, query.limit))

    def scan(self, after: int = 0) -> Iterator[EntryRow]:
        mark = self._dialect.mark
        sql = f"SELECT {_ENTRY_LIST} FROM entries WHERE seq > {mark} ORDER BY seq LIMIT {_FETCH}"  # noqa: S608 -- fixed names and marks
        while rows := self._all(sql, (after,)):
            yield from rows
            after = rows[-1][0]

    def leaves(self, start: int, stop: int) -> list[LeafRow]:
        mark = self._dialect.mark
        sql = f"SELECT seq, leaf FROM entries WHERE seq > {mark} AND seq <= {mark} ORDER BY seq"  # noqa: S608 -- marks
        return self._all(sql, (start, stop))

    def chunks(self, start: int, stop: int) -> list[tuple[int, bytes]]:
        mark = self._dialect.mark
        sql = f"SELECT number, root FROM chunks WHERE number >= {mark} AND number < {mark} ORDER BY number"  # noqa: S608 -- marks
        return self._all(sql, (start, stop))

    def rows(self, query: RowQuery) -> list[dict[str, Scalar]]:
        columns = check_query(query)
        return [dict(zip(columns, row, strict=True)) for row in self._rows(query, columns)]

    def said(self, query: SaidQuery) -> list[tuple[int, str]]:
        asked = self._dialect.asked((whose(query.owner), *query.terms))
        below = query.before or _SEQ_MAX
        found: list[Any] = []
        for statement in self._dialect.said:
            found = self._all(statement, (asked, query.owner, below, query.limit))
            if len(found) == query.limit:
                break
        return [(row[0], row[1]) for row in found]

    def blob(self, digest: bytes) -> bytes | None:
        found = self._all(f"SELECT content FROM blobs WHERE digest = {self._dialect.mark}", (digest,))  # noqa: S608 -- marks
        return bytes(found[0][0]) if found else None

    def blobs(self) -> Iterator[tuple[bytes, bytes]]:
        mark, last = self._dialect.mark, b""
        sql = f"SELECT digest, content FROM blobs WHERE digest > {mark} ORDER BY digest LIMIT 16"  # noqa: S608 -- marks
        while rows := self._all(sql, (last,)):
            yield from rows
            last = rows[-1][0]

    def entries_of(self, digest: bytes) -> list[EntryRow]:
        where = f"digest = {self._dialect.mark} AND payload IS NOT NULL"
        sql = f"SELECT {_ENTRY_LIST} FROM entries WHERE {where} ORDER BY seq"  # noqa: S608 -- fixed names and marks
        return self._all(sql, (digest,))

    def damages(self) -> list[str]:
        with self._dialect.failures("check the journal"):
            return self._dialect.damages(self._connection)

    def snapshot(self) -> None:
        with self._dialect.failures("read the journal"):
            self._connection.execute(self._dialect.begin_read)

    def release(self) -> None:
        with self._dialect.failures("read the journal"):
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        with self._dialect.failures("close the journal"):
            self._connection.close()

    def _rows(self, query: RowQuery, columns: tuple[str, ...]) -> list[Any]:
        mark = self._dialect.mark
        tests: list[str] = []
        for column, value in query.where.items():
            if value == ():
                return []
            marks = f"IN ({', '.join([mark] * len(value))})" if isinstance(value, tuple) else f"= {mark}"
            tests.append(f'"{column}" IS NULL' if value is None else f'"{column}" {marks}')
        order = query.order or columns[0]
        if query.after is not None:
            sign = "<" if query.descending else ">"
            tests.append(f'("{order}", "{columns[0]}") {sign} ({mark}, {mark})')
        where = f" WHERE {' AND '.join(tests)}" if tests else ""
        direction = "DESC" if query.descending else "ASC"
        listed = ", ".join(f'"{column}"' for column in columns)
        sql = (
            f"SELECT {listed} FROM {query.table}{where} "  # noqa: S608 -- names were checked against the table
            f'ORDER BY "{order}" {direction}, "{columns[0]}" {direction} LIMIT {mark}'
        )
        values: list[Scalar] = []
        for value in query.where.values():
            values += value if isinstance(value, tuple) else () if value is None else (value,)
        return self._all(sql, (*values, *(query.after or ()), query.limit))

    def _all(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        with self._dialect.failures("read the journal"):
            return self._connection.execute(sql, parameters).fetchall()


_Shape = tuple[str, tuple[str, ...], tuple[str, ...]]


def _grouped(changes: Sequence[RowChange]) -> dict[_Shape, list[list[Scalar]]]:
    """One row a key (later changes win), gathered by the statement they share."""
    merged: dict[tuple[str, tuple[tuple[str, Scalar], ...]], dict[str, Scalar]] = {}
    for change in changes:
        row = merged.setdefault((change.table, tuple(sorted(change.key.items()))), {})
        row.update(change.values)
    groups: dict[_Shape, list[list[Scalar]]] = {}
    for (table, key), values in merged.items():
        names = tuple(sorted(values))
        shape = (table, tuple(name for name, _ in key), names)
        groups.setdefault(shape, []).append([*(value for _, value in key), *(values[name] for name in names)])
    return groups


@lru_cache(maxsize=256)
def _on_conflict(key: tuple[str, ...], values: tuple[str, ...]) -> str:
    target = ", ".join(f'"{name}"' for name in key)
    if not values:
        return f" ON CONFLICT ({target}) DO NOTHING"
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in values)
    return f" ON CONFLICT ({target}) DO UPDATE SET {changes}"


@lru_cache(maxsize=512)
def _insert_sql(table: str, columns: tuple[str, ...], tail: str, count: int, mark: str) -> str:
    row = "(" + ", ".join([mark] * len(columns)) + ")"
    names = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT INTO {table} ({names}) VALUES {', '.join([row] * count)}{tail}"  # noqa: S608 -- names were checked against the table


@lru_cache(maxsize=2)
def _tree_sql(mark: str) -> str:
    return _insert_sql(
        "tree",
        ("id", "size", "time_us", "peaks", "note"),
        _on_conflict(("id",), ("size", "time_us", "peaks", "note")),
        1,
        mark,
    )


def _tree(connection: Connection) -> TreeRow:
    row = connection.execute("SELECT size, time_us, peaks, note FROM tree WHERE id = 1").fetchone()
    return TreeRow() if row is None else TreeRow(row[0], row[1], bytes(row[2]), row[3])
