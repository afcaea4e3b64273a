"""Ids as people type them: whole, or as many of the first characters as tell one from the others.

Guarantees: a whole id means itself, also where others begin with it. What begins several is refused
with two of them; what begins none is not found.
"""

from __future__ import annotations

from collections.abc import Sequence

from kernel.errors import Invalid, NotFound
from kernel.journal.appender import Reader


async def whole_id(journal: Reader, table: str, typed: str) -> str:
    """The id in `table` (`runs` or `seeds`) that `typed` names. Raises: NotFound, Invalid."""
    noun = table.removesuffix("s")
    # In order of id, those that begin with it follow it at once.
    following = await journal.rows(table, order="id", after=(typed, ""), limit=2)
    found = [str(row["id"]) for row in following if str(row["id"]).startswith(typed)] if typed else []
    if not found:
        raise NotFound(f"there is no {noun} {typed!r}", remedy=f"see `oxios {table} list`".replace("seeds", "seed"))
    return the_only(found, table, typed)


def the_only(found: Sequence[str], table: str, typed: str) -> str:
    """Of the first two ids, in order, that begin with `typed`. Raises: Invalid, where it means neither."""
    if len(found) > 1 and found[0] != typed:
        raise Invalid(f"{typed!r} begins several {table}: {found[0]}, {found[1]} …", remedy="give more of the id")
    return found[0]
