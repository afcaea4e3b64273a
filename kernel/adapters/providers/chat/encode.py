"""Requests as bytes: each message is encoded once in its life, and a body is a join.

Guarantees: the bytes of a message and of a tool list depend on nothing but themselves, so a longer
conversation repeats the shorter one's bytes exactly and a provider's prefix cache holds.
Source: OpenAI API reference, chat completions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from kernel.ports.provider import Message, ModelRequest, ToolCall, ToolSpec

WIRE: Final = "openai"
PIECE_BYTES: Final = 64 * 1024


def encode_request(request: ModelRequest, model: str, tokens_field: str) -> list[bytes]:
    """The body, in pieces of about `PIECE_BYTES`. `tokens_field` names the bound on output tokens."""
    options: dict[str, Any] = {"model": model, "stream": True, "stream_options": {"include_usage": True}}
    options[tokens_field] = request.output_tokens_max
    if request.temperature is not None:
        options["temperature"] = request.temperature
    parts = [message.wire.get(WIRE) or encode_message(message) for message in request.messages] or [b""]
    parts[0] = b"".join((_dump(options)[:-1], b',"messages":[', parts[0]))
    parts[-1] = b"".join((parts[-1], b"]", _tools(request), b"}"))
    return _pieces(parts)


def _pieces(parts: list[bytes]) -> list[bytes]:
    """`parts` with commas between. One block of 200 kB for every round would be fresh memory from the
    system each time, which costs five times what filling it does.
    """
    step = max(1, len(parts) * PIECE_BYTES // sum(map(len, parts)))
    last = (len(parts) - 1) // step * step
    found = [b",".join([*parts[start : start + step], b""]) for start in range(0, last, step)]
    found.append(b",".join(parts[last:]))
    return found


def encode_message(message: Message) -> bytes:
    """One message; kept in `message.wire`."""
    shape: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.role == "tool":
        shape["tool_call_id"] = message.call_id
    if message.calls:
        shape["content"] = message.text or None
        shape["tool_calls"] = [_call(call) for call in message.calls]
    encoded = message.wire[WIRE] = _dump(shape)
    return encoded


def _tools(request: ModelRequest) -> bytes:
    if not request.tools:
        return b""
    encoded = request.tools_wire.get(WIRE)
    if encoded is None:
        encoded = request.tools_wire[WIRE] = b',"tools":' + _dump(_tool_list(request.tools))
    return encoded


def _tool_list(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.schema},
        }
        for tool in tools
    ]


def _call(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": _sendable(call.arguments)},
    }


def _sendable(arguments: str) -> str:
    """`arguments`, or an object that quotes them: servers whose templates parse them would answer 500."""
    try:
        json.loads(arguments)
    except ValueError:
        return json.dumps({"malformed": arguments}, ensure_ascii=False)
    return arguments


def _dump(value: object) -> bytes:
    # A lone surrogate has no UTF-8 form; a replacement character is better than a run that ends.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
