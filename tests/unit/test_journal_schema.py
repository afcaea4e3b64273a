"""Three ways to the same tables: the declarations, the migrations, and the shipped schema."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from kernel.adapters.store import migrate, revision
from kernel.adapters.store.sqlite import SqliteStore
from kernel.adapters.store.tables import METADATA
from kernel.errors import InstanceLocked, JournalDown
from kernel.journal.lock import instance_lock
from kernel.ports.store import PROJECTIONS
from kernel.settings.tree import Settings
from oxios import checkup
from tests.journal_world import audit, database, fill, sqlite_store

_ROOT = Path(__file__).resolve().parents[2]


def _shape(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Columns and indexes of every table, as SQLite understands them."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        shape = {table: list(connection.execute(f"PRAGMA table_info({table})")) for table in sorted(tables)}
        indexes = connection.execute(
            "SELECT name, tbl_name FROM sqlite_master WHERE type = 'index' ORDER BY name"
        ).fetchall()
        shape["indexes"] = [
            (*each, *connection.execute(f"PRAGMA index_info({each[0]})").fetchall()) for each in indexes
        ]
        shape["revision"] = list(connection.execute(revision.SELECT))
    return shape


def test_a_new_home_has_the_tables_that_the_migrations_end_in(tmp_path: Path) -> None:
    """`schema.sql` and all migrations give the same columns, keys, defaults, indexes and revision."""
    SqliteStore(tmp_path / "new.db").prepare()
    migrate.migrate(f"sqlite:///{tmp_path / 'migrated.db'}", "test")
    assert _shape(tmp_path / "new.db") == _shape(tmp_path / "migrated.db")


def _declared(name: str | None, kind: str, _parents: object) -> bool:
    """The index over messages is each database's own, with tables of its own."""
    return kind != "table" or not str(name).startswith("message_terms")


def test_the_tables_are_those_declared(tmp_path: Path) -> None:
    """Alembic finds nothing to change between a migrated database and the SQLModel declarations."""
    migrate.migrate(f"sqlite:///{tmp_path / 'migrated.db'}", "test")
    with create_engine(f"sqlite:///{tmp_path / 'migrated.db'}", poolclass=NullPool).connect() as connection:
        opts = {"compare_type": True, "compare_server_default": True, "include_name": _declared}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, METADATA) == []


def test_the_ports_projections_are_those_declared() -> None:
    """What readers and projectors may name is exactly what the tables have, keys first."""
    declared = {name: tuple(column.name for column in METADATA.tables[name].columns) for name in PROJECTIONS}
    assert declared == dict(PROJECTIONS)
    assert all(
        [key.name for key in METADATA.tables[name].primary_key] == [PROJECTIONS[name][0]] for name in PROJECTIONS
    )


def test_the_program_speaks_the_newest_revision() -> None:
    """The revision that opening compares is the head of the migrations."""
    assert migrate.newest() == revision.REVISION


def _earlier(home: Path) -> None:
    """The journal as the first release's tables would hold it: later tables and indexes gone, its revision named."""
    first = home.parent / "first.db"
    migrate.migrate(f"sqlite:///{first}", "test", "0001")
    with closing(sqlite3.connect(database(home))) as connection, connection:
        connection.execute("DROP INDEX runs_seed")
        connection.execute("ALTER TABLE runs DROP COLUMN verdict")
        for table in sorted(_shape(database(home)).keys() - _shape(first).keys()):
            connection.execute(f"DROP TABLE IF EXISTS {table}")  # The index takes its own tables along.
        connection.execute("UPDATE alembic_version SET version_num = '0001'")


def test_a_journal_of_an_earlier_release_is_migrated_when_it_is_opened(tmp_path: Path) -> None:
    """Its entries stand, it verifies, it goes on; until then whoever only reads is told what to do."""
    home = tmp_path / "home"
    fill(home, 6)
    _earlier(home)
    with pytest.raises(JournalDown, match="0001") as refused:
        sqlite_store(home).reader()
    assert "oxios doctor --fix" in refused.value.remedy
    fill(home, 3)
    assert _shape(database(home))["revision"] == [(revision.REVISION,)]
    report = audit(home)
    assert (report.findings, report.size) == ([], 6 + 2)


