"""A reply, put together from the events of a messages stream or from one whole message.

Guarantees: the fragments of a block land in their own block, by index, however the blocks are
interleaved and whether or not their beginning was seen; `ping` and events nobody knows are passed
over; and what `gather` guarantees. Thinking is given as reasoning; what is redacted is not shown.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

from kernel.adapters.providers.gather import Gathered, usage_of
from kernel.adapters.providers.refusal import Asked, refusal_in_stream
from kernel.errors import ProviderDown
from kernel.ports.provider import CallDelta, FinishReason, ModelEvent, Reply

_FINISH: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


class Assembly:
    """Takes events as they come; `finished` once the provider said why it stopped."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._gathered = Gathered()
        self._by_index: dict[object, int] = {}
        self._begun: dict[int, str] = {}
        self._finish = ""
        self._ended = False
        self._counts: dict[str, Any] = {}
        self._model = asked.model
        self.begun = False
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._called: list[CallDelta] = []

    @property
    def finished(self) -> bool:
        return bool(self._finish)

    @property
    def ended(self) -> bool:
        return self._ended

    def take(self, chunks: list[dict[str, Any]]) -> list[ModelEvent]:
        """Deltas of `chunks`; those of one kind become one, reasoning first, then text.

        Raises: ProviderDown or Invalid, where one is an error event. ProviderDown, where one has not
        the shape of a message's event.
        """
        self._text, self._reasoning, self._called = [], [], []
        try:
            for chunk in chunks:
                self._event(chunk)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
            # The shape is the provider's word, checked by use, as in chat completions.
            said = f"{self._asked.provider} sent an event that is no message's: {error}"
            raise ProviderDown(said, kind="malformed") from error
        return self._gathered.say(self._text, self._reasoning, self._called)

    def reply(self, id_seed: int) -> Reply:
        """`id_seed` numbers the reply within its conversation, for calls that came without an id."""
        for position, whole in self._begun.items():  # A server that sent arguments whole, and no fragments.
            call = self._gathered.calls[position]
            call.parts = call.parts or [whole]
        finish: FinishReason = _FINISH.get(self._finish, "other") if self._finish else "stop"
        fresh, read, written = (
            self._counts.get(name) or 0
            for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        )
        usage = usage_of(_sum(fresh, read, written), self._counts.get("output_tokens"), read, written)
        return self._gathered.reply(finish, usage, f"{self._asked.provider}/{self._model}", id_seed)

    def _event(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "content_block_delta":
                self._delta(event.get("index"), event["delta"])
            case "content_block_start":
                self._start(event.get("index"), event["content_block"])
            case "message_start":
                self._begin(event["message"])
            case "message_delta":
                self._finish = str(event["delta"].get("stop_reason") or self._finish)
                self._count(event.get("usage"))
            case "message_stop":
                self._ended = True
            case "message":  # Not streamed.
                self._whole(event)
            case "error":
                raise refusal_in_stream(self._asked, event.get("error") or event)
            case _ if event.get("error"):
                raise refusal_in_stream(self._asked, event["error"])
            case None if self.begun:
                raise ValueError(f"no type in {json.dumps(event)[:200]}")
            case _:
                return
        self.begun = True

    def _begin(self, message: dict[str, Any]) -> None:
        if model := message.get("model"):
            self._model = str(model)
        usage = message.get("usage")
        if isinstance(usage, dict):  # The answer is not counted yet: a 1 that stands there is no count of it.
            self._count({**cast("dict[str, Any]", usage), "output_tokens": None})

    def _whole(self, message: dict[str, Any]) -> None:
        self._begin(message)
        self._count(message.get("usage"))
        for index, block in enumerate(message["content"]):
            self._start(index, block)
        for position, arguments in self._begun.items():
            self._called.append(CallDelta(position, self._gathered.calls[position].name, arguments))
        self._finish = str(message.get("stop_reason") or "end_turn")
        self._ended = True

    def _start(self, index: object, block: dict[str, Any]) -> None:
        match block.get("type"):
            case "text":
                self._say(block.get("text"))
            case "thinking":
                self._think(block.get("thinking"))
            case "tool_use":
                call_id, name = str(block.get("id") or ""), str(block.get("name") or "")
                position = self._by_index.get(index) if index is not None else None
                if position is None or self._gathered.calls[position].name:
                    position = self._by_index[index] = self._gathered.open()
                call = self._gathered.calls[position]
                call.id, call.name = call_id, name
                if given := block.get("input"):
                    self._begun[position] = given if isinstance(given, str) else json.dumps(given)
                self._called.append(CallDelta(position, name, ""))
            case _:
                return

    def _delta(self, index: object, delta: dict[str, Any]) -> None:
        match delta.get("type"):
            case "text_delta":
                self._say(delta.get("text"))
            case "thinking_delta":
                self._think(delta.get("thinking"))
            case "input_json_delta":
                position = self._by_index.get(index)
                if position is None:  # Its beginning comes later, or never: the runtime says what is missing.
                    position = self._by_index[index] = self._gathered.open()
                call, fragment = self._gathered.calls[position], delta.get("partial_json") or ""
                call.parts.append(str(fragment))
                self._called.append(CallDelta(position, call.name, str(fragment)))
            case _:
                return

    def _say(self, text: object) -> None:
        if text and isinstance(text, str):
            self._text.append(text)

    def _think(self, text: object) -> None:
        if text and isinstance(text, str):
            self._reasoning.append(text)

    def _count(self, usage: object) -> None:
        """What the newest event says of a count replaces what an earlier one said: counts are cumulative."""
        if isinstance(usage, dict):
            told = cast("dict[str, Any]", usage)
            self._counts |= {name: value for name, value in told.items() if value is not None}


def _sum(*counts: object) -> object:
    """All of the prompt; a text where one of its parts is no number, so that it counts as none."""
    numbers = [count for count in counts if isinstance(count, (int, float)) and count >= 0]
    return sum(numbers) if len(numbers) == len(counts) else "no number"
