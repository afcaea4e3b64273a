"""What a stream says of one model request: the entries around it, for whoever asks.

Guarantees: each attempt that was begun ends in one model.reply or model.failed that says what was
settled for it, a cancelled one too; under a cap, what is reserved is durable (model.reserved) before
anything is sent, so that a request that nobody lives to see the end of is counted in full.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from kernel.engine.failures import Failure, FailureClass
from kernel.engine.plan import Try, Wait
from kernel.errors import JournalDown, OxiosError, QueueFull
from kernel.gate.request import Cost
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject, JsonValue
from kernel.log import get_logger
from kernel.ports.provider import Reply
from kernel.runtime.recordable import recordable
from kernel.runtime.spending import RESERVED
from kernel.runtime.text import cut_bytes

REASONING_BYTES_MAX = 4096
WAIT_TOLD_S = 2.0
_log = get_logger("receipts")

Record: TypeAlias = Callable[[str, JsonObject], Awaitable[Entry]]
"""Appends an entry of this kind, and applies it; the result is there when it is durable."""


def _no_calls(_reply: Reply) -> JsonObject:
    return {}


@dataclass(slots=True)
class Receipts:
    """Of one request and its attempts. `about` stands in each of its entries, `said` in the reply too."""

    record: Record
    about: JsonObject
    said: JsonObject
    calls_of: Callable[[Reply], JsonObject] = _no_calls
    """What model.reply says of the calls in it."""
    failures: int = 0

    def requested(self) -> None:
        self.record("model.request", {**self.about, **self.said})

    async def reserved(self, step: Try, cost: Cost) -> None:
        """Returns when it is durable. Raises: JournalDown, QueueFull."""
        amounts = {"model": step.model, "tokens": cost.tokens, "micro_usd": cost.micro_usd}
        await self.record(RESERVED, {**self.said, **amounts})

    def fell_back(self, step: Try) -> None:
        payload: JsonObject = {"from": step.fallback_from, "to": step.model, "reason": step.why}
        self.record("model.fallback", {**self.said, **payload})

    def waiting(self, wait: Wait) -> None:
        """Nothing can be asked before that; a short one is told by the failure alone that it follows."""
        if wait.seconds >= WAIT_TOLD_S:
            self.record("model.waiting", {**self.said, "seconds": round(wait.seconds, 1), "why": wait.why})

    def failed(self, step: Try, failure: Failure, spent: Cost) -> None:
        """One attempt failed."""
        self.failures += 1
        error = failure.error
        said = error.explain() if isinstance(error, OxiosError) else f"{type(error).__name__}: {error}"
        code = error.code if isinstance(error, OxiosError) else "error"
        self._failed({"model": step.model, "class": failure.kind.value, "key": step.key.source}, code, said, spent)

    def abandoned(self, step: Try, spent: Cost) -> None:
        """An attempt was cancelled inside. Never raises: whoever cancels must not be held up."""
        about: JsonObject = {"model": step.model, "class": FailureClass.CANCELLED.value, "key": step.key.source}
        try:
            self._failed(about, "cancelled", "the request was cancelled", spent)
        except (JournalDown, QueueFull) as error:
            _log.error("receipt_not_recorded", model=step.model, tokens=spent.tokens, error=error.explain())

    def refused(self, error: OxiosError) -> None:
        """The whole request failed. Where an attempt did, that is said already."""
        if not self.failures:
            self._failed({}, error.code, error.explain(), Cost(calls=0))

    def replied(self, step: Try, reply: Reply, used: Cost, took_ms: int) -> None:
        """`model` is who answered; `asked` stands beside it where the provider calls it otherwise than we did."""
        reply = recordable(reply)
        usage = reply.usage
        counts = {"in": usage.input_tokens, "out": usage.output_tokens, "cached": usage.cached_tokens}
        if usage.written_tokens:
            counts["written"] = usage.written_tokens
        payload: dict[str, JsonValue] = {
            "text": reply.text,
            "finish": reply.finish,
            "model": reply.model,
            "key": step.key.source,
            "ms": took_ms,
            "usage": dict(counts),
        }
        if reply.model != step.model:
            payload["asked"] = step.model
        if used.tokens != reply.usage.input_tokens + reply.usage.output_tokens:
            payload["tokens"] = used.tokens
        if used.micro_usd:
            payload["micro_usd"] = used.micro_usd
        if reply.reasoning:
            payload["reasoning"] = cut_bytes(reply.reasoning, REASONING_BYTES_MAX)
        self.record("model.reply", {**payload, **self.said, **self.calls_of(reply)})

    def _failed(self, about: JsonObject, code: str, message: str, spent: Cost) -> None:
        payload: dict[str, JsonValue] = {"code": code, "message": message}
        payload |= {name: value for name, value in _amounts(spent).items() if value}
        self.record("model.failed", {**self.about, **about, **self.said, **payload})


def _amounts(cost: Cost) -> dict[str, int]:
    return {"tokens": cost.tokens, "micro_usd": cost.micro_usd}
