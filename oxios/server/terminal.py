"""The terminal of a command that the server carries, as somebody to ask.

Guarantees: an answer is for the question it names; a question that nobody waits for any longer is
withdrawn from the terminal. A terminal that is gone answers nothing: its command is being stopped.
"""

from __future__ import annotations

import itertools
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

import anyio

from kernel.errors import Invalid, OxiosError, Unavailable
from kernel.gate.asker import Answer, Choice
from kernel.gate.decision import Question
from kernel.ids import ApprovalId, RunId
from oxios.server.outbox import Outbox
from oxios.wire import Message


class _Open:
    """A question on its way."""

    def __init__(self) -> None:
        self.answered = anyio.Event()
        self.said: Message = {}


class Terminal:
    """Implements `kernel.gate.asker.Asker`; `listening` is set once the command says that it asks."""

    def __init__(self, outbox: Outbox) -> None:
        self.listening = False
        self._outbox = outbox
        self._open: dict[int, _Open] = {}
        self._early = b""
        self._numbers = itertools.count(1)

    async def approve(self, approval: ApprovalId, run: RunId | None, question: Question, wait_s: float) -> Answer:
        """Raises: what the terminal's own asker raises."""
        told = {"approval": approval, "run": run, "question": asdict(question), "wait_s": wait_s}
        said = await self._put("approve", told)
        return Answer(cast("Choice", said["choice"]), str(said.get("reason", "")))

    async def ask(self, run: RunId | None, question: str, choices: tuple[str, ...]) -> str:
        """Raises: Unavailable, where the command has no terminal, or nobody answers at it."""
        if not self.listening:
            raise Unavailable("nobody is there to answer", remedy="run it in a terminal, or put the answer in the goal")
        return str((await self._put("ask", {"run": run, "question": question, "choices": choices}))["text"])

    async def edit(self, text: str, suffix: str) -> str:
        """Raises: Invalid, where there is no editor or it failed."""
        return str((await self._put("edit", {"text": text, "suffix": suffix}))["text"])

    async def typed(self) -> bytes:
        """What is typed next; nothing at the end of the input. One at a time."""
        if not self._early:
            said = await self._put("type", {})
            return b64decode(said["typed"])
        early, self._early = self._early, b""
        return early

    def hear(self, message: Message) -> None:
        """An answer of the terminal. What was typed for a question that was withdrawn is kept for the next."""
        waiting = self._open.get(int(message["answer"]))
        if waiting is not None:
            waiting.said = message
            waiting.answered.set()
        elif "typed" in message:
            self._early += b64decode(message["typed"])

    async def _put(self, kind: str, told: Mapping[str, Any]) -> Message:
        number = next(self._numbers)
        waiting = self._open[number] = _Open()
        self._outbox.put({"ask": number, "kind": kind, **told})
        try:
            await waiting.answered.wait()
        finally:
            del self._open[number]
            if not waiting.answered.is_set():
                self._outbox.put({"withdraw": number})
        if "error" in waiting.said:
            raise _error(waiting.said)
        return waiting.said


def _error(said: Message) -> OxiosError:
    kind = Unavailable if said.get("code") == Unavailable.code else Invalid
    return kind(str(said["error"]), remedy=str(said.get("remedy", "")))
