"""Which revision of the tables this program speaks, and how a database says which it has."""

from __future__ import annotations

from typing import Final

from kernel.errors import JournalDown
from kernel.ports.store import StoreAbsent, StoreOutdated

REVISION: Final = "0006"
"""The head of `migrations/versions`; a test compares the two."""

SELECT: Final = "SELECT version_num FROM alembic_version"


def outdated(found: str | None, address: str) -> bool:
    """Whether tables are still to be made or brought up to date. Raises: JournalDown, where they are newer."""
    if found is not None and found > REVISION:
        raise JournalDown(_differs(found, address), remedy="use the version of Oxios that wrote them, or a newer one")
    return found != REVISION


def require(found: str | None, address: str) -> None:
    """Raises: JournalDown, unless `found` is this program's revision."""
    if found is None:
        raise StoreAbsent(f"there is no journal in {address}", remedy="start Oxios once, or check `oxios config get`")
    if outdated(found, address):
        raise StoreOutdated(
            _differs(found, address),
            remedy="bring them up to date: oxios doctor --fix (`oxios serve` and the next run do so too)",
        )


def _differs(found: str, address: str) -> str:
    return f"the journal in {address} has tables of revision {found}; this program speaks {REVISION}"
