"""A scripted answer in the format of OpenAI-compatible chat completions."""

from __future__ import annotations

import json
from typing import Any

from kernel.ports.provider import Usage
from kernel.testing.model_script import Answer, ScriptedCall, argument_pieces, id_of, words


def encode_stream(answer: Answer) -> bytes:
    """The events of an answer, one after another."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": word} for word in words(answer.reasoning)]
    deltas += [{"content": word} for word in words(answer.text)]
    for place, call in enumerate(answer.calls):
        deltas += _call_deltas(call, place)
    chunks = [_chunk(delta, None) for delta in deltas]
    if answer.finish is not None:
        chunks.append(_chunk({}, _finish(answer)))
    if answer.usage is not None:
        chunks.append({"object": "chat.completion.chunk", "choices": [], "usage": _usage(answer.usage)})
    events = [b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n" for chunk in chunks]
    return b"".join(events) + (b"data: [DONE]\n\n" if answer.done else b"")


def encode_whole(answer: Answer) -> bytes:
    """The answer as one object."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": id_of(call, place),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for place, call in enumerate(answer.calls)
        ]
    whole: dict[str, Any] = {"object": "chat.completion", "model": "scripted-1"}
    whole["choices"] = [{"index": 0, "message": message, "finish_reason": _finish(answer)}]
    if answer.usage is not None:
        whole["usage"] = _usage(answer.usage)
    return json.dumps(whole).encode()


def _call_deltas(call: ScriptedCall, place: int) -> list[dict[str, Any]]:
    index = place if call.index is None else call.index
    first = {
        "index": index,
        "id": id_of(call, place),
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    }
    rest = [{"index": index, "function": {"arguments": piece}} for piece in argument_pieces(call)]
    return [{"tool_calls": [one]} for one in (first, *rest)]


def _chunk(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "scripted-1", "choices": [choice]}


def _finish(answer: Answer) -> str | None:
    return answer.finish if answer.finish != "auto" else ("tool_calls" if answer.calls else "stop")


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
