"""The capability itself: frozen; its id is a reference, never proof."""

from __future__ import annotations

from dataclasses import dataclass

from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.ids import CapId, Principal


@dataclass(frozen=True, slots=True)
class Capability:
    """What `holder` may do with `resource`, until `expires_us`, at most `uses` times.

    `parent` is None for minted capabilities only. `uses` is the count at creation; what is left of
    it stands in the holder's cspace. `origin` says where it comes from, for a person: a grant's
    name, an approval's id.
    """

    id: CapId
    holder: Principal
    resource: Resource
    rights: Rights
    parent: CapId | None
    expires_us: int | None = None
    uses: int | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Need:
    """One `(resource, right)` that a call requires; the resource is a concrete target."""

    resource: Resource
    right: Rights

    def __str__(self) -> str:
        return f"{self.resource} [{self.right.letters()}]"
