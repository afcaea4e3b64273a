"""Entries as lines of a terminal, and the wait for the next ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio

from kernel.clock import Clock, SystemClock
from kernel.journal.export import record
from kernel.ports.store import EntryQuery, EntryRow, StoreReader

_PAGE = 1000
_POLL_S = 0.2
_SHOWN_CHARS = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def entries(reader: StoreReader, query: EntryQuery, *, follow: bool, clock: Clock | None = None) -> Iterator[EntryRow]:
    """Those that `query` names, in pages; `limit` 0 is no limit. With `follow` it never ends."""
    clock = clock or SystemClock()
    after, left = query.after, query.limit or None
    while left is None or left > 0:
        wanted = _PAGE if left is None else min(_PAGE, left)
        rows = reader.entries(replace(query, after=after, limit=wanted))
        yield from rows
        if rows:
            after = rows[-1][0]
            left = None if left is None else left - len(rows)
        if len(rows) < wanted:
            if not follow:
                return
            anyio.run(clock.sleep, _POLL_S)


def line(row: EntryRow, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(record(row), ensure_ascii=False)
    seq, time_us, principal, stream, kind, _, _, _, payload = row
    when = (_EPOCH + timedelta(microseconds=time_us)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    said = "(erased)" if payload is None else payload.decode(errors="replace")
    if len(said) > _SHOWN_CHARS:
        said = said[: _SHOWN_CHARS - 1] + "…"
    # What agents wrote may hold control characters; a terminal must not obey them.
    return _plain(f"{seq:>7}  {when}Z  {principal:<26}  {kind:<18}  {stream:<18}  {said}")


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
