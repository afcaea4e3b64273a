"""Requests as bytes: each message is encoded once in its life, and a body is a join.

Guarantees: the bytes of a message and of a tool list depend on nothing but themselves, so a longer
conversation repeats the shorter one's bytes exactly and a provider's prefix cache holds.
Source: OpenAI API reference, chat completions.
"""

from __future__ import annotations

import json
from typing import Any, Final

from kernel.adapters.providers.attached import IMAGES, PDF, base64_of, data_url, is_text, refused, text_of, title_of
from kernel.adapters.providers.body import dump, in_pieces, sendable_name
from kernel.ports.provider import Attachment, Message, ModelRequest, ToolCall, ToolSpec

WIRE: Final = "openai"
_SOUNDS: Final = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
_ACCEPTED: Final = "images (JPEG, PNG, GIF, WebP), PDF, WAV, MP3 and text"


def encode_request(request: ModelRequest, model: str, tokens_field: str, *, usage_asked: bool = True) -> list[bytes]:
    """The body, in pieces of about `PIECE_BYTES`. `tokens_field` names the bound on output tokens; without
    `usage_asked`, usage is not asked for: a server may refuse the field, and report it unasked.

    Raises: AttachmentRefused.
    """
    options: dict[str, Any] = {"model": model, "stream": True}
    if usage_asked:
        options["stream_options"] = {"include_usage": True}
    options[tokens_field] = request.output_tokens_max
    if request.temperature is not None:
        options["temperature"] = request.temperature
    parts = [message.wire.get(WIRE) or encode_message(message) for message in request.messages] or [b""]
    parts[0] = b"".join((dump(options)[:-1], b',"messages":[', parts[0]))
    parts[-1] = b"".join((parts[-1], b"]", _tools(request), b"}"))
    return in_pieces(parts, b",")


def encode_message(message: Message) -> bytes:
    """One message; kept in `message.wire`. Raises: AttachmentRefused."""
    shape: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.role == "tool":
        shape["tool_call_id"] = message.call_id
    if message.attachments:
        text = [{"type": "text", "text": message.text}] if message.text else []
        shape["content"] = [_attached(one) for one in message.attachments] + text
    if message.calls:
        shape["content"] = message.text or None
        shape["tool_calls"] = [_call(call) for call in message.calls]
    encoded = message.wire[WIRE] = dump(shape)
    return encoded


def _attached(attachment: Attachment) -> dict[str, Any]:
    kind = attachment.media_type
    if kind in IMAGES:
        return {"type": "image_url", "image_url": {"url": data_url(attachment)}}
    if kind == PDF:
        name = title_of(attachment)
        return {"type": "file", "file": {"filename": name, "file_data": data_url(attachment)}}
    if kind in _SOUNDS:
        return {"type": "input_audio", "input_audio": {"data": base64_of(attachment), "format": _SOUNDS[kind]}}
    if is_text(attachment):
        return {"type": "text", "text": f"Attached file {title_of(attachment)} ({kind}):\n\n{text_of(attachment)}"}
    raise refused(attachment, "the chat completions format", _ACCEPTED)


def _tools(request: ModelRequest) -> bytes:
    if not request.tools:
        return b""
    listed = b",".join([tool.wire.get(WIRE) or _encode_tool(tool) for tool in request.tools])
    return b"".join((b',"tools":[', listed, b"]"))


def _encode_tool(tool: ToolSpec) -> bytes:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    encoded = tool.wire[WIRE] = dump({"type": "function", "function": function})
    return encoded


def _call(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": sendable_name(call.name), "arguments": _sendable(call.arguments)},
    }


def _sendable(arguments: str) -> str:
    """`arguments`, or an object that quotes them: servers whose templates parse them would answer 500."""
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        return json.dumps({"malformed": arguments}, ensure_ascii=False)
    return arguments
