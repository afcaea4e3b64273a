"""The elements of a conversation's or a run's page: what each shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from webui.toolview import ToolKind

CallState: TypeAlias = Literal["waiting", "running", "done", "failed", "denied", "invalid", "in doubt"]
_ENDED: Final = frozenset({"done", "failed", "denied", "invalid"})


@dataclass(slots=True)
class Item:
    """One element. `id` is the element's, `first` orders it, `seq` is the newest entry in it."""

    id: str
    first: int
    seq: int
    time_us: int
    turn: int = 0


@dataclass(slots=True)
class MessageItem(Item):
    """What somebody said: `goal`, `answer`, `steer` of a person, `reply` of an agent."""

    said: str = "goal"
    text: str = ""
    status: str = ""
    note: str = ""
    run: str = ""
    attachments: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


@dataclass(slots=True)
class PhaseItem(Item):
    phase: str = ""
    state: Literal["running", "done", "failed"] = "running"
    ms: float | None = None
    result: dict[str, Any] = field(default_factory=dict[str, Any])
    message: str = ""
    reply: str = ""
    """Of a conversation, while it is written."""
    answered: bool = False
    """What it asked has its answer."""


@dataclass(slots=True)
class ChangeItem(Item):
    """What holds from the next turn on: who answers, which model, how calls are approved."""

    changes: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class DraftItem(Item):
    """A Seed before it is one. `open` while a person is to accept it."""

    draft: dict[str, Any] = field(default_factory=dict[str, Any])
    state: Literal["open", "accepted", "changed", "declined"] = "open"


@dataclass(slots=True)
class StepItem(Item):
    """One reply of a model."""

    run: str = ""
    number: int = 0
    round: int = 0
    """Of the newest request that it answers."""
    model: str = ""
    text: str = ""
    reasoning: str = ""
    usage: dict[str, int] = field(default_factory=dict[str, int])
    micro_usd: int = 0
    ms: float | None = None
    replied: bool = False
    failures: list[str] = field(default_factory=list[str])
    final: bool = False
    """It made no calls: its words are the answer."""


@dataclass(slots=True)
class CallItem(Item):
    """One tool call, from the model's wish to its outcome."""

    call: str = ""
    run: str = ""
    step: int = 0
    tool: str = ""
    kind: ToolKind = "other"
    target: str = ""
    args: dict[str, Any] = field(default_factory=dict[str, Any])
    state: CallState = "waiting"
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    ms: float | None = None
    effect: str = ""
    caps: list[str] = field(default_factory=list[str])
    mark: dict[str, Any] = field(default_factory=dict[str, Any])
    layer: str = ""
    why: str = ""
    """What the model said when it asked for the call."""
    intent_seq: int = 0
    outcome_seq: int = 0
    undone: bool = False

    @property
    def ended(self) -> bool:
        return self.state in _ENDED

    @property
    def undoable(self) -> bool:
        return self.effect == "write" and self.state == "done" and not self.undone and bool(self.mark)


@dataclass(slots=True)
class ApprovalItem(Item):
    approval: str = ""
    run: str = ""
    call: str = ""
    question: dict[str, Any] = field(default_factory=dict[str, Any])
    status: str = "pending"
    choice: str = ""
    by: str = ""
    reason: str = ""
    expires_us: int = 0


@dataclass(slots=True)
class RunItem(Item):
    """Where a run stands."""

    run: str = ""
    status: str = "running"
    note: str = ""
    model: str = ""
    persona: str = ""
    grant: str = ""
    places: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    resumes: int = 0


@dataclass(slots=True)
class VerdictItem(Item):
    run: str = ""
    passed: bool | None = None
    score: float | None = None
    findings: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
