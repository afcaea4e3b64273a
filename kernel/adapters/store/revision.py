"""Which revision of the tables this program speaks, and how a database says which it has."""

from __future__ import annotations

from typing import Final

from kernel.errors import JournalDown
from kernel.ports.store import StoreAbsent

REVISION: Final = "0005"
"""The head of `migrations/versions`; a test compares the two."""

SELECT: Final = "SELECT version_num FROM alembic_version"


def require(found: str | None, address: str) -> None:
    """Raises: JournalDown, unless `found` is this program's revision."""
    if found is None:
        raise StoreAbsent(f"there is no journal in {address}", remedy="start Oxios once, or check `oxios config get`")
    if found != REVISION:
        raise JournalDown(
            f"the journal in {address} has tables of revision {found}; this program speaks {REVISION}",
            remedy="start this version of Oxios once (it migrates older tables), or use the newer version",
        )
