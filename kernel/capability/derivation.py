"""What may be derived from what: the one place where "never wider" is decided.

Guarantees: a child's resource, rights, expiry and uses are each within its parent's; a capability
passed to another principal came from one with DELEGATE; no chain is longer than DERIVE_DEPTH_MAX.

Source: RFC-0003.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernel.capability.record import recordable
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.token import Capability
from kernel.capability.tree import Node
from kernel.errors import AccessDenied, LimitExceeded
from kernel.ids import KERNEL, CapId, Principal
from kernel.limits import DERIVE_DEPTH_MAX


@dataclass(frozen=True, slots=True)
class Derivation:
    """What to derive from which capability, for whom. An expiry or use count left out is the parent's."""

    parent: CapId
    to: Principal
    resource: Resource
    rights: Rights
    expires_us: int | None = None
    uses: int | None = None


def child_of(parent: Node, wanted: Derivation, cap: CapId, *, by: Principal, origin: str, now_us: int) -> Node:
    """The child, not yet placed anywhere.

    Raises: AccessDenied, LimitExceeded, Invalid, as `CapabilityTable.derive_all` says.
    """
    above = parent.cap
    check_holder(parent, by, wanted.to)
    resource = recordable(wanted.resource)
    if not resource.within(above.resource) or not above.rights.covers(wanted.rights):
        raise _wider(above, f"{resource} [{wanted.rights.letters()}]", f"{above.resource} [{above.rights.letters()}]")
    expires_us = above.expires_us if wanted.expires_us is None else wanted.expires_us
    if expires_us is not None and above.expires_us is not None and expires_us > above.expires_us:
        raise _wider(
            above, f"an expiry in {_seconds(expires_us - now_us)} s", f"{_seconds(above.expires_us - now_us)} s left"
        )
    left = parent.uses_left
    uses = left if wanted.uses is None else wanted.uses
    if uses is not None and left is not None and uses > left:
        raise _wider(above, f"{uses} uses", f"{left} uses")
    check_bounds(expires_us, uses, now_us)
    if parent.depth + 1 >= DERIVE_DEPTH_MAX:
        raise LimitExceeded(
            f"{above.id} is already the last of {DERIVE_DEPTH_MAX} derivations",
            remedy="derive from one nearer its root",
        )
    return Node(Capability(cap, wanted.to, resource, wanted.rights, above.id, expires_us, uses, origin), parent, uses)


def check_holder(parent: Node, by: Principal, to: Principal) -> None:
    """Raises: AccessDenied, unless `by` may pass `parent` on to `to`."""
    above = parent.cap
    if above.holder != by:
        raise AccessDenied(
            f"{by} does not hold {above.id}",
            layer="capability",
            need=f"{above.resource} [d]",
            remedy="derive from a capability you hold; `oxios caps list` shows them",
        )
    if to != by and not above.rights.covers(Rights.DELEGATE):
        raise AccessDenied(
            f"{above.id} may not be passed on: it lacks the right to delegate",
            layer="capability",
            need=f"{above.resource} [d]",
            remedy="ask whoever granted it for one with d among its rights",
        )


def check_bounds(expires_us: int | None, uses: int | None, now_us: int) -> None:
    """Raises: LimitExceeded, where the capability could never cover anything."""
    if uses is not None and uses < 1:
        raise LimitExceeded(f"a capability with {uses} uses covers nothing", remedy="give it 1 use or more")
    if expires_us is not None and expires_us <= now_us:
        raise LimitExceeded("the capability would have expired already", remedy="choose a later expiry")


def check_reach(node: Node, by: Principal, verb: str) -> None:
    """Raises: AccessDenied, unless `by` holds the capability or one above it, or is the kernel."""
    if by != KERNEL and not node.held_above(by):
        raise AccessDenied(
            f"{by} may not {verb} {node.cap.id}: it holds neither that capability nor one above it",
            layer="capability",
            remedy="ask its holder, or the holder of what it was derived from",
        )


def _wider(above: Capability, wanted: str, bound: str) -> AccessDenied:
    return AccessDenied(
        f"{wanted} is wider than {above.id}, which has {bound}",
        layer="capability",
        need=wanted,
        remedy="derive no more than the parent has; `oxios caps list` shows it",
    )


def _seconds(us: int) -> int:
    return -(-us // 1_000_000)
