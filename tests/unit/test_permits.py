"""Permits: a body runs with one that the gate issued and the dispatcher redeemed, once, while it lives."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import pytest

from kernel.clock import SystemClock
from kernel.errors import CapabilityRevoked, KernelBug
from kernel.ids import CallId, CapId, Digest, Principal, RunId
from kernel.syscalls.declare import Args, Call, Effect, Services, ToolResult, no_claims, syscall
from kernel.syscalls.permit import Permit, PermitLedger

AGENT = Principal("agent:r1")
OWNER = Principal("user:alice")
RAN: list[str] = []


@syscall("witness", Args, claims=no_claims, effect=Effect.READ)
async def witness(call: Call, _args: Args) -> ToolResult:
    """Leave a trace of having run."""
    RAN.append(call.id)
    return ToolResult("ran")


def permit_of(call: str = "r1.1", name: str = "witness") -> Permit:
    return Permit(AGENT, CallId(call), name, Digest("d"), (), (CapId("c1"),), {})


def call_of(permit: Permit) -> Call:
    return Call(permit.call, AGENT, OWNER, RunId("r1"), permit, (), SystemClock(), Services(), lambda _text: None)


def run(permit: Permit) -> None:
    anyio.run(witness.invoke, call_of(permit), Args())


@dataclass(slots=True)
class Ledger:
    """A ledger with what its calls were told."""

    ledger: PermitLedger = field(default_factory=PermitLedger)
    told: list[str] = field(default_factory=list[str])

    def redeemed(self) -> Permit:
        permit = self.ledger.issue(permit_of())
        self.ledger.redeem(permit, "witness", Digest("d"), self.told.append)
        return permit


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    RAN.clear()


def test_a_redeemed_permit_runs_its_body() -> None:
    """The other side of every refusal below."""
    run(Ledger().redeemed())
    assert RAN == ["r1.1"]


def test_a_permit_that_the_gate_did_not_make_runs_nothing() -> None:
    """Anybody can write `Permit(...)`: it opens no body."""
    with pytest.raises(CapabilityRevoked):
        run(permit_of())
    assert RAN == []


def test_a_permit_that_was_issued_but_not_redeemed_runs_nothing() -> None:
    """The dispatcher binds it to a call first."""
    with pytest.raises(CapabilityRevoked):
        run(PermitLedger().issue(permit_of()))
    assert RAN == []


def test_a_permit_runs_one_body_once() -> None:
    """The second use is refused, although the call still lives."""
    permit = Ledger().redeemed()
    run(permit)
    with pytest.raises(CapabilityRevoked):
        run(permit)
    assert RAN == ["r1.1"]


def test_an_equal_permit_is_not_the_permit() -> None:
    """A copy of a live permit, field by field, opens nothing."""
    Ledger().redeemed()
    with pytest.raises(CapabilityRevoked):
        run(permit_of())
    assert RAN == []


def test_a_permit_withdrawn_between_redeeming_and_the_body_runs_nothing() -> None:
    """A revocation while the intent is written comes in time."""
    world = Ledger()
    permit = world.redeemed()
    world.ledger.withdraw([CapId("c1")], "revoked")
    assert world.told == ["revoked"]
    with pytest.raises(CapabilityRevoked):
        run(permit)
    with pytest.raises(CapabilityRevoked):
        world.ledger.confirm(permit)
    assert RAN == []


def test_a_live_permit_is_confirmed() -> None:
    """A write looks once more between its intent and its act."""
    world = Ledger()
    world.ledger.confirm(world.redeemed())


@pytest.mark.parametrize(("syscall_name", "digest"), [("write", "d"), ("witness", "other")])
def test_a_permit_is_redeemed_for_its_own_call_alone(syscall_name: str, digest: str) -> None:
    """Another syscall or other arguments are a fault of ours, never a call."""
    ledger = PermitLedger()
    permit = ledger.issue(permit_of())
    with pytest.raises(KernelBug):
        ledger.redeem(permit, syscall_name, Digest(digest), lambda _reason: None)


def test_a_permit_is_redeemed_once() -> None:
    """Two bodies never share one."""
    world = Ledger()
    permit = world.redeemed()
    with pytest.raises(KernelBug):
        world.ledger.redeem(permit, "witness", Digest("d"), lambda _reason: None)
