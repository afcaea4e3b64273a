"""What the gate is asked: one call of one syscall by one principal."""

from __future__ import annotations

from dataclasses import dataclass

from kernel.directive import Mount
from kernel.ids import CallId, Digest, Principal, RunId
from kernel.syscalls.declare import AnySyscall, Args


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call may use at most, reserved before it; integers, money in micro-dollars."""

    tokens: int = 0
    calls: int = 1
    micro_usd: int = 0

    def plus(self, other: Cost) -> Cost:
        return Cost(self.tokens + other.tokens, self.calls + other.calls, self.micro_usd + other.micro_usd)

    def minus(self, other: Cost) -> Cost:
        return Cost(self.tokens - other.tokens, self.calls - other.calls, self.micro_usd - other.micro_usd)


@dataclass(frozen=True, slots=True)
class Request:
    """`role` is the RBAC role the principal acts in; `account` names its budget (the run, or "")."""

    principal: Principal
    owner: Principal
    role: str
    run: RunId | None
    call: CallId
    syscall: AnySyscall
    args: Args
    arguments: Digest
    mounts: tuple[Mount, ...]
    account: str = ""
    cost: Cost = Cost()

    @property
    def stream(self) -> str:
        """Where the decision is recorded."""
        return self.run or "kernel"
