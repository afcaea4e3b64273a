"""How models served, counted from the journal: calls, failures, tokens, money, time, fallbacks.

Guarantees: a fold over entries, so the same journal gives the same numbers, whether the kernel runs
or not; money is what was settled, in micro-dollars; `alone_micro_usd` of a model is what all recorded
replies would have cost, had that model given them, token for token.
Does not know requests that left no entry, and of a reply without reported usage it knows no tokens.
Another model would have needed other numbers of tokens; that is not corrected for.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from kernel.engine.breaker import Breaker, BreakerState
from kernel.engine.failures import RULES, FailureClass
from kernel.engine.money import cost
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject
from kernel.ports.provider import Price, Usage

FALLBACKS_KEPT: Final = 200
REPLIES_KEPT: Final = 1_000_000
"""For the comparison of models; older replies are left out of it."""
_US: Final = 1_000_000
_FIELDS: Final = 4
KINDS: Final = frozenset({"model.request", "model.reply", "model.failed", "model.fallback", "kernel.booted"})

_CLASS_OF_CODE: Final[dict[str, FailureClass]] = {
    "key_refused": FailureClass.AUTH,
    "quota_spent": FailureClass.BILLING,
    "model_unknown": FailureClass.MODEL_UNKNOWN,
    "context_overflow": FailureClass.OVERFLOW,
    "content_refused": FailureClass.CONTENT,
    "rate_limited": FailureClass.RATE_LIMIT,
    "provider_overloaded": FailureClass.OVERLOADED,
    "provider_timeout": FailureClass.TIMEOUT,
    "provider_unreachable": FailureClass.NETWORK,
    "no_model_server": FailureClass.ADDRESS,
    "deadline_passed": FailureClass.TIMEOUT,
    "invalid": FailureClass.REQUEST,
    "provider_down": FailureClass.UNKNOWN,
}
"""For entries without a class. A code that is not here is not the provider's doing."""


@dataclass(frozen=True, slots=True)
class FallbackEvent:
    time_us: int
    run: str
    from_model: str
    to_model: str
    reason: str


@dataclass(slots=True)
class ModelStats:
    """One model. `calls` counts attempts that were answered or failed; tokens are those reported."""

    model: str
    replies: int = 0
    failures: Counter[str] = field(default_factory=Counter[str])
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_micro_usd: int = 0
    assumed_micro_usd: int = 0
    """The part of the cost that nobody reported: the most that those requests can have cost."""
    answered_as: str = ""
    """What the provider called it in the newest reply, where that is another name."""
    answered_ms: array[int] = field(default_factory=lambda: array("q"))

    @property
    def calls(self) -> int:
        return self.replies + self.failures.total()

    def latency_ms(self, percent: int) -> int | None:
        """The nearest-rank percentile of the time to a whole reply; None without replies."""
        if not self.answered_ms:
            return None
        ordered = sorted(self.answered_ms)
        return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]


