"""A scripted answer in the format of Anthropic's messages API."""

from __future__ import annotations

import json
from typing import Any, Final

from kernel.ports.provider import Usage
from kernel.testing.model_script import Answer, ScriptedCall, argument_pieces, id_of, words

MODEL: Final = "scripted-1"
_REASONS: Final = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}


def encode_stream(answer: Answer) -> bytes:
    """The events of an answer, one after another, a `ping` among them."""
    prompt = _prompt(answer.usage) if answer.usage is not None else {}
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "usage": prompt,
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}, {"type": "ping"}]
    blocks = _texts(answer)
    for index, (kind, text) in enumerate(blocks):
        deltas = [{"type": f"{kind}_delta", kind: word} for word in words(text)]
        if kind == "thinking":
            deltas.append({"type": "signature_delta", "signature": "c2lnbmVk"})
        events += _block(index, {"type": kind, kind: ""}, deltas)
    for place, call in enumerate(answer.calls):
        index = len(blocks) + (place if call.index is None else call.index)
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *argument_pieces(call))]
        events += _block(index, {**_tool_use(call, place), "input": {}}, deltas)
    events += _end(answer)
    return b"".join(map(_event, events))


def encode_whole(answer: Answer) -> bytes:
    """The answer as one message."""
    content: list[dict[str, Any]] = [{"type": kind, kind: text} for kind, text in _texts(answer)]
    content += [{**_tool_use(call, place), "input": _input(call.arguments)} for place, call in enumerate(answer.calls)]
    whole: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL}
    whole |= {"content": content, "stop_reason": _reason(answer)}
    if answer.usage is not None:
        whole["usage"] = {**_prompt(answer.usage), "output_tokens": answer.usage.output_tokens}
    return json.dumps(whole).encode()


def _texts(answer: Answer) -> list[tuple[str, str]]:
    return [(kind, text) for kind, text in (("thinking", answer.reasoning), ("text", answer.text)) if text]


def _tool_use(call: ScriptedCall, place: int) -> dict[str, Any]:
    return {"type": "tool_use", "id": id_of(call, place), "name": call.name}


def _input(arguments: str) -> object:
    """An object, or the text as it is where a test wants it malformed."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _block(index: int, block: dict[str, Any], deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _end(answer: Answer) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    if answer.finish is not None:
        usage = {} if answer.usage is None else {"usage": {"output_tokens": answer.usage.output_tokens}}
        events.append({"type": "message_delta", "delta": {"stop_reason": _reason(answer)}, **usage})
    if answer.done:
        events.append({"type": "message_stop"})
    return events


def _reason(answer: Answer) -> str | None:
    if answer.finish == "auto":
        return "tool_use" if answer.calls else "end_turn"
    return None if answer.finish is None else _REASONS.get(answer.finish, answer.finish)


def _prompt(usage: Usage) -> dict[str, int]:
    """Here the parts of the prompt that a cache holds are counted beside the rest, not within it."""
    fresh = usage.input_tokens - usage.cached_tokens - usage.written_tokens
    return {
        "input_tokens": fresh,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": usage.written_tokens,
        "output_tokens": 1,
    }


def _event(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
