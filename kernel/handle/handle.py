"""KernelHandle: the syscall table bound to one principal.

Guarantees: a call through a handle passes the same gate and leaves the same entries as an agent's;
the operator has a cspace like everyone, and no way round it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from kernel.directive import Mount
from kernel.errors import KernelBug
from kernel.ids import Principal, RunId, call_id, new_id
from kernel.jsontypes import JsonValue
from kernel.runtime.dispatch import Caller, Dispatcher
from kernel.syscalls.declare import ToolResult

OPERATOR_ROLE = "operator"


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

    @property
    def principal(self) -> Principal:
        return self.caller.principal

    async def call(self, name: str, arguments: Mapping[str, JsonValue] | None = None) -> ToolResult:
        """Raises: AccessDenied; Invalid (arguments); whatever the syscall's body raises."""
        return (await self.perform(name, arguments)).result

    async def perform(self, name: str, arguments: Mapping[str, JsonValue] | None = None) -> Performed:
        """As `call`; the outcome is durable when it returns."""
        stem = RunId(new_id("h", self.dispatcher.clock.now_us()))
        answered = await self.dispatcher.call(self.caller, call_id(stem, 1), name, json.dumps(arguments or {}))
        if answered.refusal is not None:
            raise answered.refusal.error()
        seq = (await answered.durable).seq if answered.durable is not None else 0
        if answered.error is not None:
            raise answered.error
        if answered.result is None:
            raise KernelBug(f"{name} ended without a result")
        return Performed(answered.result, seq)


def operator_handle(
    dispatcher: Dispatcher, principal: Principal, run: RunId | None = None, mounts: tuple[Mount, ...] = ()
) -> KernelHandle:
    """A person's own handle; with `run`, what it does stands in that run's stream."""
    return KernelHandle(dispatcher, Caller(principal, principal, OPERATOR_ROLE, run, mounts))
