"""`budget.open`, `budget.raise`: a budget account for the caller's stream, which its runs and questions draw on.

Guarantees: the account is named like the stream, so nobody opens another's; opened twice, the first
holds, also over a restart. Runs started with it, and `ask_model` in the stream, reserve in it before
they spend; what was spent before a restart is read from their records (`kernel.process.accounts`).
"""

from __future__ import annotations

from pydantic import Field

from kernel.capability.rights import Rights
from kernel.directive import Budget
from kernel.errors import Invalid
from kernel.jsontypes import JsonValue
from kernel.process.supervisor import Supervisor
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import NameClaim


class OpenArgs(Args):
    """Caps, where None is unbounded."""

    tokens_max: int | None = Field(default=None, ge=1)
    calls_max: int | None = Field(default=None, ge=1)
    micro_usd_max: int | None = Field(default=None, ge=0)


@syscall(
    "budget.open",
    OpenArgs,
    claims=lambda _args: (NameClaim("kernel", "runs", Rights.WRITE),),
    effect=Effect.EXTERNAL,
    approval="auto",
    offered=False,
)
async def budget_open(call: Call, args: OpenArgs) -> ToolResult:
    """Open the budget account of the caller's stream."""
    if call.run is None:
        raise Invalid("there is no stream to open a budget for", remedy="call it through a handle with a stream")
    budget = Budget(args.tokens_max, args.calls_max, args.micro_usd_max)
    opened = await call.services.get(Supervisor).accounts.open(call.run, budget, by=call.principal)
    return ToolResult(f"the budget of {call.run} is open", {"account": call.run, "opened": opened})


class RaiseArgs(Args):
    """What is given replaces that cap."""

    tokens_max: int | None = Field(default=None, ge=1)
    calls_max: int | None = Field(default=None, ge=1)
    micro_usd_max: int | None = Field(default=None, ge=1)


@syscall(
    "budget.raise",
    RaiseArgs,
    claims=lambda _args: (NameClaim("kernel", "runs", Rights.WRITE),),
    effect=Effect.EXTERNAL,
    approval="auto",
    offered=False,
)
async def budget_raise(call: Call, args: RaiseArgs) -> ToolResult:
    """Change what the budget account of the caller's stream allows; what was spent before counts."""
    budget = Budget(args.tokens_max, args.calls_max, args.micro_usd_max)
    if call.run is None or budget == Budget():
        raise Invalid("there is nothing to raise", remedy="name a stream, and tokens, calls or money")
    accounts = call.services.get(Supervisor).accounts
    await accounts.allow(call.run, budget, by=call.principal)
    left = accounts.budgets.remaining(call.run)
    data: dict[str, JsonValue] = {
        "account": call.run,
        "tokens_left": left.tokens_max,
        "micro_usd_left": left.micro_usd_max,
    }
    return ToolResult(f"the budget of {call.run} is raised", data)
