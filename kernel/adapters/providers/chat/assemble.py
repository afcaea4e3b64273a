"""A reply, put together from the chunks of a stream or from one whole answer.

Guarantees: deltas of parallel calls land in their own call, by index, or by id where a server gives
all of them one index; thoughts between tags are no text; and what `gather` guarantees.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

from kernel.adapters.providers.chat.thoughts import Thoughts
from kernel.adapters.providers.gather import Gathered, count, usage_of
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
    "model_length": "length",
    "content_filter": "content_filter",
}
_GIVEN_UP: Final = frozenset({"error", "abort", "insufficient_system_resource"})
"""Words of OpenRouter and Mistral, of vLLM, and of DeepSeek for a reply that is not whole."""
_THOUGHTS: Final = ("text", "summary")


class Assembly:
    """Takes chunks as they come; `finished` once the provider said why it stopped."""

    ended = False
    """`[DONE]` ends the stream, which the reader of events sees."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._gathered = Gathered()
        self._thoughts = Thoughts()
        self._by_index: dict[object, int] = {}
        self._finish = ""
        self._usage = Usage(reported=False)
        self._model = asked.model
        self.begun = False

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
            thought = delta.get("reasoning_content") or delta.get("reasoning") or delta.get("thinking")
            if thought and isinstance(thought, str):
                reasoning.append(thought)
            elif details := joined(delta.get("reasoning_details"), _THOUGHTS):
                reasoning.append(details)
            if content := delta.get("content") or delta.get("refusal"):
                if isinstance(content, str):
                    text.append(content)
                else:  # In parts, of which some may be thoughts.
                    reasoning.extend(filter(None, [joined(content, ("thinking",))]))
                    text.extend(filter(None, [joined(content, ("text",))]))
            if calls := delta.get("tool_calls"):
                called.extend(self._call_delta(one) for one in calls)
            elif legacy := delta.get("function_call"):
                called.append(self._call_delta({"index": 0, "function": legacy}))
        if text and not self._thoughts.done:
            text = self._without_thoughts(*self._thoughts.feed("".join(text)), reasoning)
        return self._gathered.say(text, reasoning, called)

    def reply(self, id_seed: int) -> Reply:
        """`id_seed` numbers the reply within its conversation, for calls that came without an id."""
        reasoning: list[str] = []
        self._gathered.say(self._without_thoughts(*self._thoughts.rest(), reasoning), reasoning, [])
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
        self.begun = True
        if model := chunk.get("model"):
            self._model = str(model)
        if finish := choice.get("finish_reason"):
            self._finish = str(finish).partition(":")[0].lower()
            if self._finish in _GIVEN_UP or choice.get("error"):
                raise refusal_in_stream(self._asked, choice.get("error") or f"its reply ended as {finish!r}")
            if isinstance(usage := choice.get("usage"), dict):  # Where Moonshot puts it.
                self._usage = _usage(cast("dict[str, Any]", usage))
        return choice.get("delta") or choice.get("message")

    def _without_thoughts(self, thought: str, text: str, reasoning: list[str]) -> list[str]:
        if thought:
            reasoning.append(thought)
        return [text] if text else []

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
        calls = self._gathered.calls
        if index is not None:
            position = self._by_index.get(index, -1)
        else:
            known = (at for at, call in enumerate(calls) if call_id and call.id == call_id)
            position = next(known, len(calls) - 1)
        if position >= 0:
            call = calls[position]
            another = (call_id and call.id and call_id != call.id) or (call.name and name != call.name)
            if not (name and another):
                return position
        self._by_index[index] = opened = self._gathered.open()
        return opened


def joined(content: object, names: tuple[str, ...]) -> str:
    """The texts under `names` of a content that came as parts, which may have parts themselves."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [cast("dict[str, Any]", part) for part in cast("list[object]", content) if isinstance(part, dict)]
    return "".join(joined(part[name], ("text",)) for part in parts for name in names if part.get(name))


def _usage(usage: dict[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details")
    cached = cast("dict[str, Any]", details).get("cached_tokens") if isinstance(details, dict) else None
    cached = cached or usage.get("prompt_cache_hit_tokens") or 0
    prompt, answer, total = (count(usage.get(f"{of}_tokens")) for of in ("prompt", "completion", "total"))
    if prompt is not None and answer is not None and total is not None and total > prompt + answer:
        answer = total - prompt  # xAI and Gemini count thoughts in the total alone, and bill them.
    return usage_of(prompt, answer, cached)
