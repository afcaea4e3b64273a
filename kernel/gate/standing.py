"""Answers of `always`: capabilities of kind `approve` that a person's standing principal holds.

Guarantees: what "always" allows is a capability derived from one that the answering person holds,
so it is in the journal, in `oxios caps list`, and revocable; the call that relies on it rests on
it, so a revocation also stops that call in flight.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from kernel.capability.derivation import Derivation
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.table import CapabilityTable
from kernel.capability.token import Capability, Need
from kernel.errors import AccessDenied, NotFound
from kernel.ids import CapId, Principal, principal

_NAME_CHARS_MAX: Final = 48


def standing_principal(owner: Principal) -> Principal:
    """`job:standing.alice` for `user:alice`."""
    name = owner.partition(":")[2] or owner
    if len(name) > _NAME_CHARS_MAX:
        name = f"{name[: _NAME_CHARS_MAX - 9]}.{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return principal(f"job:standing.{name}")


class Standing:
    """The standing approvals of every owner."""

    def __init__(self, table: CapabilityTable) -> None:
        self._table = table

    def covering(self, owner: Principal, key: str) -> tuple[CapId, ...] | None:
        """The capabilities that allow this key, or None."""
        found = self._table.cover(standing_principal(owner), (Need(_resource(key), Rights.EXECUTE),))
        return None if isinstance(found, Need) else found

    async def grant(self, owner: Principal, keys: Iterable[str], *, by: Principal, origin: str) -> tuple[CapId, ...]:
        """Derive one capability a key, from what `by` holds; keys allowed already are left as they are.

        Raises: AccessDenied (`by` may not pass approvals on), CspaceFull, Invalid, JournalDown.
        """
        wanted = [self._derivation(owner, key, by) for key in dict.fromkeys(keys) if self.covering(owner, key) is None]
        if not wanted:
            return ()
        return tuple(cap.id for cap in await self._table.derive_all(wanted, by=by, origin=origin))

    def listed(self, owner: Principal) -> tuple[Capability, ...]:
        return self._table.held(standing_principal(owner))

    async def forget(self, owner: Principal, key: str, *, by: Principal) -> tuple[CapId, ...]:
        """Revoke every standing approval that allows exactly this key. Raises: NotFound, AccessDenied."""
        mine = [cap for cap in self.listed(owner) if key_of(cap) == key or cap.id == key]
        if not mine:
            known = ", ".join(key_of(cap) for cap in self.listed(owner)) or "none"
            raise NotFound(f"no standing approval is called {key!r}", remedy=f"there are: {known}")
        gone: list[CapId] = []
        for cap in mine:
            gone += await self._table.revoke(cap.id, by=by, reason=f"standing approval of {key} forgotten")
        return tuple(gone)

    def _derivation(self, owner: Principal, key: str, by: Principal) -> Derivation:
        resource = _resource(key)
        for cap, part in self._table.delegable(by, resource):
            if cap.rights.covers(Rights.EXECUTE) and resource.within(part):
                return Derivation(cap.id, standing_principal(owner), resource, Rights.EXECUTE)
        raise AccessDenied(
            f"{by} may not approve {key} for always",
            layer="approval",
            need=str(resource),
            remedy="answer once or for this run, or have the operator grant approve:** with delegate",
        )


def key_of(cap: Capability) -> str:
    """`approve:exec/git` allows the key `exec:git`."""
    head, *rest = cap.resource.segments
    if not rest:
        return head
    rooted = len(rest) > 1 and rest[0] not in {".", ".."}  # a program's path; a bare name has one segment
    return f"{head}:{'/' if rooted else ''}{'/'.join(rest)}"


def _resource(key: str) -> Resource:
    head, _, rest = key.partition(":")
    return Resource.target("approve", f"{head}/{rest.lstrip('/')}" if rest else head)
