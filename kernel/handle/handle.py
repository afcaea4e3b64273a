"""KernelHandle: the syscall table bound to one principal.

Guarantees: a call through a handle passes the same gate and leaves the same entries as an agent's;
the operator has a cspace like everyone, and no way round it. The role is looked up anew for each call,
so a handle that is kept outlives neither a change of role nor its user.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from kernel.directive import Mount
from kernel.errors import KernelBug
from kernel.ids import Principal, RunId, call_id, new_id
from kernel.jsontypes import JsonValue
from kernel.runtime.dispatch import Caller, Dispatcher
from kernel.syscalls.declare import ToolResult


@dataclass(frozen=True, slots=True)
class Performed:
    """A call that was carried out, and where the journal says so."""

    result: ToolResult
    seq: int


@dataclass(frozen=True, slots=True)
class KernelHandle:
    """What one principal may ask of the kernel."""

    dispatcher: Dispatcher
    caller: Caller
    role_of: Callable[[Principal], str]

    @property
    def principal(self) -> Principal:
        return self.caller.principal

    async def call(self, name: str, arguments: Mapping[str, JsonValue] | None = None) -> ToolResult:
        """Raises: AccessDenied; Invalid (arguments); whatever the syscall's body raises."""
        return (await self.perform(name, arguments)).result

    async def perform(self, name: str, arguments: Mapping[str, JsonValue] | None = None) -> Performed:
        """As `call`; the outcome is durable when it returns."""
        stem = RunId(new_id("h", self.dispatcher.clock.now_us()))
        caller = replace(self.caller, role=self.role_of(self.principal))
        answered = await self.dispatcher.call(caller, call_id(stem, 1), name, json.dumps(arguments or {}))
        if answered.refusal is not None:
            raise answered.refusal.error()
        seq = (await answered.durable).seq if answered.durable is not None else 0
        if answered.error is not None:
            raise answered.error
        if answered.result is None:
            raise KernelBug(f"{name} ended without a result")
        return Performed(answered.result, seq)


def open_handle(
    dispatcher: Dispatcher,
    principal: Principal,
    role_of: Callable[[Principal], str],
    run: RunId | None = None,
    mounts: tuple[Mount, ...] = (),
) -> KernelHandle:
    """A principal's own handle; with `run`, what it does stands in that run's stream."""
    return KernelHandle(dispatcher, Caller(principal, principal, role_of(principal), run, mounts), role_of)
