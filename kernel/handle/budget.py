"""`budget.open`: a budget account for the caller's stream, which its runs and its questions draw on.

Guarantees: the account is named like the stream, so nobody opens another's; opened twice, the first
holds. Runs started with it, and `ask_model` in the stream, reserve in it before they spend.
Does not know what was spent before a restart: the caller tells, from its own record.
"""

from __future__ import annotations

from pydantic import Field

from kernel.capability.rights import Rights
from kernel.directive import Budget
from kernel.errors import Invalid
from kernel.gate.request import Cost
from kernel.process.supervisor import Supervisor
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import NameClaim


class OpenArgs(Args):
    """Caps, where None is unbounded, and what was spent before."""

    tokens_max: int | None = Field(default=None, ge=1)
    calls_max: int | None = Field(default=None, ge=1)
    micro_usd_max: int | None = Field(default=None, ge=0)
    spent_tokens: int = Field(default=0, ge=0)
    spent_calls: int = Field(default=0, ge=0)
    spent_micro_usd: int = Field(default=0, ge=0)


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
    budgets = call.services.get(Supervisor).dispatcher.budgets
    if budgets.is_open(call.run):
        return ToolResult(f"the budget of {call.run} is open", {"account": call.run, "opened": False})
    budgets.open(call.run, Budget(args.tokens_max, args.calls_max, args.micro_usd_max))
    budgets.restore(call.run, Cost(args.spent_tokens, args.spent_calls, args.spent_micro_usd))
    return ToolResult(f"the budget of {call.run} is open", {"account": call.run, "opened": True})
