"""The journal in one SQLite file, through the standard library's driver.

Guarantees: write-ahead log with `synchronous=FULL`, so a commit that returned survives a power cut
(as far as the disk keeps its word; with `normal` it survives only the death of the process);
readers never wait for the writer. Erased contents are overwritten in the file (`secure_delete`), and the
write-ahead log is emptied after them, at the latest when the last reader of that moment is gone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Final, Literal, cast

from kernel.adapters.store import revision
from kernel.adapters.store.sql import SAID, Connection, SqlReader, SqlWriter
from kernel.errors import Invalid, JournalDown, KernelBug
from kernel.ports.store import StoreDamaged, StoreReader, StoreWriter

_LOCK_WAIT_S: Final = 5.0
_STATEMENTS: Final = 256

_REMEDIES: Final = (
    ("full", "free disk space under the home; the journal recovers by itself"),
    ("locked", "another program holds the database; close it, and the journal recovers by itself"),
    ("readonly", "make the database file and its folder writable for the user that runs Oxios"),
    ("unable to open", "check that the home exists and belongs to the user that runs Oxios"),
    ("disk I/O", "the disk fails: check `dmesg` and the free space"),
)


_DAMAGE: Final = ("malformed", "not a database", "corrupt")


class SqliteStore:
    """See `kernel.ports.store.Store`."""

    def __init__(
        self,
        path: Path,
        *,
        synchronous: Literal["full", "normal"] = "full",
        lock_wait_s: float = _LOCK_WAIT_S,
        pages_max: int | None = None,
    ) -> None:
        self._path = path
        self._synchronous = synchronous
        self._lock_wait_s = lock_wait_s
        self._pages_max = pages_max

    @property
    def address(self) -> str:
        return str(self._path)

    def prepare(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        with SQLITE.failures("open the journal"), closing(self._connect()) as connection:
            found = _revision(connection)
            if found is None:
                connection.execute("PRAGMA journal_mode=WAL")
                # `executescript` would commit first; the file is one transaction by itself.
                connection.executescript(resources.files("kernel.adapters.store").joinpath("schema.sql").read_text())
                found = _revision(connection)
        if found != revision.REVISION:
            from kernel.adapters.store.migrate import migrate  # noqa: PLC0415 -- costs 0.3 s, rarely needed

            migrate(f"sqlite:///{self._path}", self.address)

    def writer(self) -> StoreWriter:
        with SQLITE.failures("open the journal"):
            connection = self._connect()
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
            connection.execute("PRAGMA secure_delete=ON")
            if self._pages_max is not None:
                connection.execute(f"PRAGMA max_page_count={self._pages_max:d}")
            revision.require(_revision(connection), self.address)
        return SqlWriter(cast("Connection", connection), SQLITE)

    def reader(self) -> StoreReader:
        if not self._path.is_file():
            revision.require(None, self.address)
        with SQLITE.failures("open the journal"):
            connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
            # A text whose bytes were altered must be readable, so that an audit can name its entry.
            connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
            revision.require(_revision(connection), self.address)
        return SqlReader(cast("Connection", connection), SQLITE)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._path,
            timeout=self._lock_wait_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_STATEMENTS,
        )


class _Sqlite:
    mark = "?"
    begin = "BEGIN IMMEDIATE"
    begin_read = "BEGIN"
    # In this order, the index's own: it then stops after as many as are wanted.
    said = (
        (
            "SELECT m.seq, m.session FROM message_terms CROSS JOIN messages m ON m.seq = message_terms.rowid "  # noqa: S608 -- no input in it
            "CROSS JOIN sessions s ON s.id = m.session WHERE message_terms MATCH ? AND s.owner = ? "
            f"AND {SAID} AND message_terms.rowid < ? ORDER BY message_terms.rowid DESC LIMIT ?"
        ),
    )

    def asked(self, terms: Sequence[str]) -> str:
        return " AND ".join([f'"{terms[0]}"', *(f'"{term}"*' for term in terms[1:])])

    @contextmanager
    def failures(self, doing: str) -> Generator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise KernelBug(f"a row was refused by the journal's tables: {error}") from error
        except UnicodeEncodeError as error:
            raise Invalid("half a surrogate pair is no text", remedy="use well-formed Unicode") from error
        except sqlite3.ProgrammingError as error:
            raise JournalDown(
                f"could not {doing}: {error}", remedy="the journal was closed: start Oxios again"
            ) from error
        except sqlite3.Error as error:
            text = str(error)
            if any(word in text for word in _DAMAGE):
                raise StoreDamaged(
                    f"could not {doing}: SQLite says {text!r}",
                    remedy="the file is damaged: stop, keep it as evidence, and restore a backup",
                ) from error
            remedy = next((remedy for word, remedy in _REMEDIES if word in text), "run `oxios doctor`")
            raise JournalDown(f"could not {doing}: SQLite says {text!r}", remedy=remedy, retry_after_s=1.0) from error

    def damages(self, connection: Connection) -> list[str]:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(10)").fetchall()]
        return [] if found == ["ok"] else found

    def forget(self, connection: Connection) -> None:
        """Erased words stay in the index until its parts are merged, and in the write-ahead log until
        that is emptied: do both, the latter unless a reader is in the way.
        """
        connection.execute("INSERT INTO message_terms (message_terms) VALUES ('optimize')")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


SQLITE: Final = _Sqlite()


def _revision(connection: sqlite3.Connection) -> str | None:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    row = connection.execute(revision.SELECT).fetchone() if known else None
    return None if row is None else str(row[0])
