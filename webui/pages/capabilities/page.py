"""A principal's cspace, the tree of derivation, granting and revoking.

Guarantees: what is shown is read through the gate's own syscalls, so a user without `kernel:caps` sees
only what is their own; before a revocation the page names every capability below and every run that
holds one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from kernel.capability.token import Capability
from kernel.errors import NotFound
from kernel.jsontypes import JsonValue
from webui import caps_view
from webui.desk import Desk
from webui.forms import Form, Part, decimal, whole
from webui.navigation import NavItem
from webui.view import page, part

NAV = NavItem("Capabilities", "/capabilities", "key-round", 10, group="Trust", keys="g k")
_HOUR_S: Final = 3_600


@dataclass(slots=True)
class CapNode:
    """A capability in the tree, with what was derived from it."""

    cap: Capability
    uses_left: int | None
    below: list[CapNode] = field(default_factory=list["CapNode"])


@get("/capabilities", include_in_schema=False)
async def index(desk: Desk, holder: FromQuery[str] = "", part_: Part = "") -> Response[str]:
    """Everybody's, or one principal's."""
    model = _model(desk, holder)
    if part_ == "tree":
        return part(desk, "capabilities/tree.html", **model)
    return page(desk, "capabilities/index.html", title="Capabilities", **model)


@get("/capabilities/{capability:str}", include_in_schema=False)
async def show(desk: Desk, capability: FromPath[str]) -> Response[str]:
    """One capability: what it allows, where it came from, what stands below it and would go with it."""
    cap = caps_view.seen(desk, capability)
    table = desk.kernel.capabilities
    below = table.descendants(cap.id)
    model: dict[str, Any] = {
        "cap": cap,
        "uses_left": table.uses_left(cap.id),
        "above": _above(desk, cap),
        "below": below,
        "stops": caps_view.stops(desk, [cap, *below]),
        "may": desk.may("kernel:caps", "w"),
    }
    return page(desk, "capabilities/show.html", title=str(cap.resource), **model)


@post("/capabilities/grant", include_in_schema=False, status_code=200)
async def grant(desk: Desk, data: Form) -> dict[str, str]:
    """Derive from what the caller holds, for somebody."""
    arguments: dict[str, JsonValue] = {
        "to": data.get("to", ""),
        "resource": data.get("resource", "").strip(),
        "rights": data.get("rights", "").strip(),
    }
    if (hours := decimal(data, "hours")) is not None:
        arguments["expires_s"] = hours * _HOUR_S
    if (uses := whole(data, "uses")) is not None:
        arguments["uses"] = uses
    granted = await desk.call("caps.grant", arguments)
    return {"message": granted.text}


@post("/capabilities/{capability:str}/revoke", include_in_schema=False, status_code=200)
async def revoke(desk: Desk, capability: FromPath[str], data: Form) -> dict[str, str]:
    """Take it back with all below it; calls in flight that rest on them end."""
    arguments: dict[str, JsonValue] = {
        "capability": caps_view.seen(desk, capability).id,
        "keep": data.get("keep") == "1",
        "root": data.get("root") == "1",
    }
    gone = await desk.call("caps.revoke", arguments)
    return {"message": f"revoked {len(gone.text.splitlines())}"}


def _model(desk: Desk, holder: str) -> dict[str, Any]:
    caps, holders = caps_view.held(desk, holder)
    return {
        "holder": holder,
        "holders": holders,
        "roots": _tree(desk, caps),
        "may": desk.may("kernel:caps", "w"),
    }


def _tree(desk: Desk, caps: Iterable[Capability]) -> list[CapNode]:
    nodes = {cap.id: CapNode(cap, desk.kernel.capabilities.uses_left(cap.id)) for cap in caps}
    roots: list[CapNode] = []
    for node in nodes.values():
        parent = nodes.get(node.cap.parent) if node.cap.parent is not None else None
        (parent.below if parent is not None else roots).append(node)
    return roots


def _above(desk: Desk, cap: Capability) -> list[Capability]:
    """What it derives from, the root first."""
    chain: list[Capability] = []
    while cap.parent is not None:
        try:
            cap = desk.kernel.capabilities.get(cap.parent)
        except NotFound:
            break
        chain.insert(0, cap)
    return chain


ROUTES = [index, show, grant, revoke]
