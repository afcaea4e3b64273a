"""What both wire formats gather while a reply comes: text, reasoning, calls, and what they cost.

Guarantees: no text of a reply holds half a character; every call of a finished reply has a unique id
and non-empty arguments; a count of tokens that cannot be true counts as none. Arguments that are no
JSON stay as they came: the runtime answers them, and the model corrects itself.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Final

from kernel.ports.provider import (
    CallDelta,
    FinishReason,
    ModelEvent,
    ReasoningDelta,
    Reply,
    TextDelta,
    ToolCall,
    Usage,
)

TOKENS_MAX: Final = 100_000_000
"""More tokens than any one request can have: a larger count is no count."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DECODER: Final = json.JSONDecoder()


@dataclass(slots=True)
class OpenCall:
    """A call whose arguments may still grow."""

    id: str = ""
    name: str = ""
    parts: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Gathered:
    """A reply so far."""

    calls: list[OpenCall] = field(default_factory=list[OpenCall])
    _text: list[str] = field(default_factory=list[str])
    _reasoning: list[str] = field(default_factory=list[str])
    _half: str = ""

    def say(self, text: list[str], reasoning: list[str], calls: list[CallDelta]) -> list[ModelEvent]:
        """The events of what came at once: what is of one kind becomes one, reasoning first, then text."""
        events: list[ModelEvent] = []
        if reasoning:
            thoughts = mended("".join(reasoning))
            self._reasoning.append(thoughts)
            events.append(ReasoningDelta(thoughts))
        if text and (whole := self._whole_pairs("".join(text))):
            self._text.append(whole)
            events.append(TextDelta(whole))
        return events + calls if calls else events

    def open(self, call_id: str = "", name: str = "") -> int:
        """Begin a call; its place among the calls of the reply."""
        self.calls.append(OpenCall(call_id, name))
        return len(self.calls) - 1

    def reply(self, finish: FinishReason, usage: Usage, model: str, id_seed: int) -> Reply:
        """`id_seed` numbers the reply within its conversation, for calls that came without an id."""
        calls = _unique(_fan_out(self.calls), id_seed)
        if finish in ("stop", "tool_calls"):
            finish = "tool_calls" if calls else "stop"
        return Reply("".join(self._text), calls, finish, usage, mended(model), "".join(self._reasoning))

    def _whole_pairs(self, text: str) -> str:
        """`text` after what was held back; half a surrogate pair at its end waits for the other half."""
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return mended(text)


def mended(text: str) -> str:
    """Surrogate pairs as their character, halves as U+FFFD: neither could be written as UTF-8."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def count(value: object) -> int | None:
    """A number of tokens; None where it is none, negative, or more than can be."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value <= TOKENS_MAX else None


def usage_of(prompt: object, answer: object, cached: object = 0, written: object = 0) -> Usage:
    """Usage as reported, `prompt` being all of it; not reported, where prompt or answer cannot be true."""
    tokens_in, tokens_out = count(prompt), count(answer)
    if tokens_in is None or tokens_out is None or not tokens_in + tokens_out:
        return Usage(reported=False)
    from_cache = min(count(cached) or 0, tokens_in)
    to_cache = min(count(written) or 0, tokens_in - from_cache)
    return Usage(tokens_in, tokens_out, from_cache, written_tokens=to_cache)


def _fan_out(calls: list[OpenCall]) -> list[ToolCall]:
    """Calls with whole arguments; objects written one after another are one call each."""
    found: list[ToolCall] = []
    for call in calls:
        arguments = mended("".join(call.parts)).strip()
        if call.name or arguments:
            call_id, name = mended(call.id), mended(call.name)
            found.extend(ToolCall(call_id, name, one) for one in _objects(arguments))
    return found


def _objects(arguments: str) -> list[str]:
    if not arguments:
        return ["{}"]
    found: list[str] = []
    start = 0
    try:
        while start < len(arguments):
            value, end = _DECODER.raw_decode(arguments, start)
            if not isinstance(value, dict):
                return [arguments]
            found.append(arguments[start:end])
            while end < len(arguments) and arguments[end].isspace():
                end += 1
            start = end
    except (ValueError, RecursionError):
        return [arguments]
    return found


def _unique(calls: list[ToolCall], id_seed: int) -> tuple[ToolCall, ...]:
    seen: set[str] = set()
    kept: list[ToolCall] = []
    for number, call in enumerate(calls, start=1):
        name = call.id
        while not name or name in seen:
            name = f"call_{id_seed}_{number}" if not name else f"{name}_{number}"
        seen.add(name)
        kept.append(call if name == call.id else ToolCall(name, call.name, call.arguments))
    return tuple(kept)
