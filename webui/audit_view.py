"""The journal as pages and API look at it: entries that a user may see, proofs, verification.

Guarantees: a user sees the streams of their own, who may see everything the whole; a proof is computed from
the stored tree and leads to the signed checkpoint. Verification reads everything, in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from anyio import to_thread

from kernel.boot import projectors
from kernel.errors import NotFound
from kernel.ids import Principal
from kernel.journal.entry import Entry
from kernel.journal.export import prove, prove_consistency
from kernel.journal.findings import Report
from kernel.journal.keys import load_public
from kernel.journal.opening import JournalFiles
from kernel.journal.verify import verify
from kernel.jsontypes import JsonObject
from kernel.storage import make_store
from ouroboros.projection import PROJECTORS
from webui.desk import Desk

_READ_MAX: Final = 5_000


async def proof_of(desk: Desk, seq: int) -> JsonObject:
    """That the entry is in the journal: path, root and signed checkpoint, and the keys that sign here.

    Raises: NotFound.
    """
    await entry_of(desk, seq)
    await desk.kernel.journal.flush()
    return await to_thread.run_sync(_prove, desk, seq)


async def consistency_of(desk: Desk, old: int, new: int) -> JsonObject:
    """That the journal of `old` entries is the beginning of the one of `new`. Raises: Invalid, NotFound."""
    require_all(desk)
    await desk.kernel.journal.flush()
    return await to_thread.run_sync(_consistent, desk, old, new)


async def verified(desk: Desk) -> Report:
    """Check every entry, hash and signature, now. Raises: NotFound."""
    require_all(desk)
    await desk.kernel.journal.flush()
    return await to_thread.run_sync(_verify, desk)


def require_all(desk: Desk) -> None:
    """Raises: NotFound, for who does not see everything."""
    if not desk.sees_all:
        raise NotFound("there is no journal to verify", remedy="the operator may")


async def entry_of(desk: Desk, seq: int) -> Entry:
    found = await desk.kernel.journal.read(after=seq - 1, limit=1)
    if not found or found[0].seq != seq or not desk.sees(found[0].stream):
        raise NotFound(f"there is no entry {seq}", remedy=f"there are {desk.kernel.journal.size} of them")
    return found[0]


@dataclass(frozen=True, slots=True)
class Looked:
    """Entries, the newest first; `before` is where to look on, 0 where there are no more."""

    entries: list[Entry]
    before: int


async def entries(
    desk: Desk, *, kind: str = "", principal: str = "", stream: str = "", before: int = 0, limit: int
) -> Looked:
    """The newest `limit` below `before`. Reads windows backwards, unfiltered _READ_MAX entries at most."""
    journal = desk.kernel.journal
    end = min(before or journal.size + 1, journal.size + 1)
    found: list[Entry] = []
    window = limit
    read = 0
    while end > 1 and len(found) < limit and (read < _READ_MAX or kind or principal or stream):
        start = max(0, end - 1 - window)
        read_now = await journal.read(
            stream=stream or None,
            kind=kind or None,
            principal=Principal(principal) if principal else None,
            after=start,
            limit=window,
        )
        found = [entry for entry in read_now if entry.seq < end and desk.sees(entry.stream)] + found
        read += window
        end, window = start + 1, min(window * 4, 100_000)
    kept = found[-limit:][::-1]
    on = kept[-1].seq if len(found) > limit else end
    return Looked(kept, on if on > 1 else 0)


def _consistent(desk: Desk, old: int, new: int) -> JsonObject:
    reader = make_store(desk.kernel.settings).reader()
    try:
        return prove_consistency(reader, old, new)
    finally:
        reader.close()


def _prove(desk: Desk, seq: int) -> JsonObject:
    settings = desk.kernel.settings
    reader = make_store(settings).reader()
    try:
        shown = prove(reader, seq)
    finally:
        reader.close()
    return {**shown, "keys": [key.text for key in load_public(JournalFiles(settings.home).public_keys)]}


def _verify(desk: Desk) -> Report:
    kernel = desk.kernel
    settings = kernel.settings
    return verify(
        make_store(settings),
        JournalFiles(settings.home),
        kernel.clock,
        trusted=load_public(JournalFiles(settings.home).public_keys),
        projectors=projectors(PROJECTORS),
    )
