"""Capabilities as pages and API look at them.

Guarantees: who may not read `kernel:caps` sees only what they hold themselves.
"""

from __future__ import annotations

from collections.abc import Iterable

from kernel.capability.token import Capability
from kernel.errors import NotFound
from kernel.ids import CapId, Principal, principal
from webui.desk import Desk


def held(desk: Desk, holder: str) -> tuple[list[Capability], list[Principal]]:
    """What a principal holds, everybody where `holder` is empty; and whose there is to see.

    Raises: NotFound, Invalid (no principal).
    """
    table, own = desk.kernel.capabilities, desk.user.principal
    wanted = principal(holder) if holder else None
    sees = desk.may("kernel:caps", "r")
    if wanted is not None and wanted != own and not sees:
        raise NotFound(f"there is nothing of {holder} to see", remedy="ask the operator")
    holders = sorted(table.holders()) if sees else [own]
    chosen = [wanted] if wanted is not None else holders
    return [cap for one in chosen for cap in table.held(one)], holders


def seen(desk: Desk, capability: str) -> Capability:
    """Raises: NotFound."""
    cap = desk.kernel.capabilities.get(CapId(capability))
    if cap.holder != desk.user.principal and not desk.may("kernel:caps", "r"):
        raise NotFound(f"there is no capability {capability!r}", remedy="the list of capabilities shows yours")
    return cap


def stops(desk: Desk, caps: Iterable[Capability]) -> list[str]:
    """Live runs whose agent holds one of them."""
    live = set(desk.kernel.supervisor.live)
    holders = {cap.holder.removeprefix("agent:") for cap in caps if cap.holder.startswith("agent:")}
    return sorted(run for run in live if run in holders)
