"""Which revision of the tables this program speaks, and how a database says which it has."""

from __future__ import annotations

from typing import Final

from kernel.errors import JournalDown
from kernel.ports.store import StoreAbsent, StoreOutdated

REVISION: Final = "0005"
"""The head of `migrations/versions`; a test compares the two."""

SELECT: Final = "SELECT version_num FROM alembic_version"


def require(found: str | None, address: str) -> None:
    """Raises: JournalDown, unless `found` is this program's revision."""
    if found is None:
        raise StoreAbsent(f"there is no journal in {address}", remedy="start Oxios once, or check `oxios config get`")
    what = f"the journal in {address} has tables of revision {found}; this program speaks {REVISION}"
    if found < REVISION:
        raise StoreOutdated(
            what, remedy="bring them up to date: oxios doctor --fix (`oxios serve` and the next run do so too)"
        )
    if found > REVISION:
        raise JournalDown(what, remedy="use the version of Oxios that wrote them, or a newer one")
