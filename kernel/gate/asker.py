"""The person at the other end: approvals and questions of an agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from kernel.errors import Unavailable
from kernel.gate.decision import Question
from kernel.ids import ApprovalId, RunId

Choice: TypeAlias = Literal["once", "run", "always", "deny"]


@dataclass(frozen=True, slots=True)
class Answer:
    choice: Choice
    reason: str = ""


class Asker(Protocol):
    """Whoever listens: the terminal's prompt, a web page, nobody."""

    @property
    def listening(self) -> bool:
        """False means that every question is answered with deny, at once."""
        ...

    async def approve(self, approval: ApprovalId, run: RunId | None, question: Question, wait_s: float) -> Answer:
        """Cancelled by the caller when another listener answered or the time is up."""
        ...

    async def ask(self, run: RunId | None, question: str, choices: tuple[str, ...]) -> str:
        """Raises: Unavailable, where nobody listens."""
        ...


class Nobody:
    """No person is there: approvals are denied at once, questions cannot be put."""

    @property
    def listening(self) -> bool:
        return False

    async def approve(self, approval: ApprovalId, run: RunId | None, question: Question, wait_s: float) -> Answer:  # noqa: ARG002 -- the port's form
        return Answer("deny", "nobody is listening")

    async def ask(self, run: RunId | None, question: str, choices: tuple[str, ...]) -> str:  # noqa: ARG002 -- the port's form
        raise Unavailable("nobody is there to answer", remedy="run it in a terminal, or put the answer into the goal")
