"""Capability syscalls: list, tree, grant, derive, revoke, delete; offered to no model.

Guarantees: each needs `kernel:caps` and acts as its caller: what is granted is derived from what
the caller holds and may pass on, what is revoked must stand below it. Nobody mints through here, so
root authority is taken only where that is said to be meant, and never what the caller handles
capabilities by.

Source: RFC-0003.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydantic import Field

from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.table import CapabilityTable
from kernel.capability.token import Capability
from kernel.errors import AccessDenied, Conflict, Invalid
from kernel.ids import CapId, Principal, principal
from kernel.jsontypes import JsonObject
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import Claim, NameClaim

_MICRO: Final = 1_000_000
_CAPS: Final = Resource.target("kernel", "caps")
EXPIRES_S_MAX: Final = 10 * 366 * 24 * 3_600


class ListArgs(Args):
    holder: str = ""
    """A principal; empty for everybody."""


class TreeArgs(Args):
    capability: str = ""
    """Where to start; empty for everything that was minted."""


class BoundedArgs(Args):
    """How long and how often what is granted may be used; left out: as what it derives from."""

    expires_s: float | None = Field(default=None, gt=0, le=EXPIRES_S_MAX)
    uses: int | None = Field(default=None, ge=1, le=2**31)


class GrantArgs(BoundedArgs):
    to: str
    resource: str
    rights: str


class DeriveArgs(BoundedArgs):
    parent: str
    to: str
    resource: str = ""
    rights: str = ""
    """Empty for the parent's, as for `resource`: then it is a copy."""


class RevokeArgs(Args):
    capability: str
    keep: bool = False
    """Take only what was derived from it."""
    root: bool = False
    """Take it even where it is root authority, which nothing gives back in this home."""


class DeleteArgs(Args):
    capability: str
    root: bool = False
    """As for `RevokeArgs`."""


def _look(_args: Args) -> tuple[Claim, ...]:
    return (NameClaim("kernel", "caps", Rights.READ),)


def _act(_args: Args) -> tuple[Claim, ...]:
    return (NameClaim("kernel", "caps", Rights.WRITE),)


@syscall("caps.list", ListArgs, claims=_look, effect=Effect.READ, offered=False)
async def caps_list(call: Call, args: ListArgs) -> ToolResult:
    """List what a principal holds, or what everybody holds."""
    return listing(call.services.get(CapabilityTable), args.holder)


@syscall("caps.tree", TreeArgs, claims=_look, effect=Effect.READ, offered=False)
async def caps_tree(call: Call, args: TreeArgs) -> ToolResult:
    """List capabilities with what was derived from each, parents before children."""
    return derivations(call.services.get(CapabilityTable), args.capability)


