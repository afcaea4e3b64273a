"""A reply, put together from the chunks of a stream or from one whole answer.

Guarantees: deltas of parallel calls land in their own call, by index, or by id where a server gives
all of them one index; and what `gather` guarantees.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

from kernel.adapters.providers.gather import Gathered, usage_of
from kernel.adapters.providers.refusal import Asked, refusal_in_stream
from kernel.errors import ProviderDown
from kernel.ports.provider import CallDelta, FinishReason, ModelEvent, Reply, Usage

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


class Assembly:
    """Takes chunks as they come; `finished` once the provider said why it stopped."""

    ended = False
    """`[DONE]` ends the stream, which the reader of events sees."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._gathered = Gathered()
        self._by_index: dict[object, int] = {}
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
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
            # The shape is the provider's word, checked by use: checking each field first doubles the cost of a token.
            said = f"{self._asked.provider} sent a chunk that is no chat completion: {error}"
            raise ProviderDown(said, kind="malformed") from error

    def _take(self, chunks: list[dict[str, Any]]) -> list[ModelEvent]:
        text: list[str] = []
        reasoning: list[str] = []
        called: list[CallDelta] = []
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
                called.extend(self._call_delta(one) for one in calls)
        return self._gathered.say(text, reasoning, called)

    def reply(self, id_seed: int) -> Reply:
        """`id_seed` numbers the reply within its conversation, for calls that came without an id."""
        finish: FinishReason = _FINISH.get(self._finish, "other") if self._finish else "stop"
        return self._gathered.reply(finish, self._usage, f"{self._asked.provider}/{self._model}", id_seed)

    def _delta(self, chunk: dict[str, Any]) -> dict[str, Any] | None:
        if chunk.get("error") or chunk.get("object") == "error":
            raise refusal_in_stream(self._asked, chunk.get("error") or chunk)
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = _usage(cast("dict[str, Any]", usage))
        choices = chunk.get("choices")
        if not choices:
            return None
        choice = cast("dict[str, Any]", choices[0])
        if model := chunk.get("model"):
            self._model = str(model)
        if finish := choice.get("finish_reason"):
            self._finish = str(finish)
        return choice.get("delta") or choice.get("message")

    def _call_delta(self, delta: dict[str, Any]) -> CallDelta:
        function = cast("dict[str, Any]", delta.get("function") or {})
        name, call_id = str(function.get("name") or ""), str(delta.get("id") or "")
        position = self._position(delta.get("index"), call_id, name)
        call = self._gathered.calls[position]
        call.id = call.id or call_id
        call.name = call.name or name
        arguments = function.get("arguments") or ""
        fragment = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call.parts.append(fragment)
        return CallDelta(position, call.name, fragment)

    def _position(self, index: object, call_id: str, name: str) -> int:
        """Which call a delta belongs to; a new one where it names a call not seen under that index."""
        position = self._by_index.get(index) if index is not None else len(self._gathered.calls) - 1
        if position is not None and position >= 0:
            known = self._gathered.calls[position].id
            if not (name and call_id and known and call_id != known):
                return position
        self._by_index[index] = opened = self._gathered.open()
        return opened


def _joined(content: object) -> str:
    """The text of a content that came as parts."""
    if not isinstance(content, list):
        return ""
    parts = [cast("dict[str, Any]", part) for part in cast("list[object]", content) if isinstance(part, dict)]
    return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _usage(usage: dict[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details")
    cached = cast("dict[str, Any]", details).get("cached_tokens") if isinstance(details, dict) else None
    cached = cached or usage.get("prompt_cache_hit_tokens") or 0
    return usage_of(usage.get("prompt_tokens"), usage.get("completion_tokens"), cached)