class RoutingStats:
    """Apply entries in order; then read."""

    def __init__(self) -> None:
        self.models: dict[str, ModelStats] = {}
        self.fallbacks: deque[FallbackEvent] = deque(maxlen=FALLBACKS_KEPT)
        self._used: array[int] = array("q")
        self._breakers: dict[tuple[str, str], Breaker] = {}

    def apply(self, entry: Entry) -> None:
        """Kinds that say nothing about models, and erased payloads, change nothing."""
        if entry.kind == "kernel.booted":
            self._breakers.clear()  # They live in the process.
        elif entry.payload is not None and entry.kind in KINDS:
            self._apply(entry, entry.payload)

    def alone_micro_usd(self, price: Price) -> int:
        """What all replies would have cost at this price."""
        used = self._used
        return sum(
            cost(price, Usage(used[at], used[at + 1], used[at + 2], True, used[at + 3]))
            for at in range(0, len(used), _FIELDS)
        )

    def alone(self, models: Iterable[str], price_of: Callable[[str], Price | None]) -> Mapping[str, int]:
        """For each model with a known price, the same; cheapest first."""
        prices = {model: price for model in models if (price := price_of(model)) is not None}
        found = {model: self.alone_micro_usd(price) for model, price in prices.items()}
        return dict(sorted(found.items(), key=lambda one: (one[1], one[0])))

    def breakers(self, now_us: int) -> Mapping[tuple[str, str], tuple[BreakerState, int]]:
        """State and failures in a row by (model, key's source), as the entries since the last boot have them."""
        now_s = now_us / _US
        return {at: (one.state(now_s), one.failures) for at, one in self._breakers.items()}

    @property
    def cost_micro_usd(self) -> int:
        return sum(one.cost_micro_usd for one in self.models.values())

    @property
    def assumed_micro_usd(self) -> int:
        return sum(one.assumed_micro_usd for one in self.models.values())

    def best(self, alone: Mapping[str, int]) -> str:
        """The cheapest of `alone` that has answered; of equals, the one that failed least. Empty without one."""
        answered = [one for one in self.models.values() if one.replies and one.model in alone]
        ranked = sorted(answered, key=lambda one: (alone[one.model], one.failures.total() / one.calls, one.model))
        return ranked[0].model if ranked else ""

    def _apply(self, entry: Entry, payload: JsonObject) -> None:
        match entry.kind:
            case "model.reply":
                self._reply(payload)
            case "model.failed":
                self._failed(payload, entry.time_us / _US)
            case "model.fallback":
                event = FallbackEvent(
                    entry.time_us, entry.stream, _text(payload, "from"), _text(payload, "to"), _text(payload, "reason")
                )
                self.fallbacks.append(event)
            case _:
                self._of(payload)

    def _reply(self, payload: JsonObject) -> None:
        one = self._of(payload)
        usage = payload.get("usage")
        fields = cast("Mapping[str, Any]", usage if isinstance(usage, Mapping) else {})
        counted = [_amount(fields, name) for name in ("in", "out", "cached", "written")]
        one.replies += 1
        if (answered := _text(payload, "model")) != one.model:
            one.answered_as = answered
        one.input_tokens += counted[0]
        one.output_tokens += counted[1]
        one.cached_tokens += counted[2]
        one.cost_micro_usd += _amount(payload, "micro_usd")
        if not sum(counted):
            one.assumed_micro_usd += _amount(payload, "micro_usd")
        one.answered_ms.append(_amount(payload, "ms"))
        if len(self._used) >= REPLIES_KEPT * _FIELDS:
            del self._used[: len(self._used) // 2]
        self._used.extend(counted)
        self._breakers.pop((one.model, _text(payload, "key")), None)  # It gates no more.

    def _failed(self, payload: JsonObject, now_s: float) -> None:
        one = self._of(payload)
        kind = failure_class(payload)
        one.failures[kind] += 1
        one.cost_micro_usd += _amount(payload, "micro_usd")
        one.assumed_micro_usd += _amount(payload, "micro_usd")
        at = (one.model, _text(payload, "key"))
        match RULES[kind].breaker:
            case "failure":
                self._breakers.setdefault(at, Breaker()).failed(now_s)
            case "alive":
                self._breakers.pop(at, None)
            case "nothing":
                return

    def _of(self, payload: JsonObject) -> ModelStats:
        model = _text(payload, "asked") or _text(payload, "model") or "unknown"
        return self.models.setdefault(model, ModelStats(model))


def failure_class(payload: JsonObject) -> FailureClass:
    """The class of a model.failed entry: as it says, else by the error's code."""
    said = payload.get("class")
    if isinstance(said, str) and said in FailureClass.__members__.values():
        return FailureClass(said)
    return _CLASS_OF_CODE.get(_text(payload, "code"), FailureClass.KERNEL)


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    return value if isinstance(value, str) else ""


def _amount(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    return value if isinstance(value, int) and value > 0 else 0
