"""Audit: entries by kind, principal and stream; the whole journal verified now; one entry with its proof.

Guarantees: what is shown is what the user may see (a user sees the streams of their own); the proof is
computed from the stored tree and checked in the browser against the signed checkpoint, by a script that
trusts nothing but the public key.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from webui import audit_view
from webui.desk import Desk
from webui.forms import Part
from webui.navigation import NavItem
from webui.view import page, part

NAV = NavItem("Audit", "/audit", "scroll-text", 20, group="Trust", keys="g u")
SHOWN: Final = 100


@get("/audit", include_in_schema=False)
async def index(  # noqa: PLR0917 -- Litestar passes query parameters by name
    desk: Desk,
    kind: FromQuery[str] = "",
    principal: FromQuery[str] = "",
    stream: FromQuery[str] = "",
    before: FromQuery[int] = 0,
    part_: Part = "",
) -> Response[str]:
    """The newest entries first, of what the filters name."""
    looked = await audit_view.entries(desk, kind=kind, principal=principal, stream=stream, before=before, limit=SHOWN)
    model: dict[str, Any] = {
        "entries": looked.entries,
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
async def show(desk: Desk, seq: FromPath[int]) -> Response[str]:
    """One entry, whole."""
    entry = await audit_view.entry_of(desk, seq)
    return page(desk, "audit/show.html", title=f"Entry {seq}", entry=entry)


@get("/audit/{seq:int}/proof", include_in_schema=False)
async def proof(desk: Desk, seq: FromPath[int]) -> Response[dict[str, Any]]:
    """That the entry is in the journal: path, root and signed checkpoint, and the keys that sign here."""
    return Response(dict(await audit_view.proof_of(desk, seq)))


@post("/audit/verify", include_in_schema=False, status_code=200)
async def verified(desk: Desk) -> Response[str]:
    """Check every entry, hash and signature, now."""
    return part(desk, "audit/verified.html", report=await audit_view.verified(desk))


ROUTES = [index, show, proof, verified]
