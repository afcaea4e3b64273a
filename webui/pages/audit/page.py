"""Audit: entries by kind, principal and stream; the whole journal verified now; one entry with its proof.

Guarantees: what is shown is what the user may see (a user sees the streams of their own); the proof is
computed from the stored tree and checked in the browser against the signed checkpoint, by a script that
trusts nothing but the public key.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from anyio import to_thread
from litestar import Response, get, post
from litestar.params import Parameter

from kernel.boot import make_store, projectors
from kernel.errors import NotFound
from kernel.ids import Principal
from kernel.journal.entry import Entry
from kernel.journal.export import prove
from kernel.journal.findings import Report
from kernel.journal.keys import load_public
from kernel.journal.opening import JournalFiles
from kernel.journal.verify import verify
from kernel.jsontypes import JsonObject
from ouroboros.projection import PROJECTORS
from webui.desk import Desk
from webui.navigation import NavItem
from webui.view import page, part

NAV = NavItem("Audit", "/audit", "scroll-text", 20, group="Trust", keys="g u")
SHOWN: Final = 100
_READ_MAX: Final = 5_000

Part = Annotated[str, Parameter(query="part")]


@get("/audit", include_in_schema=False)
async def index(  # noqa: PLR0917 -- Litestar passes query parameters by name
    desk: Desk, kind: str = "", principal: str = "", stream: str = "", before: int = 0, part_: Part = ""
) -> Response[str]:
    """The newest entries first, of what the filters name."""
    rows = await _entries(desk, kind=kind, principal=principal, stream=stream, before=before)
    model: dict[str, Any] = {
        "entries": rows,
        "kind": kind,
        "principal": principal,
        "stream": stream,
        "before": before,
        "limit": SHOWN,
    }
    if part_ == "list":
        return part(desk, "audit/list.html", **model)
    return page(desk, "audit/index.html", title="Audit", size=desk.kernel.journal.size, **model)


@get("/audit/{seq:int}", include_in_schema=False)
async def show(desk: Desk, seq: int) -> Response[str]:
    """One entry, whole."""
    entry = await _entry(desk, seq)
    return page(desk, "audit/show.html", title=f"Entry {seq}", entry=entry)


@get("/audit/{seq:int}/proof", include_in_schema=False)
async def proof(desk: Desk, seq: int) -> Response[dict[str, Any]]:
    """That the entry is in the journal: path, root and signed checkpoint, and the keys that sign here."""
    await _entry(desk, seq)
    await desk.kernel.journal.flush()
    return Response(dict(await to_thread.run_sync(_prove, desk, seq)))


@post("/audit/verify", include_in_schema=False, status_code=200)
async def verified(desk: Desk) -> Response[str]:
    """Check every entry, hash and signature, now."""
    if not desk.sees_all:
        raise NotFound("there is no journal to verify", remedy="the operator may")
    await desk.kernel.journal.flush()
    report = await to_thread.run_sync(_verify, desk)
    return part(desk, "audit/verified.html", report=report)


async def _entry(desk: Desk, seq: int) -> Entry:
    found = await desk.kernel.journal.read(after=seq - 1, limit=1)
    if not found or found[0].seq != seq or not desk.sees(found[0].stream):
        raise NotFound(f"there is no entry {seq}", remedy=f"there are {desk.kernel.journal.size} of them")
    return found[0]


async def _entries(desk: Desk, *, kind: str, principal: str, stream: str, before: int) -> list[Entry]:
    """The newest SHOWN below `before`. Reads windows backwards, _READ_MAX entries at most."""
    journal = desk.kernel.journal
    end = min(before or journal.size + 1, journal.size + 1)
    found: list[Entry] = []
    window = SHOWN
    read = 0
    while end > 1 and len(found) < SHOWN and (read < _READ_MAX or kind or principal or stream):
        start = max(0, end - 1 - window)
        entries = await journal.read(
            stream=stream or None,
            kind=kind or None,
            principal=Principal(principal) if principal else None,
            after=start,
            limit=window,
        )
        found = [entry for entry in entries if entry.seq < end and desk.sees(entry.stream)] + found
        read += window
        end, window = start + 1, min(window * 4, 100_000)
    return found[-SHOWN:][::-1]


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


ROUTES = [index, show, proof, verified]
