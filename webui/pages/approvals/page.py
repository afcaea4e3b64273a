"""The inbox, one approval by its link, and what is allowed for always.

Guarantees: an answer is the syscall `approvals.answer` of the user who gave it; an approval that was
answered elsewhere meanwhile says so.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter

from kernel.gate.approval_record import Row, row_of
from kernel.jsontypes import JsonValue
from webui.desk import Desk
from webui.forms import Form, Part
from webui.navigation import NavItem
from webui.view import page, part

NAV = NavItem("Approvals", "/approvals", "shield-question", 40, keys="g a")
SHOWN: Final = 100


@get("/approvals", include_in_schema=False)
async def index(
    desk: Desk, every: Annotated[bool, QueryParameter(name="all")] = False, part_: Part = ""
) -> Response[str]:
    """What waits, the oldest first; with `all`, what was answered too."""
    model: dict[str, Any] = {"rows": await _listed(desk, every=every), "every": every, "may": _may(desk)}
    if part_ == "badge":
        waiting = sum(row.status == "pending" for row in model["rows"])
        return part(desk, "approvals/badge.html", waiting=waiting)
    if part_ == "list":
        return part(desk, "approvals/list.html", **model)
    standing: JsonValue = (await desk.call("approvals.standing")).data.get("standing", []) if _may(desk) else []
    return page(desk, "approvals/index.html", title="Approvals", standing=standing, **model)


@get("/approvals/{approval:str}", include_in_schema=False)
async def show(desk: Desk, approval: FromPath[str]) -> Response[str]:
    """One approval: the link that the card has."""
    shown = await desk.call("approvals.show", {"approval": approval})
    rows = await desk.rows("approvals", {"id": approval}, limit=1)
    row = row_of(rows[0])
    return page(desk, "approvals/show.html", title="Approval", row=row, data=shown.data, may=_may(desk))


@post("/approvals/{approval:str}/answer", include_in_schema=False, status_code=200)
async def answer(desk: Desk, approval: FromPath[str], data: Form) -> dict[str, str]:
    """Once, for this run, always, or deny with a reason."""
    arguments: dict[str, JsonValue] = {
        "approval": approval,
        "choice": data.get("choice", ""),
        "reason": data.get("reason", "").strip(),
    }
    answered = await desk.call("approvals.answer", arguments)
    return {"message": answered.text}


@post("/approvals/standing/forget", include_in_schema=False, status_code=200)
async def forget(desk: Desk, data: Form) -> dict[str, str]:
    """Ask again about what was allowed for always."""
    return {"message": (await desk.call("approvals.forget", {"key": data.get("key", "")})).text}


def _may(desk: Desk) -> bool:
    return desk.may("kernel:approvals", "w")


async def _listed(desk: Desk, *, every: bool) -> list[Row]:
    where = {} if every else {"status": "pending"}
    rows = await desk.rows("approvals", where, order="asked_us", descending=every, limit=SHOWN)
    return [row_of(row) for row in rows]


ROUTES = [index, show, answer, forget]
