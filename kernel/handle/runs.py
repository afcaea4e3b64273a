"""Runs as their owner handles them: start, stop, resume, fork, steer.

Guarantees: each is a syscall: it needs `kernel:runs`, and stands in the journal under who did it.
Another's run is *not found* (`kernel.handle.sight`).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from kernel.capability.rights import Rights
from kernel.directive import Budget
from kernel.errors import NotFound
from kernel.handle.sight import missing, require_handled
from kernel.ids import RunId
from kernel.process.supervisor import Supervisor
from kernel.runtime.attached import Tray
from kernel.runtime.doubt import Resolution
from kernel.runtime.record import directive_of, env_of
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import Claim, NameClaim


class StartArgs(Args):
    directive: dict[str, Any]
    env: dict[str, Any]
    seed: str = ""
    approve: Literal["", "manual", "allow-list", "auto"] = ""
    account: str = ""
    """A budget opened with `budget.open`, that pays for the run as well."""


class RunArgs(Args):
    run: str


class ResumeArgs(RunArgs):
    """What is given of tokens, calls, micro_usd and seconds replaces that part of the run's budget."""

    resolution: Resolution | None = None
    tokens: int | None = Field(default=None, gt=0)
    calls: int | None = Field(default=None, gt=0)
    micro_usd: int | None = Field(default=None, gt=0)
    seconds: float | None = Field(default=None, gt=0)


class ForkArgs(RunArgs):
    step: int | None = None
    text: str = ""


class SteerArgs(RunArgs):
    text: str


def _runs(_args: Args) -> tuple[Claim, ...]:
    return (NameClaim("kernel", "runs", Rights.WRITE),)


@syscall("runs.start", StartArgs, claims=_runs, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def start(call: Call, args: StartArgs) -> ToolResult:
    """Start an agent on a directive; its capabilities derive from the caller's."""
    directive = directive_of(args.directive)
    run = await call.services.get(Supervisor).start(
        directive,
        env_of(args.env),
        owner=call.principal,
        seed=args.seed,
        approve=args.approve,
        account=args.account,
        attached=call.services.get(Tray).take(directive.attached),
    )
    return ToolResult(run, {"run": run})


@syscall("runs.cancel", RunArgs, claims=_runs, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def cancel(call: Call, args: RunArgs) -> ToolResult:
    """Stop a run, with every process it started."""
    supervisor = call.services.get(Supervisor)
    await _own(call, supervisor, args.run)
    state = await supervisor.cancel(RunId(args.run), by=call.principal)
    return ToolResult(f"{args.run} {state.status}", {"run": args.run, "status": state.status})


@syscall("runs.resume", ResumeArgs, claims=_runs, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def resume(call: Call, args: ResumeArgs) -> ToolResult:
    """Go on with a paused or interrupted run."""
    supervisor = call.services.get(Supervisor)
    await _own(call, supervisor, args.run)
    budget = Budget(args.tokens, args.calls, args.micro_usd, args.seconds)
    await supervisor.resume(RunId(args.run), by=call.principal, resolution=args.resolution, budget=budget)
    return ToolResult(f"{args.run} goes on", {"run": args.run})


@syscall("runs.fork", ForkArgs, claims=_runs, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def fork(call: Call, args: ForkArgs) -> ToolResult:
    """Start a new run that goes on from a step of another."""
    supervisor = call.services.get(Supervisor)
    await _own(call, supervisor, args.run)
    run = await supervisor.fork(RunId(args.run), by=call.principal, step=args.step, text=args.text)
    return ToolResult(run, {"run": run, "parent": args.run})


@syscall("runs.steer", SteerArgs, claims=_runs, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def steer(call: Call, args: SteerArgs) -> ToolResult:
    """Say something to a live agent before its next reply."""
    supervisor = call.services.get(Supervisor)
    await _own(call, supervisor, args.run)
    await supervisor.steer(RunId(args.run), args.text, by=call.principal)
    return ToolResult("said", {"run": args.run})


async def _own(call: Call, supervisor: Supervisor, run: str) -> None:
    """Raises: NotFound, AccessDenied."""
    try:
        state = await supervisor.state(RunId(run))
    except NotFound as error:
        raise missing(f"run {run!r}") from error
    require_handled(call, state.owner, f"run {run!r}")
