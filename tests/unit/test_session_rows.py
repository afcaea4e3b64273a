"""The tables of sessions: what the entries say, whichever release wrote them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kernel.adapters.store.migrate import migrate
from kernel.boot import projectors
from kernel.errors import JournalDown
from kernel.testing.provider import Turn
from ouroboros.projection import PROJECTORS
from ouroboros.sessiondesk import SessionDesk
from tests.cycle_world import OWNER, CycleWorld, open_cycle, told
from tests.journal_world import audit, database, sqlite_store

pytestmark = pytest.mark.anyio


def _replies(*texts: str) -> list[Turn]:
    return [told({"kind": "conversation", "reply": text}) for text in texts]


async def _everything(world: CycleWorld) -> None:
    """Each act once."""
    for message in ("Grüße", "walrus", "東京タワー"):
        await world.cycle.run(message)
    desk, session = SessionDesk(world.kernel, OWNER), world.session
    await desk.rename(session, "otter")
    await desk.pin(session, pinned=True)
    fork = await desk.fork(session, 2, name="forked")
    await desk.archive(fork, archived=True)
    await desk.delete(fork)
    await desk.restore(fork)
    await desk.delete(fork)
    await desk.rewind(session, 2)


async def test_the_audit_finds_the_tables_as_the_entries_make_them(tmp_path: Path) -> None:
    """After every act; a word that somebody puts into the index's table is found."""
    async with open_cycle(tmp_path, _replies("a", "b", "c"), name="n") as world:
        await _everything(world)
    home, mine = tmp_path / "home", projectors(PROJECTORS)
    assert audit(home, projectors=mine).findings == []
    with closing(sqlite3.connect(database(home))) as connection, connection:
        connection.execute("UPDATE messages SET terms = terms || ' forged' WHERE turn = 2")
    assert "messages" in str(audit(home, projectors=mine).findings)


def _as_of(path: Path, revision: str) -> None:
    """Make the database again as a release of that revision would have it, its entries and rows included."""
    now = path.with_suffix(".now")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.rename(now)
    migrate(f"sqlite:///{path}", "test", revision)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"ATTACH '{now}' AS now")
        tables = [row[0] for row in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
        for table in tables:
            if table != "alembic_version":
                columns = ", ".join(f'"{row[1]}"' for row in connection.execute(f"PRAGMA main.table_info({table})"))
                connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM now.{table}")
        connection.commit()


async def test_what_an_earlier_release_wrote_is_found_too(tmp_path: Path) -> None:
    """Names and messages that were recorded before there was an index are in it after the migration."""
    async with open_cycle(tmp_path, _replies("a", "b"), name="first") as world:
        await world.cycle.run("Grüße aus Zürich")
        await SessionDesk(world.kernel, OWNER).rename(world.session, "walrus")
        await world.cycle.run("more")
    home = tmp_path / "home"
    _as_of(database(home), "0002")
    with pytest.raises(JournalDown, match="0002"):
        sqlite_store(home).reader()
    async with open_cycle(tmp_path, session="walrus") as world:
        found = {text: len(await world.book.search(text)) for text in ("zurich", "more", "walrus", "first")}
        assert found == {"zurich": 1, "more": 1, "walrus": 1, "first": 0}
        assert [row["pinned"] for row in await world.book.listed()] == [0]
    assert audit(home, projectors=projectors(PROJECTORS)).findings == []


async def test_erased_words_leave_the_file(tmp_path: Path) -> None:
    """Neither table nor index nor log of the database holds them in any form once the reader is gone."""
    async with open_cycle(tmp_path, _replies("a"), name="first") as world:
        await world.cycle.run("Wolpertinger")
        for entry in await world.entries():
            if "wolpertinger" in str(entry.payload).casefold():
                await world.kernel.journal.erase(entry.digest, OWNER, "asked for")
        assert await world.book.search("wolpertinger") == []
    content = b"".join(path.read_bytes() for path in database(tmp_path / "home").parent.glob("oxios.db*"))
    assert b"wolpertinger" not in content.lower()
