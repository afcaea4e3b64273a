"""What only a server can do: know another writer, and fall silent."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from kernel.adapters.store.postgres import PostgresStore
from kernel.errors import InstanceLocked, JournalDown
from kernel.journal.log import Journal
from tests.journal_world import audit, draft, opened
from tests.postgres import Server


def test_a_second_writer_is_refused_by_the_server(tmp_path: Path, server: Server) -> None:
    """Two homes on one database: the second is refused, and names the session that writes."""
    url = server.database()

    async def main() -> None:
        async with opened(tmp_path / "one", PostgresStore(url)):
            with pytest.raises(InstanceLocked, match=r"server process \d+"):
                async with opened(tmp_path / "two", PostgresStore(url)):
                    pytest.fail("two writers on one journal")

    anyio.run(main)


def test_a_lost_connection_is_an_outage_that_ends(tmp_path: Path, server: Server) -> None:
    """When the server drops the writer, appends fail with the cause; then it recovers and loses no number."""
    url = server.database()

    async def main() -> None:
        async with opened(tmp_path, PostgresStore(url)) as journal:
            await journal.append(draft(1))
            server.execute(url, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            with pytest.raises(JournalDown, match="PostgreSQL"):
                await journal.append(draft(2))
            await _writable(journal)
            assert (await journal.append(draft(3))).seq == 3

    anyio.run(main)
    assert audit(tmp_path, store=PostgresStore(url)).findings == []


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    """An address where nobody answers gives an error with the address, not the password."""
    store = PostgresStore(f"postgresql://alice:secret@/db?host={tmp_path}")
    with pytest.raises(JournalDown) as refused:
        store.prepare()
    assert "secret" not in refused.value.explain()
    assert store.address == "postgresql:/db"


async def _writable(journal: Journal) -> None:
    with anyio.fail_after(10):
        while not journal.writable:
            await anyio.lowlevel.checkpoint()
