"""A call on its way through the gate, for the tests of single layers."""

from __future__ import annotations

from collections.abc import Mapping

from kernel.directive import Mount
from kernel.gate.decision import Case
from kernel.gate.request import Cost, Request
from kernel.ids import Digest, Principal, RunId, agent, call_id, user
from kernel.syscalls.declare import AnySyscall, ApprovalPolicy, Args, Call, Effect, ToolResult, no_claims, syscall
from kernel.syscalls.target import Target

RUN = RunId("r00000000-test")
ALICE = user("alice")


class TextArgs(Args):
    """Arguments of a tool that exists in tests only."""

    text: str = ""


def tool(name: str, effect: Effect = Effect.EXTERNAL, approval: ApprovalPolicy | None = None) -> AnySyscall:
    """A syscall of that name whose body is never reached."""

    @syscall(name, TextArgs, claims=no_claims, effect=effect, approval=approval)
    async def body(call: Call, args: TextArgs) -> ToolResult:
        """Exist, so that layers have something to judge."""
        raise AssertionError("no layer runs a body")

    return body


def request_of(
    name: str = "exec",
    *,
    text: str = "",
    effect: Effect = Effect.EXTERNAL,
    approval: ApprovalPolicy | None = None,
    principal: Principal | None = None,
    run: RunId | None = RUN,
    number: int = 1,
    account: str = "",
    cost: Cost | None = None,
) -> Request:
    args = TextArgs(text=text)
    return Request(
        principal=principal or agent(RUN),
        owner=ALICE,
        role="agent",
        run=run,
        call=call_id(run or RUN, number),
        syscall=tool(name, effect, approval),
        args=args,
        arguments=Digest(f"{abs(hash(text)):064x}"),
        mounts=(Mount("/w"),),
        account=account,
        cost=cost or Cost(),
    )


def case_of(request: Request | None = None, /, targets: Mapping[str, Target] | None = None, **named: Target) -> Case:
    return Case(request or request_of(), targets={**(targets or {}), **named})
