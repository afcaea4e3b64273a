"""Approvals in the journal: the two entries, the row they make, and what is read back from it.

A row's `status`: `pending`; `granted` (answered while the question stood, for the calls that
waited); `allowed` (answered afterwards: the owner's next identical question is answered by it,
once); `used` (such an answer, taken); `denied`; `expired`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final, Literal, TypeAlias, cast

from kernel.gate.asker import Choice
from kernel.gate.decision import Question
from kernel.gate.request import Request
from kernel.ids import ApprovalId, Principal
from kernel.journal.entry import Draft, Entry
from kernel.journal.projection import Projector, Scalar, Upsert
from kernel.jsontypes import JsonObject, JsonValue

TABLE: Final = "approvals"
ASKED: Final = "approval.asked"
ANSWERED: Final = "approval.answered"

Status: TypeAlias = Literal["pending", "granted", "allowed", "used", "denied", "expired"]


@dataclass(frozen=True, slots=True)
class Row:
    """One approval as the projection holds it; times in microseconds since the epoch."""

    id: ApprovalId
    run: str
    call: str
    owner: Principal
    status: Status
    choice: str
    question: Question
    match: str
    asked_us: int
    expires_us: int
    answered_us: int
    answered_by: str
    reason: str

    def json(self) -> JsonObject:
        fields = cast("dict[str, JsonValue]", asdict(self))
        del fields["match"]
        return fields


def match_of(request: Request, question: Question) -> str:
    """Equal for two questions that are the same: same owner, same arguments, same resolved target."""
    same = [request.owner, request.syscall.name, request.arguments, question.target, list(question.keys)]
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()


def asked(approval: ApprovalId, request: Request, question: Question, expires_us: int) -> Draft:
    return Draft(
        request.principal,
        request.stream,
        ASKED,
        {
            "approval": approval,
            "call": request.call,
            "run": request.run or "",
            "owner": request.owner,
            "question": _json(question),
            "match": match_of(request, question),
            "expires_us": expires_us,
        },
    )


def answered(
    approval: ApprovalId,
    stream: str,
    *,
    status: Status,
    choice: Choice,
    by: Principal,
    reason: str,
    caps: Iterable[str] = (),
    by_approval: str = "",
) -> Draft:
    """`by_approval` is the answer given in advance that this one takes up."""
    payload: dict[str, JsonValue] = {
        "approval": approval,
        "status": status,
        "choice": choice,
        "by": by,
        "reason": reason,
    }
    if held := list(caps):
        payload["capabilities"] = held
    if by_approval:
        payload["by_approval"] = by_approval
    return Draft(by, stream, ANSWERED, payload)


def row_of(columns: dict[str, Scalar]) -> Row:
    """One row of the projection."""
    said = cast("dict[str, JsonValue]", json.loads(str(columns["question"])))
    match = str(said.pop("match"))
    keys = tuple(str(key) for key in cast("list[JsonValue]", said.pop("keys")))

    def number(name: str) -> int:
        return int(columns[name] or 0)

    def text(name: str) -> str:
        return str(columns[name] or "")

    return Row(
        id=ApprovalId(text("id")),
        run=text("run"),
        call=text("call"),
        owner=Principal(text("owner")),
        status=cast("Status", text("status")),
        choice=text("choice"),
        question=Question(
            tool=str(said["tool"]),
            target=str(said["target"]),
            why=str(said["why"]),
            enables=str(said["enables"]),
            undoable=bool(said["undoable"]),
            keys=keys,
        ),
        match=match,
        asked_us=number("asked_us"),
        expires_us=number("expires_us"),
        answered_us=number("answered_us"),
        answered_by=text("answered_by"),
        reason=text("reason"),
    )


def _json(question: Question) -> JsonObject:
    return cast("JsonObject", asdict(question) | {"keys": list(question.keys)})


def _project_asked(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is None:
        return
    said = entry.payload
    question = cast("dict[str, JsonValue]", said["question"]) | {"match": said["match"]}
    yield Upsert(
        TABLE,
        {"id": cast("str", said["approval"])},
        {
            "run": cast("str", said["run"]),
            "call": cast("str", said["call"]),
            "owner": cast("str", said["owner"]),
            "status": "pending",
            "question": json.dumps(question, ensure_ascii=False, sort_keys=True),
            "asked_us": entry.time_us,
            "expires_us": cast("int", said["expires_us"]),
        },
    )


def _project_answered(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is None:
        return
    said = entry.payload
    yield Upsert(
        TABLE,
        {"id": cast("str", said["approval"])},
        {
            "status": cast("str", said["status"]),
            "choice": cast("str", said["choice"]),
            "answered_us": entry.time_us,
            "answered_by": cast("str", said["by"]),
            "reason": cast("str", said["reason"]),
        },
    )
    if "by_approval" in said:
        yield Upsert(TABLE, {"id": cast("str", said["by_approval"])}, {"status": "used"})


PROJECTORS: Final[dict[str, Projector]] = {ASKED: _project_asked, ANSWERED: _project_answered}
