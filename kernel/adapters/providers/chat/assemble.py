"""A reply, put together from the chunks of a stream or from one whole answer.

Guarantees: deltas of parallel calls land in their own call, by index, or by id where a server gives
all of them one index; every call of the finished reply has a unique id and non-empty arguments.
Arguments that are no JSON stay as they came: the runtime answers them, the model corrects itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final, cast

from kernel.adapters.providers.chat.refusal import Asked, refusal_in_stream
from kernel.errors import ProviderDown
from kernel.ports.provider import CallDelta, FinishReason, ModelEvent, ReasoningDelta, Reply, TextDelta, ToolCall, Usage

_FINISH: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DECODER: Final = json.JSONDecoder()


@dataclass(slots=True)
class _OpenCall:
    id: str = ""
    name: str = ""
    parts: list[str] = field(default_factory=list[str])


class Assembly:
    """Takes chunks as they come; `finished` once the provider said why it stopped."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[_OpenCall] = []
        self._by_index: dict[object, int] = {}
        self._half = ""
        self._finish = ""
        self._usage = Usage(reported=False)
        self._model = asked.model

    @property
    def finished(self) -> bool:
        return bool(self._finish)

    def take(self, chunks: list[dict[str, Any]]) -> list[ModelEvent]:
        """Deltas of `chunks`; those of one kind become one, reasoning first, then text.

        Raises: ProviderDown or Invalid, where one is an error object. ProviderDown, where one has
        not the shape of a chat completion.
        """
        try:
            return self._take(chunks)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            # The shape is the provider's word, checked by use: checking each field first doubles the cost of a token.
            raise ProviderDown(f"{self._asked.provider} sent a chunk that is no chat completion: {error}") from error

    def _take(self, chunks: list[dict[str, Any]]) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        text: list[str] = []
        reasoning: list[str] = []
        for chunk in chunks:
            delta = self._delta(chunk)
            if delta is None:
                continue
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            if thought and isinstance(thought, str):
                reasoning.append(thought)
            if content := delta.get("content"):
                text.append(content if isinstance(content, str) else _joined(content))
            if calls := delta.get("tool_calls"):
                events.extend(self._call_delta(one) for one in calls)
        if reasoning:
            thoughts = _mended("".join(reasoning))
            self._reasoning.append(thoughts)
            events.insert(0, ReasoningDelta(thoughts))
        if text and (whole := self._whole_pairs("".join(text))):
            self._text.append(whole)
            events.insert(1 if reasoning else 0, TextDelta(whole))
        return events

    def reply(self, id_seed: int) -> Reply:
        """`id_seed` numbers the reply within its conversation, for calls that came without an id."""
        calls = _unique(_fan_out(self._calls), id_seed)
        finish: FinishReason = _FINISH.get(self._finish, "other") if self._finish else "stop"
        if finish in ("stop", "tool_calls"):
            finish = "tool_calls" if calls else "stop"
        return Reply("".join(self._text), calls, finish, self._usage, self._answered(), "".join(self._reasoning))

    def _whole_pairs(self, text: str) -> str:
        """`text` after what was held back; half a surrogate pair at its end waits for the other half."""
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return _mended(text)

    def _answered(self) -> str:
        return f"{self._asked.provider}/{self._model}"

    def _delta(self, chunk: dict[str, Any]) -> dict[str, Any] | None:
        if chunk.get("error") or chunk.get("object") == "error":
            raise refusal_in_stream(self._asked, chunk.get("error") or chunk)
        if usage := chunk.get("usage"):
            self._usage = _usage(usage)
        choices = chunk.get("choices")
        if not choices:
            return None
        choice = cast("dict[str, Any]", choices[0])
        if model := chunk.get("model"):
            self._model = _mended(str(model))
        if finish := choice.get("finish_reason"):
            self._finish = str(finish)
        return choice.get("delta") or choice.get("message")

    def _call_delta(self, delta: dict[str, Any]) -> CallDelta:
        function = cast("dict[str, Any]", delta.get("function") or {})
        name, call_id = str(function.get("name") or ""), str(delta.get("id") or "")
        position = self._position(delta.get("index"), call_id, name)
        call = self._calls[position]
        call.id = call.id or call_id
        call.name = call.name or name
        arguments = function.get("arguments") or ""
        fragment = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call.parts.append(fragment)
        return CallDelta(position, call.name, fragment)

    def _position(self, index: object, call_id: str, name: str) -> int:
        """Which call a delta belongs to; a new one where it names a call not seen under that index."""
        position = self._by_index.get(index) if index is not None else len(self._calls) - 1
        if position is not None and position >= 0:
            known = self._calls[position].id
            if not (name and call_id and known and call_id != known):
                return position
        self._calls.append(_OpenCall())
        self._by_index[index] = len(self._calls) - 1
        return len(self._calls) - 1


def _mended(text: str) -> str:
    """Surrogate pairs as their character, halves as U+FFFD: neither could be written as UTF-8."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _joined(content: object) -> str:
    """The text of a content that came as parts."""
    if not isinstance(content, list):
        return ""
    parts = [cast("dict[str, Any]", part) for part in cast("list[object]", content) if isinstance(part, dict)]
    return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _usage(usage: dict[str, Any]) -> Usage:
    details = cast("dict[str, Any]", usage.get("prompt_tokens_details") or {})
    cached = details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0
    return Usage(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0), int(cached))


def _fan_out(calls: list[_OpenCall]) -> list[ToolCall]:
    """Calls with whole arguments; objects written one after another are one call each."""
    found: list[ToolCall] = []
    for call in calls:
        arguments = _mended("".join(call.parts)).strip()
        if call.name or arguments:
            call_id, name = _mended(call.id), _mended(call.name)
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
    except ValueError:
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
