"""Every store, each new and empty, and one PostgreSQL server a test process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernel.adapters.store.postgres import PostgresStore
from kernel.adapters.store.sqlite import SqliteStore
from kernel.ports.store import Store
from kernel.testing.memory_store import MemoryStore
from tests import postgres


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    with postgres.running() as running:
        yield running


@pytest.fixture(params=["sqlite", "memory", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A new store of each kind; the server starts when the first test wants it."""
    make: dict[str, Callable[[], Store]] = {
        "sqlite": lambda: SqliteStore(tmp_path / "journal" / "oxios.db", lock_wait_s=0.05),
        "memory": MemoryStore,
        "postgres": lambda: PostgresStore(request.getfixturevalue("server").database()),
    }
    return make[str(request.param)]()
