"""The journal in PostgreSQL, by URL, through psycopg 3 (the extra `postgres`).

Guarantees: `synchronous_commit=on`, so a commit that returned is in the server's synced log; one
writer a database, by an advisory lock of the writing session. Every wait has a deadline.
Does not protect against a server run with `fsync=off`, and cannot overwrite erased contents: they
leave the server's files when it vacuums and recycles its log.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from typing import Final, cast
from urllib.parse import urlsplit, urlunsplit

import psycopg

from kernel.adapters.store import revision
from kernel.adapters.store.sql import SAID, Connection, SqlReader, SqlWriter
from kernel.errors import InstanceLocked, JournalDown, KernelBug
from kernel.ports.store import StoreReader, StoreWriter

_CONNECT_S: Final = 10
_STATEMENT_S: Final = 60
_NEWEST: Final = 4_000
_LOCK_KEY: Final = 0x6F78696F73  # "oxios"

_REMEDIES: Final = {
    "08": "the server cannot be reached: the journal recovers when it can",
    "28": "check user and password in journal.url",
    "3D": "create the database named in journal.url",
    "53": "free disk space or connections on the server; the journal recovers by itself",
    "57": "the server is stopping: the journal recovers when it is back",
    "25": "the server accepts no writes: point journal.url at the primary",
}


class PostgresStore:
    """See `kernel.ports.store.Store`."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def address(self) -> str:
        parts = urlsplit(self._url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))

    def prepare(self) -> None:
        with POSTGRES.failures("open the journal"), closing(self._connect()) as connection:
            found = _revision(connection)
        if revision.outdated(found, self.address):
            from kernel.adapters.store.migrate import migrate  # noqa: PLC0415 -- costs 0.3 s, rarely needed

            migrate(self._url.replace("://", "+psycopg://", 1), self.address)

    def writer(self) -> StoreWriter:
        with POSTGRES.failures("open the journal"):
            connection = self._connect()
            try:
                connection.execute("SET synchronous_commit = on")
                revision.require(_revision(connection), self.address)
                _take_lock(connection, self.address)
            except BaseException:
                connection.close()
                raise
        return SqlWriter(cast("Connection", connection), POSTGRES)

    def reader(self) -> StoreReader:
        with POSTGRES.failures("open the journal"):
            connection = self._connect()
            try:
                revision.require(_revision(connection), self.address)
                connection.execute("SET default_transaction_read_only = on")
            except BaseException:
                connection.close()
                raise
        return SqlReader(cast("Connection", connection), POSTGRES)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            self._url,
            autocommit=True,
            connect_timeout=_CONNECT_S,
            application_name="oxios",
            options=f"-c statement_timeout={_STATEMENT_S}s -c lock_timeout={_CONNECT_S}s",
        )


class _Postgres:
    mark = "%s"
    begin = "BEGIN"
    begin_read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    # A word that is everywhere is found among the newest; of others the index gives all there are, which
    # are sorted then. Materialized: else the planner may walk all messages where there are few hits.
    said = (
        (
            "SELECT m.seq, m.session FROM (SELECT %s::tsquery AS asked, %s AS owner, %s::bigint AS below) q "  # noqa: S608 -- no input in it
            "CROSS JOIN LATERAL (SELECT seq, session, role, vector FROM messages WHERE seq < q.below "
            f"ORDER BY seq DESC LIMIT {_NEWEST}) m JOIN sessions s ON s.id = m.session "
            f"WHERE m.vector @@ q.asked AND s.owner = q.owner AND {SAID} ORDER BY m.seq DESC LIMIT %s"
        ),
        (
            "WITH m AS MATERIALIZED (SELECT seq, session, role FROM messages WHERE vector @@ %s::tsquery) "  # noqa: S608 -- no input in it
            "SELECT m.seq, m.session FROM m JOIN sessions s ON s.id = m.session WHERE s.owner = %s "
            f"AND {SAID} AND m.seq < %s ORDER BY m.seq DESC LIMIT %s"
        ),
    )

    def asked(self, terms: Sequence[str]) -> str:
        return " & ".join([f"'{terms[0]}'", *(f"'{term}':*" for term in terms[1:])])

    @contextmanager
    def failures(self, doing: str) -> Generator[None]:
        try:
            yield
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            raise KernelBug(f"a row was refused by the journal's tables: {error}") from error
        except psycopg.Error as error:
            remedy = _REMEDIES.get((error.sqlstate or "08")[:2], "look into the server's log")
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise JournalDown(
                f"could not {doing}: PostgreSQL says {said[0]!r}", remedy=remedy, retry_after_s=1.0
            ) from error

    def damages(self, connection: Connection) -> list[str]:
        """The server checks its pages as it reads them; it offers no check of ours to run."""
        connection.execute("SELECT 1")
        return []

    def forget(self, connection: Connection) -> None:
        """Have dead rows freed; their bytes stay in the server's files until they are overwritten."""
        connection.execute("VACUUM entries, blobs, messages")


POSTGRES: Final = _Postgres()


def _take_lock(connection: psycopg.Connection, address: str) -> None:
    taken = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK_KEY,)).fetchone()
    if taken == (True,):
        return
    holder = connection.execute(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND (classid::bigint << 32) + objid::bigint = %s",
        (_LOCK_KEY,),
    ).fetchone()
    raise InstanceLocked(
        f"another Oxios writes to {address}: server process {'unknown' if holder is None else holder[0]}",
        remedy="stop it, or give this one another database in journal.url",
    )


def _revision(connection: psycopg.Connection) -> str | None:
    known = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
    row = connection.execute(revision.SELECT).fetchone() if known == (True,) else None
    return None if row is None else str(row[0])
