"""The person behind the pages, as the kernel's asker: approvals wait in the inbox, questions on the page.

Guarantees: an approval stands until somebody answers it through `approvals.answer`, or its time is
up; a question is answered once, by whoever the page lets in, and is gone with the run that put it.
Questions are not on record here: a run that a crash cut off puts its question again.

Source: RFC-0007, RFC-0015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from kernel.errors import NotFound
from kernel.gate.asker import Answer
from kernel.gate.decision import Question
from kernel.ids import ApprovalId, RunId


@dataclass(slots=True)
class Waiting:
    """A question that an agent put, without an answer yet."""

    run: RunId
    question: str
    choices: tuple[str, ...]
    answered: anyio.Event = field(default_factory=anyio.Event)
    answer: str = ""


class WebAsker:
    """Implements `kernel.gate.asker.Asker`. Listens always: who is not at the page now may come."""

    def __init__(self) -> None:
        self._waiting: dict[RunId, Waiting] = {}
        self._listeners: list[Callable[[RunId], None]] = []

    @property
    def listening(self) -> bool:
        return True

    async def approve(self, approval: ApprovalId, run: RunId | None, question: Question, wait_s: float) -> Answer:  # noqa: ARG002 -- the port's form
        await anyio.sleep_forever()
        raise AssertionError  # Never reached: the caller cancels when there is an answer, or the time is up.

    async def ask(self, run: RunId | None, question: str, choices: tuple[str, ...]) -> str:
        """Wait for `answer`. One question of a run at a time: tools that ask run alone."""
        waiting = Waiting(run or RunId(""), question, choices)
        self._waiting[waiting.run] = waiting
        self._tell(waiting.run)
        try:
            await waiting.answered.wait()
        finally:
            if self._waiting.get(waiting.run) is waiting:
                del self._waiting[waiting.run]
            self._tell(waiting.run)
        return waiting.answer

    def asking(self) -> list[RunId]:
        """Runs that wait for an answer."""
        return list(self._waiting)

    def waiting(self, run: RunId) -> Waiting | None:
        return self._waiting.get(run)

    def answer(self, run: RunId, text: str) -> None:
        """Raises: NotFound, where the run waits for no answer."""
        waiting = self._waiting.pop(run, None)
        if waiting is None:
            raise NotFound(f"run {run} waits for no answer", remedy="somebody may have answered already")
        waiting.answer = text
        waiting.answered.set()

    def subscribe(self, listener: Callable[[RunId], None]) -> Callable[[], None]:
        """Hear of each run whose question came or went; the returned call ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _tell(self, run: RunId) -> None:
        for listener in tuple(self._listeners):
            listener(run)
