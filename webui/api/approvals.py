"""Approvals: what waits for a person, answering it, and what stands for always."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from pydantic import ConfigDict, Field

from kernel.gate.approval_record import Row, row_of
from kernel.journal.projection import Scalar
from webui.desk import Desk
from webui.rest.operation import operation
from webui.rest.paging import page_of, paged, place_of
from webui.rest.shapes import Asked, Id, Json, Line, Message, Micros, Page, Paging, Shape


class QuestionOut(Shape):
    """What is asked: the resolved target, what it makes possible next, whether it can be undone."""

    tool: str
    target: str
    why: str
    enables: str
    undoable: bool
    keys: list[str]


class ApprovalOut(Shape):
    id: str
    run: str
    call: str
    owner: str
    status: Literal["pending", "granted", "allowed", "used", "denied", "expired"]
    choice: str
    question: QuestionOut
    asked_us: Micros
    expires_us: Micros
    answered_us: Micros
    answered_by: str
    reason: str


class StandingOut(Shape):
    """What the user allowed for always."""

    key: str
    capability: str
    resource: str
    approval: str


class ApprovalQuery(Paging):
    status: Literal["", "pending", "granted", "allowed", "used", "denied", "expired"] = Field(
        default="pending", description="Empty: all of them."
    )


class AnswerBody(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"choice": "deny", "reason": "Not on this machine."}]})

    choice: Literal["once", "run", "always", "deny"]
    reason: Annotated[str, Field(max_length=2_000)] = ""


class ForgetIn(Asked):
    """`key` as `approvals_standing` lists it, or a capability's id."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"key": "exec:git"}]})

    key: Annotated[Line, Field(min_length=1)]


@operation("GET", "/api/approvals", "approvals_list")
async def approvals_list(desk: Desk, query: ApprovalQuery) -> Page[ApprovalOut]:
    """What waits, and with another status what was answered; the newest first."""
    after = cast("tuple[Scalar, Scalar] | None", place_of(query.cursor, int, str))
    where: dict[str, Scalar] = {"status": query.status} if query.status else {}
    rows = await desk.rows("approvals", where, order="asked_us", descending=True, limit=query.limit + 1, after=after)
    return page_of(rows, query.limit, lambda row: _out(row_of(row)), lambda row: (row["asked_us"], row["id"]))


@operation("GET", "/api/approvals/standing", "approvals_standing")
async def approvals_standing(desk: Desk, query: Paging) -> Page[StandingOut]:
    """What the user allowed for always."""
    listed = cast("list[dict[str, Json]]", (await desk.call("approvals.standing")).data["standing"])
    rows = sorted((StandingOut.model_validate(one) for one in listed), key=lambda one: one.capability)
    return paged(rows, query.limit, query.cursor, lambda one: one, lambda one: one.capability)


@operation("POST", "/api/approvals/standing/forget", "approvals_forget", scope="approve", faults=(404,))
async def approvals_forget(desk: Desk, body: ForgetIn) -> Message:
    """Ask again about what was allowed for always; calls in flight that rest on it are stopped."""
    return Message(message=(await desk.call("approvals.forget", {"key": body.key})).text)


@operation("GET", "/api/approvals/{approval}", "approvals_get")
async def approvals_get(desk: Desk, approval: Id) -> ApprovalOut:
    """One question whole."""
    return ApprovalOut.model_validate((await desk.call("approvals.show", {"approval": approval})).data)


@operation("POST", "/api/approvals/{approval}/answer", "approvals_answer", scope="approve")
async def approvals_answer(desk: Desk, approval: Id, body: AnswerBody) -> ApprovalOut:
    """Allow it once, for this run or for always; or deny it, with a reason that the agent is told."""
    arguments = {"approval": approval, "choice": body.choice, "reason": body.reason.strip()}
    return ApprovalOut.model_validate((await desk.call("approvals.answer", arguments)).data)


def _out(row: Row) -> ApprovalOut:
    return ApprovalOut.model_validate(row.json())


ROUTES = [approvals_list, approvals_standing, approvals_forget, approvals_get, approvals_answer]
