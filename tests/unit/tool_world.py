"""Calling a tool as the dispatcher does, with a permit for what its claims resolved to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kernel.clock import Clock, SystemClock
from kernel.directive import Mount, MountMode
from kernel.errors import AccessDenied
from kernel.gate.arguments import ArgumentsLayer
from kernel.gate.decision import Case, Denied
from kernel.gate.egress import Egress, EgressLayer
from kernel.gate.request import Request
from kernel.ids import CallId, Digest, Principal, RunId
from kernel.jsontypes import JsonValue
from kernel.syscalls.declare import AnySyscall, Args, Call, Change, Services, ToolResult
from kernel.syscalls.permit import Permit, PermitLedger
from kernel.syscalls.target import UrlTarget

OWNER = Principal("user:alice")
AGENT = Principal("agent:r1")
RUN = RunId("r1")


@dataclass(slots=True)
class ToolWorld:
    """One workspace, and whatever services a tool asks for."""

    workspace: Path
    services: Services = field(default_factory=Services)
    mode: MountMode = "rw"
    more: tuple[Mount, ...] = ()
    clock: Clock = field(default_factory=SystemClock)
    progress: list[str] = field(default_factory=list[str])
    calls: int = 0

    async def compute(self, tool: AnySyscall, **arguments: JsonValue) -> ToolResult | Change:
        """Run the body; a write's change is not applied."""
        return await tool.invoke(*await self.prepared(tool, **arguments))

    async def change(self, tool: AnySyscall, **arguments: JsonValue) -> Change:
        """Run the body of a write that has something to change."""
        found = await self.compute(tool, **arguments)
        assert not isinstance(found, ToolResult)
        return found

    async def call(self, tool: AnySyscall, **arguments: JsonValue) -> ToolResult:
        """Run the body, and apply its change where it is a write."""
        found = await self.compute(tool, **arguments)
        return found if isinstance(found, ToolResult) else await found.apply()

    async def prepared(self, tool: AnySyscall, **arguments: JsonValue) -> tuple[Call, Args]:
        """A call with its permit, and its parsed arguments.

        Raises: AccessDenied, where a claim cannot be resolved.
        """
        args = tool.args.model_validate(arguments)
        self.calls += 1
        call = CallId(f"{RUN}.{self.calls}")
        mounts = (Mount(str(self.workspace), self.mode), *self.more)
        request = Request(AGENT, OWNER, "agent", RUN, call, tool, args, Digest("0"), mounts)
        case = Case(request)
        refused = await ArgumentsLayer(()).check(case)
        if refused is None and any(isinstance(target, UrlTarget) for target in case.targets.values()):
            refused = await EgressLayer(self.services.get(Egress)).check(case)
        if isinstance(refused, Denied):
            raise AccessDenied(refused.reason, layer=refused.layer)
        permit = Permit(AGENT, call, tool.name, Digest("0"), tuple(case.needs), (), dict(case.targets))
        ledger = PermitLedger()
        ledger.redeem(ledger.issue(permit), tool.name, permit.arguments, lambda _reason: None)
        return (
            Call(call, AGENT, OWNER, RUN, permit, mounts, self.clock, self.services, self.progress.append),
            args,
        )
