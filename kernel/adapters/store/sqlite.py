"""The journal in one SQLite file, through the standard library's driver.

Guarantees: write-ahead log with `synchronous=FULL`, so a commit that returned survives a power cut
(as far as the disk keeps its word; with `normal` it survives only the death of the process);
readers never wait for the writer, and read a journal that they may not write. Erased contents are
overwritten in the file (`secure_delete`), and the write-ahead log is emptied after them, at the latest
when the last reader of that moment is gone.
"""

from __future__ import annotations

import os
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
LOG_BYTES_KEPT: Final = 8 * 1024 * 1024
"""Of the write-ahead log: it grows while somebody reads an old moment, and gives that space back once they are gone."""

_REMEDIES: Final = (
    ("full", "free disk space under the home; the journal recovers by itself"),
    ("locked", "another program holds the database; close it, and the journal recovers by itself"),
    ("readonly", "make the database file and its folder writable for the user that runs Oxios"),
    ("unable to open", "check that the home exists and belongs to the user that runs Oxios"),
    ("disk I/O", "the disk fails: check `dmesg`"),
)
_ROOM_BYTES_MIN: Final = 256 * 1024
"""With less left on the disk, that is why SQLite cannot make its files beside the database."""


_DAMAGE: Final = ("malformed", "not a database", "corrupt", "no such table", "no such column", "has no column")
"""The last three: the revision is ours, so a table that is not was altered."""


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
        self._dialect = _Sqlite(path)

    @property
    def address(self) -> str:
        return str(self._path)

    def prepare(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        with self._dialect.failures("open the journal"), closing(self._connect()) as connection:
            found = _revision(connection)
            if found is None:
                connection.execute("PRAGMA journal_mode=WAL")
                # `executescript` would commit first; the file is one transaction by itself.
                connection.executescript(resources.files("kernel.adapters.store").joinpath("schema.sql").read_text())
                found = _revision(connection)
        if revision.outdated(found, self.address):
            from kernel.adapters.store.migrate import migrate  # noqa: PLC0415 -- costs 0.3 s, rarely needed

            migrate(f"sqlite:///{self._path}", self.address)

    def writer(self) -> StoreWriter:
        with self._dialect.failures("open the journal"):
            connection = self._connect()
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
            connection.execute("PRAGMA secure_delete=ON")
            connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES_KEPT:d}")
            if self._pages_max is not None:
                connection.execute(f"PRAGMA max_page_count={self._pages_max:d}")
            revision.require(_revision(connection), self.address)
        return SqlWriter(cast("Connection", connection), self._dialect)

    def reader(self) -> StoreReader:
        if not self._path.is_file():
            revision.require(None, self.address)
        with self._dialect.failures("open the journal"):
            connection = self._connect(self._reading())
            connection.execute("PRAGMA query_only=ON")
            # A text whose bytes were altered must be readable, so that an audit can name its entry.
            connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
            revision.require(_revision(connection), self.address)
        return SqlReader(cast("Connection", connection), self._dialect)

    def _reading(self) -> str:
        """How the file is opened for reading: one in a folder that may not be written is not touched."""
        if os.access(self._path.parent, os.W_OK):
            return ""
        log, shared = (self._path.with_name(self._path.name + end) for end in ("-wal", "-shm"))
        if not log.exists() or not log.stat().st_size:
            return "?immutable=1"
        if shared.exists():
            return "?mode=ro"
        raise JournalDown(
            f"{self._path} was not closed in order, and its folder cannot be written",
            remedy="copy the folder to a place that can be written, and name it with --home",
        )

    def _connect(self, how: str = "") -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self._path.absolute().as_uri()}{how}" if how else self._path,
            uri=bool(how),
            timeout=self._lock_wait_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_STATEMENTS,
        )


class _Sqlite:
    def __init__(self, path: Path) -> None:
        self._path = path

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
        except UnicodeDecodeError as error:  # The driver's own message, which quotes the altered declaration.
            raise self._damaged(doing, "malformed database schema") from error
        except sqlite3.ProgrammingError as error:
            raise JournalDown(
                f"could not {doing}: {error}", remedy="the journal was closed: start Oxios again"
            ) from error
        except sqlite3.Error as error:
            text = str(error)
            if any(word in text for word in _DAMAGE):
                raise self._damaged(doing, text) from error
            remedy = next((remedy for word, remedy in _REMEDIES if word in text), "run `oxios doctor`")
            cause = f"SQLite says {text!r}"
            if "full" not in text and self._full():
                cause, remedy = f"no space is left on the disk of {self._path} ({cause})", dict(_REMEDIES)["full"]
            raise JournalDown(f"could not {doing}: {cause}", remedy=remedy, retry_after_s=1.0) from error

    def _damaged(self, doing: str, said: str) -> StoreDamaged:
        return StoreDamaged(
            f"could not {doing}: SQLite says {said!r}",
            remedy="the file is damaged: stop, keep it as evidence, and restore a backup",
        )

    def _full(self) -> bool:
        try:
            disk = os.statvfs(self._path.parent)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize < _ROOM_BYTES_MIN

    def damages(self, connection: Connection) -> list[str]:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(10)").fetchall()]
        return [] if found == ["ok"] else found

    def forget(self, connection: Connection) -> None:
        """Erased words stay in the index until its parts are merged, and in the write-ahead log until
        that is emptied: do both, the latter unless a reader is in the way.
        """
        connection.execute("INSERT INTO message_terms (message_terms) VALUES ('optimize')")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _revision(connection: sqlite3.Connection) -> str | None:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    row = connection.execute(revision.SELECT).fetchone() if known else None
    return None if row is None else str(row[0])