def test_the_fix_of_doctor_brings_older_tables_up_to_date(tmp_path: Path) -> None:
    """What commands that only read ask for: it changes the tables alone, and not while another Oxios has the home."""
    settings = Settings(tmp_path / "home")
    fill(settings.home, 6)
    _earlier(settings.home)
    assert "--fix" in checkup.journal(settings).remedy
    with instance_lock(settings.home), pytest.raises(InstanceLocked):
        checkup.mend(settings)
    assert checkup.mend(settings) == ["brought the journal's tables up to date"]
    assert (checkup.journal(settings).status, audit(settings.home).size) == ("ok", 6)
    assert checkup.mend(settings) == []


def test_a_migration_that_breaks_off_leaves_the_tables_as_they_were(tmp_path: Path) -> None:
    """Killed or failed between two of its steps, it is made whole at the next start."""
    home = tmp_path / "home"
    fill(home, 2)
    _earlier(home)
    before = _shape(database(home))
    with closing(sqlite3.connect(database(home))) as connection:
        connection.executescript(
            "CREATE TRIGGER stop BEFORE UPDATE ON alembic_version BEGIN SELECT RAISE(ABORT, 'power cut'); END;"
        )
    with pytest.raises(JournalDown, match="power cut"):
        sqlite_store(home).prepare()
    assert _shape(database(home)) == before
    with closing(sqlite3.connect(database(home))) as connection:
        connection.execute("DROP TRIGGER stop")
    fill(home, 2)
    assert audit(home).findings == []


def test_a_database_of_a_later_program_is_refused(tmp_path: Path) -> None:
    """Tables of an unknown revision are neither used nor changed, and the error says what to do."""
    path = tmp_path / "later.db"
    SqliteStore(path).prepare()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for attempt in (SqliteStore(path).prepare, SqliteStore(path).reader, SqliteStore(path).writer):
        with pytest.raises(JournalDown, match="9999") as refused:
            attempt()
        assert "the version of Oxios that wrote them" in refused.value.remedy


@pytest.mark.parametrize(("synchronous", "level"), [("full", 2), ("normal", 1)])
def test_commits_are_synced_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synchronous: Literal["full", "normal"], level: int
) -> None:
    """The writing connection has the write-ahead log and the level of syncing that was asked for."""
    made: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def keep(path: Path, **options: object) -> sqlite3.Connection:
        made.append(connect(path, **options))  # type: ignore[call-overload] -- passed on as they came
        return made[-1]

    store = SqliteStore(tmp_path / "new.db", synchronous=synchronous)
    store.prepare()
    monkeypatch.setattr(sqlite3, "connect", keep)
    writer = store.writer()
    assert made[0].execute("PRAGMA synchronous").fetchone() == (level,)
    assert made[0].execute("PRAGMA journal_mode").fetchone() == ("wal",)
    writer.close()


def test_runs_of_a_seed_are_found_without_reading_all_runs(tmp_path: Path) -> None:
    """Also in a home that an earlier release made: an index leads to them, in the order they began."""
    home = tmp_path / "home"
    fill(home, 1)
    _earlier(home)
    fill(home, 1)
    with closing(sqlite3.connect(database(home))) as connection:
        plan = connection.execute("EXPLAIN QUERY PLAN SELECT * FROM runs WHERE seed = ? ORDER BY started_us", ("s",))
        steps = [row[-1] for row in plan]
    assert steps == ["SEARCH runs USING INDEX runs_seed (seed=?)"]


def test_a_reader_makes_no_journal(tmp_path: Path) -> None:
    """Asking for a journal that is not there is an error, and creates nothing."""
    with pytest.raises(JournalDown, match="no journal"):
        SqliteStore(tmp_path / "journal" / "oxios.db").reader()
    assert not (tmp_path / "journal").exists()


def test_opening_a_home_imports_no_sqlalchemy(tmp_path: Path) -> None:
    """Neither the first nor the second start pays for SQLModel, SQLAlchemy or Alembic."""
    program = (
        "import sys, anyio; from pathlib import Path; from kernel.clock import SystemClock\n"
        "from kernel.journal.log import open_journal; from kernel.adapters.store.sqlite import SqliteStore\n"
        "home = Path(sys.argv[1])\n"
        "async def main():\n"
        "    async with open_journal(SqliteStore(home / 'journal' / 'oxios.db'), home, SystemClock(), {}) as journal:\n"
        "        print(journal.size, *sorted({'sqlmodel', 'sqlalchemy', 'alembic', 'pydantic'} & sys.modules.keys()))\n"
        "anyio.run(main)\n"
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], cwd=_ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout == "1\n"
