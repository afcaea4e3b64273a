"""Permits: the only thing a syscall's body runs with, and only the gate makes one.

Guarantees: a permit is bound to one principal, one syscall and one argument digest, is redeemed at
most once, runs one body once, and is void from the moment it is released or a capability it rests
on is revoked. One that was made elsewhere runs nothing.
Does not protect against Python code of ours that reaches into private names: the architecture
tests forbid calls of `PermitLedger.issue` outside `kernel/gate`, and the audit-hook test shows
that no effect happens outside a live permit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kernel.capability.token import Need
from kernel.errors import CapabilityRevoked, KernelBug
from kernel.ids import CallId, CapId, Digest, Principal

if TYPE_CHECKING:
    from kernel.syscalls.target import Target


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """Leave to run one call once. `targets` are what the call's arguments resolved to, by name."""

    principal: Principal
    call: CallId
    syscall: str
    arguments: Digest
    needs: tuple[Need, ...]
    capabilities: tuple[CapId, ...]
    targets: Mapping[str, Target]
    reservation: int = 0
    """The budget's handle of what was reserved; 0 where nothing was."""
    approval: str = ""
    """The approval that allowed it, where one did."""


_ready: Final[dict[int, Permit]] = {}
"""Redeemed, and no body has begun with them: of whatever ledger, since a body knows none."""


def begin(permit: Permit) -> None:
    """A body starts with it, now; for `Syscall.invoke` alone.

    Raises: CapabilityRevoked, unless it was redeemed, lives still, and no body began with it.
    """
    if _ready.pop(id(permit), None) is not permit:
        raise _gone(permit)


def _gone(permit: Permit) -> CapabilityRevoked:
    return CapabilityRevoked(
        f"the permit of {permit.call} was withdrawn before it was used",
        remedy="ask again; if the capability was revoked, ask its holder for a new one",
    )


@dataclass(slots=True)
class PermitLedger:
    """The live permits of one gate."""

    _live: dict[int, Permit] = field(default_factory=dict[int, Permit])
    _redeemed: set[int] = field(default_factory=set[int])
    _cancel: dict[int, Callable[[str], None]] = field(default_factory=dict[int, Callable[[str], None]])

    def issue(self, permit: Permit) -> Permit:
        """Called by the gate alone."""
        self._live[id(permit)] = permit
        return permit

    def redeem(self, permit: Permit, syscall: str, arguments: Digest, cancel: Callable[[str], None]) -> None:
        """Let the body start. `cancel(reason)` is called if a capability under it is revoked.

        Raises: CapabilityRevoked, if that happened since the gate decided. KernelBug, where the
        permit was never issued, was used before, or is another call's.
        """
        key = id(permit)
        if self._live.get(key) is not permit:
            raise _gone(permit)
        if key in self._redeemed or permit.syscall != syscall or permit.arguments != arguments:
            raise KernelBug(f"permit of {permit.call} for {permit.syscall} used twice or for another call")
        self._redeemed.add(key)
        self._cancel[key] = cancel
        _ready[key] = permit

    def confirm(self, permit: Permit) -> None:
        """Look once more, right before an act that nothing interrupts.

        Raises: CapabilityRevoked, where it was withdrawn since.
        """
        if self._live.get(id(permit)) is not permit:
            raise _gone(permit)

    def release(self, permit: Permit) -> None:
        """The call is over, or will not happen."""
        key = id(permit)
        self._live.pop(key, None)
        self._redeemed.discard(key)
        self._cancel.pop(key, None)
        if _ready.get(key) is permit:
            del _ready[key]

    def withdraw(self, revoked: Iterable[CapId], reason: str) -> tuple[Permit, ...]:
        """Void every live permit that rests on one of `revoked`, and stop those running."""
        gone = frozenset(revoked)
        hit = tuple(permit for permit in self._live.values() if not gone.isdisjoint(permit.capabilities))
        for permit in hit:
            cancel = self._cancel.get(id(permit))
            self.release(permit)
            if cancel is not None:
                cancel(reason)
        return hit

    def live(self) -> tuple[Permit, ...]:
        return tuple(self._live.values())

    def running(self) -> tuple[Permit, ...]:
        """Those whose bodies run now."""
        return tuple(permit for key, permit in self._live.items() if key in self._redeemed)
