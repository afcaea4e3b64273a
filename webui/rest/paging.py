"""Cursors: where a list goes on, told so that nobody counts on how.

Guarantees: a list that is paged through from its first page shows each row that stays in it once, whatever
comes or goes meanwhile: a cursor is the place of a row, not a number of rows.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from kernel.errors import Invalid
from kernel.ports.store import Scalar
from webui.rest.shapes import SEQ_MAX, Page

Row = TypeVar("Row")
Shown = TypeVar("Shown")


def cursor_of(*place: Scalar) -> str:
    return urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def place_of(cursor: str, *kinds: type) -> tuple[Any, ...] | None:
    """What `cursor_of` was given; None for the first page. Raises: Invalid, where no page gave it."""
    if not cursor:
        return None
    try:
        place = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        raise _strange(cursor) from None
    if not isinstance(place, list):
        raise _strange(cursor)
    parts = cast("list[Any]", place)
    fits = len(parts) == len(kinds) and all(
        type(part) is kind and (kind is not int or 0 <= part <= SEQ_MAX)
        for part, kind in zip(parts, kinds, strict=True)
    )
    if not fits:
        raise _strange(cursor)
    return tuple(parts)


def page_of(
    rows: Sequence[Row], limit: int, shown: Callable[[Row], Shown], place: Callable[[Row], tuple[Scalar, ...]]
) -> Page[Shown]:
    """The first `limit` of `rows`, which hold one more where there is a next page."""
    kept = rows[:limit]
    after = cursor_of(*place(kept[-1])) if len(rows) > limit else ""
    return Page[Shown](items=[shown(row) for row in kept], next=after)


def paged(
    rows: Sequence[Row], limit: int, cursor: str, shown: Callable[[Row], Shown], key: Callable[[Row], str]
) -> Page[Shown]:
    """A page of a list that is whole in memory, ordered by `key`, from the one after the cursor's on."""
    place = place_of(cursor, str)
    rest = [row for row in rows if place is None or key(row) > place[0]]
    return page_of(rest[: limit + 1], limit, shown, lambda row: (key(row),))


def _strange(cursor: str) -> Invalid:
    return Invalid(f"{cursor[:40]!r} is no cursor of this list", remedy="pass on `next` of the page before, unchanged")
