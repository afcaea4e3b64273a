"""Whose things a caller may handle: its own; with `kernel:audit`, see everybody's; with `kernel:users`, act on them.

Guarantees: what a caller may not see is *not found*, in the words of what does not exist, so that ids
tell nothing. Runs, approvals and sessions ask here.

Source: RFC-0016.
"""

from __future__ import annotations

from typing import Final

from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.table import CapabilityTable
from kernel.capability.token import Need
from kernel.errors import AccessDenied, NotFound
from kernel.ids import Principal
from kernel.syscalls.declare import Call

_SEES: Final = Need(Resource.target("kernel", "audit"), Rights.READ)
_ACTS: Final = Need(Resource.target("kernel", "users"), Rights.WRITE)


def sees_all(call: Call) -> bool:
    """Whether the caller sees what others own."""
    return _holds(call, _SEES)


def require_seen(call: Call, owner: Principal, what: str) -> None:
    """Raises: NotFound, where `what` is another's and the caller sees its own only."""
    if owner not in (call.principal, call.owner) and not sees_all(call):
        raise missing(what)


def require_handled(call: Call, owner: Principal, what: str) -> None:
    """Raises: as `require_seen`. AccessDenied, where the caller may see it and not act on it."""
    require_seen(call, owner, what)
    if call.principal != owner and not (call.principal == call.owner and _holds(call, _ACTS)):
        raise AccessDenied(f"{what} belongs to {owner}", layer="capability", remedy="ask its owner, or the operator")


def missing(what: str) -> NotFound:
    """The same answer for what is another's and for what does not exist."""
    return NotFound(f"there is no {what}", remedy="the list shows what there is")


def _holds(call: Call, need: Need) -> bool:
    return not isinstance(call.services.get(CapabilityTable).cover(call.principal, [need]), Need)
