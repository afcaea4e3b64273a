"""Where a home's journal is kept: the store that the settings name, for whoever reads without a kernel, too.

Guarantees: naming it opens nothing, and imports no more of the kernel than the store: most of a start.
"""

from __future__ import annotations

from pathlib import Path

from kernel.adapters.store.sqlite import SqliteStore
from kernel.ports.store import Store
from kernel.settings import Settings


def make_store(settings: Settings) -> Store:
    """Where the journal is kept: SQLite in the home, or what `journal.url` names."""
    url = settings.journal.url
    if url.startswith("postgresql"):
        from kernel.adapters.store.postgres import PostgresStore  # noqa: PLC0415 -- psycopg is an extra

        return PostgresStore(url)
    path = Path(url.split("://", 1)[1]) if url else settings.home / "journal" / "oxios.db"
    return SqliteStore(path, synchronous=settings.journal.synchronous)
