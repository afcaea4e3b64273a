"""Approvals as a person handles them: list, show, answer, and what stands for always.

Guarantees: each is a syscall that needs `kernel:approvals` and stands in the journal under who did
it. None is offered to a model, and `Approvals.answer` takes a person's answer only, so an agent
that came by the capability still answers nothing. Another's approval is *not found*
(`kernel.handle.sight`).

Source: RFC-0007.
"""

from __future__ import annotations

from typing import Literal, cast

from kernel.capability.rights import Rights
from kernel.errors import AccessDenied, NotFound
from kernel.gate.approval_record import Row
from kernel.gate.approvals import Approvals
from kernel.gate.asker import Answer
from kernel.gate.standing import key_of
from kernel.handle.sight import missing, require_handled, require_seen, sees_all
from kernel.ids import ApprovalId
from kernel.jsontypes import JsonValue
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import Claim, NameClaim


class ListArgs(Args):
    pending_only: bool = False


class OneArgs(Args):
    approval: str


class AnswerArgs(OneArgs):
    choice: Literal["once", "run", "always", "deny"]
    reason: str = ""


class StandingArgs(Args):
    """Nothing to say."""


class ForgetArgs(Args):
    key: str
    """A key, as `approvals.standing` lists it, or a capability's id."""


def _look(_args: Args) -> tuple[Claim, ...]:
    return (NameClaim("kernel", "approvals", Rights.READ),)


def _act(_args: Args) -> tuple[Claim, ...]:
    return (NameClaim("kernel", "approvals", Rights.WRITE),)


@syscall("approvals.list", ListArgs, claims=_look, effect=Effect.READ, offered=False)
async def approvals_list(call: Call, args: ListArgs) -> ToolResult:
    """List questions put to a person, newest first."""
    owner = "" if sees_all(call) else call.owner
    rows = await call.services.get(Approvals).listed(pending_only=args.pending_only, owner=owner)
    return ToolResult("\n".join(_line(row) for row in rows), {"approvals": [row.json() for row in rows]})


@syscall("approvals.show", OneArgs, claims=_look, effect=Effect.READ, offered=False)
async def approvals_show(call: Call, args: OneArgs) -> ToolResult:
    """Show one question whole: its target, why, what it enables, whether it can be undone."""
    row = await _row(call, args.approval)
    require_seen(call, row.owner, _named(args.approval))
    return ToolResult(_line(row), row.json())


@syscall("approvals.answer", AnswerArgs, claims=_act, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def approvals_answer(call: Call, args: AnswerArgs) -> ToolResult:
    """Answer a question: one that stands, or one that ended, for the run that is resumed."""
    require_handled(call, (await _row(call, args.approval)).owner, _named(args.approval))
    answer = Answer(args.choice, args.reason)
    row = await call.services.get(Approvals).answer(ApprovalId(args.approval), answer, call.principal)
    return ToolResult(_line(row), row.json())


@syscall("approvals.standing", StandingArgs, claims=_look, effect=Effect.READ, offered=False)
async def approvals_standing(call: Call, _args: StandingArgs) -> ToolResult:
    """List what the caller allowed for always."""
    held = call.services.get(Approvals).standing.listed(call.owner)
    listed: list[JsonValue] = [
        {"key": key_of(cap), "capability": cap.id, "resource": str(cap.resource), "approval": cap.origin}
        for cap in held
    ]
    return ToolResult("\n".join(key_of(cap) for cap in held), {"standing": listed})


@syscall("approvals.forget", ForgetArgs, claims=_act, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def approvals_forget(call: Call, args: ForgetArgs) -> ToolResult:
    """Take back what was allowed for always; calls in flight that rest on it are stopped."""
    if not call.principal.startswith("user:"):
        raise AccessDenied(f"{call.principal} may not change approvals", layer="approval", remedy="a person does that")
    gone = await call.services.get(Approvals).standing.forget(call.owner, args.key, by=call.principal)
    return ToolResult(f"{args.key} is asked about again", {"revoked": cast("list[JsonValue]", list(gone))})


async def _row(call: Call, approval: str) -> Row:
    """Raises: NotFound."""
    try:
        return await call.services.get(Approvals).show(approval)
    except NotFound as error:
        raise missing(_named(approval)) from error


def _named(approval: str) -> str:
    return f"approval {approval!r}"


def _line(row: Row) -> str:
    return f"{row.id} {row.status} {row.question.tool} {row.question.target}"