@syscall("caps.grant", GrantArgs, claims=_act, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def caps_grant(call: Call, args: GrantArgs) -> ToolResult:
    """Give a principal a capability, derived from one the caller may pass on."""
    table = call.services.get(CapabilityTable)
    resource, rights, to = Resource.parse(args.resource), _some(args.rights), principal(args.to)
    parent = _parent(table, call.principal, resource, rights)
    granted = await table.derive(
        parent.id,
        to,
        resource,
        rights,
        by=call.principal,
        expires_us=_expiry(call, args),
        uses=args.uses,
        origin=f"granted by {call.principal}",
    )
    return _told(table, [granted])


@syscall("caps.derive", DeriveArgs, claims=_act, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def caps_derive(call: Call, args: DeriveArgs) -> ToolResult:
    """Give a principal part of one of the caller's capabilities, or a copy of it."""
    table = call.services.get(CapabilityTable)
    parent = table.get(CapId(args.parent))
    derived = await table.derive(
        parent.id,
        principal(args.to),
        Resource.parse(args.resource) if args.resource else parent.resource,
        _some(args.rights) if args.rights else parent.rights,
        by=call.principal,
        expires_us=_expiry(call, args),
        uses=args.uses,
        origin=f"derived by {call.principal}",
    )
    return _told(table, [derived])


@syscall("caps.revoke", RevokeArgs, claims=_act, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def caps_revoke(call: Call, args: RevokeArgs) -> ToolResult:
    """Take back a capability and all that was derived from it; calls that rest on it stop."""
    table = call.services.get(CapabilityTable)
    if not args.keep:
        _spare_root(table.get(CapId(args.capability)), call.principal, meant=args.root)
    gone = await table.revoke(
        CapId(args.capability), by=call.principal, keep=args.keep, reason=f"revoked by {call.principal}"
    )
    return ToolResult("\n".join(gone), {"revoked": list(gone)})


@syscall("caps.delete", DeleteArgs, claims=_act, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def caps_delete(call: Call, args: DeleteArgs) -> ToolResult:
    """Empty one slot; what was derived from it stays, under what is left above it."""
    table = call.services.get(CapabilityTable)
    _spare_root(table.get(CapId(args.capability)), call.principal, meant=args.root)
    await table.delete(CapId(args.capability), by=call.principal)
    return ToolResult(args.capability, {"deleted": args.capability})


def listing(table: CapabilityTable, holder: str) -> ToolResult:
    """What `caps.list` tells; empty for everybody. Raises: Invalid, where it is no principal."""
    holders = (principal(holder),) if holder else table.holders()
    return _told(table, [cap for one in holders for cap in table.held(one)])


def derivations(table: CapabilityTable, capability: str) -> ToolResult:
    """What `caps.tree` tells; empty for everything. Raises: NotFound."""
    if not capability:
        return listing(table, "")
    top = CapId(capability)
    return _told(table, [table.get(top), *table.descendants(top)])


def _spare_root(cap: Capability, by: Principal, *, meant: bool) -> None:
    """Root authority is minted once in a home. Raises: Conflict, unless its loss is meant and can be lived with."""
    if cap.parent is not None:
        return
    if cap.holder == by and _CAPS.within(cap.resource):
        raise Conflict(
            f"{cap.id} is what {by} handles capabilities by: without it nobody could grant anything in this home again",
            remedy="take what was derived from it: oxios caps revoke --keep",
        )
    if not meant:
        raise Conflict(
            f"{cap.id} is root authority ({cap.resource}): nothing gives it back in this home",
            remedy="take only what was derived from it with --keep, or take it for good with --root",
        )


def _parent(table: CapabilityTable, holder: Principal, resource: Resource, rights: Rights) -> Capability:
    for cap, _ in table.delegable(holder, resource):
        if resource.within(cap.resource) and cap.rights.covers(rights):
            return cap
    raise AccessDenied(
        f"{holder} holds nothing that it may pass on as {resource} [{rights.letters()}]",
        layer="capability",
        need=f"{resource} [{rights.letters()}]",
        remedy="grant less; `oxios caps list` shows what is held, and d among the rights what may be passed on",
    )


def _some(text: str) -> Rights:
    rights = Rights.parse(text)
    if not rights:
        raise Invalid(
            f"{text!r} gives no right", remedy="use letters of r (read), w (write), x (execute), d (delegate)"
        )
    return rights


def _expiry(call: Call, args: BoundedArgs) -> int | None:
    return None if args.expires_s is None else call.clock.now_us() + round(args.expires_s * _MICRO)


def _told(table: CapabilityTable, caps: Iterable[Capability]) -> ToolResult:
    listed = list(caps)
    text = "\n".join(f"{cap.id} {cap.holder} {cap.rights.letters()} {cap.resource}" for cap in listed)
    return ToolResult(text, {"capabilities": [_told_one(table, cap) for cap in listed]})


def _told_one(table: CapabilityTable, cap: Capability) -> JsonObject:
    return {
        "id": cap.id,
        "holder": cap.holder,
        "resource": str(cap.resource),
        "rights": cap.rights.letters(),
        "parent": cap.parent,
        "expires_us": cap.expires_us,
        "uses_left": table.uses_left(cap.id),
        "origin": cap.origin,
    }
