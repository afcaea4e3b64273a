"""The layers' protocol, and the capability layer.

Guarantees: a call passes `CapabilityLayer` only where each of its needs is covered whole by one
usable capability in the principal's own cspace; no principal is exempt, the kernel and the
operator included.

Source: RFC-0003.
"""

from __future__ import annotations

from typing import Final, Protocol, get_args

from kernel.capability.table import CapabilityTable
from kernel.capability.token import Need
from kernel.gate.decision import Case, Denied, LayerName, NeedsApproval
from kernel.ids import Principal

ORDER: Final[tuple[LayerName, ...]] = get_args(LayerName)[1:]
"""After `journal`, which is the gate's own first question."""


class Layer(Protocol):
    """One question about a call. It adds what it found to the case and answers None, or stops the call."""

    @property
    def name(self) -> LayerName: ...

    async def check(self, case: Case) -> Denied | NeedsApproval | None: ...


class CapabilityLayer:
    """Is every need covered?"""

    name: LayerName = "capability"

    def __init__(self, table: CapabilityTable) -> None:
        self._table = table

    async def check(self, case: Case) -> Denied | None:
        covered = self._table.cover(case.request.principal, case.needs)
        if isinstance(covered, Need):
            return uncovered(case.request.principal, covered)
        case.capabilities.extend(covered)
        return None


def uncovered(principal: Principal, need: Need) -> Denied:
    """Says what was missing and the command that would grant it."""
    remedy = f"the operator can grant it: oxios caps grant {principal} '{need.resource}' {need.right.letters()}"
    if need.resource.kind == "net" and principal.startswith("agent:"):
        wanted = str(need.resource).removeprefix("net:")
        remedy += f" while it runs, or to runs that begin later: oxios config set run.network '[\"{wanted}\"]'"
    return Denied("capability", f"{principal} holds no capability for {need}", remedy, need=str(need))
