"""What the gate answers: a value, matched exhaustively; only the syscall edge raises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from kernel.capability.token import Need
from kernel.errors import AccessDenied
from kernel.gate.request import Request
from kernel.ids import CapId
from kernel.jsontypes import JsonObject
from kernel.syscalls.permit import Permit
from kernel.syscalls.target import Target

LayerName: TypeAlias = Literal[
    "journal", "arguments", "capability", "roles", "paths", "commands", "egress", "budget", "approval"
]


@dataclass(frozen=True, slots=True)
class Denied:
    """Refused by `layer`; `remedy` says what would change that."""

    layer: LayerName
    reason: str
    remedy: str
    need: str = ""

    def error(self) -> AccessDenied:
        return AccessDenied(self.reason, layer=self.layer, need=self.need, remedy=self.remedy)


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked: the resolved target, what it makes possible, whether it can be undone."""

    tool: str
    target: str
    why: str
    enables: str
    undoable: bool
    keys: tuple[str, ...]
    """Allow-list keys, narrowest first; `always` derives one capability for each narrow one (`remembered_by`)."""


@dataclass(frozen=True, slots=True)
class NeedsApproval:
    question: Question


def denied_payload(request: Request, denied: Denied) -> JsonObject:
    """The call.denied entry, as the gate records it and the run's state reads it."""
    return {
        "call": request.call,
        "tool": request.syscall.name,
        "layer": denied.layer,
        "reason": denied.reason,
        "remedy": denied.remedy,
        "need": denied.need,
    }


Decision: TypeAlias = Permit | Denied | NeedsApproval


@dataclass(slots=True)
class Case:
    """One request on its way through the layers; each layer may add what it found."""

    request: Request
    targets: dict[str, Target] = field(default_factory=dict[str, Target])
    needs: list[Need] = field(default_factory=list[Need])
    capabilities: list[CapId] = field(default_factory=list[CapId])
    reservation: int = 0
    approval: str = ""
