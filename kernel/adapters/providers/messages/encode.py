"""Requests of the messages API as bytes: each message is encoded once in its life, and a body is a join.

Guarantees: what stands in the body of a conversation stands at the same place in that of a longer
one, marks for the cache apart, so a provider's prefix cache holds. Messages of one side are one, as
the API demands: the results of a turn's calls stand together, and a steering word after them. Ids
and names that another provider's model made up are written so that this one takes them back.
Does not repair a conversation in which a call has no result: the fold of a run never makes one.
Source: Anthropic API reference: messages, tool use, prompt caching, vision, PDF support.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Final

from kernel.adapters.providers.attached import IMAGES, PDF, base64_of, is_text, refused, text_of, title_of
from kernel.adapters.providers.body import dump, in_pieces, object_text, sendable_name
from kernel.ports.provider import Attachment, Message, ModelRequest, ToolSpec

WIRE: Final = "anthropic"
_ACCEPTED: Final = "images (JPEG, PNG, GIF, WebP), PDF and text"
_MARK: Final = b',"cache_control":{"type":"ephemeral"}}'
_OPEN: Final = {side: b'{"role":"%s","content":[' % side.encode() for side in ("user", "assistant")}
_TURN: Final = {side: b"]}," + opening for side, opening in _OPEN.items()}
_NOTHING: Final = b'{"type":"text","text":"(nothing was said)"}'
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def encode_request(request: ModelRequest, model: str) -> list[bytes]:
    """The body, in pieces of about `PIECE_BYTES`. Raises: AttachmentRefused."""
    options: dict[str, Any] = {"model": model, "max_tokens": request.output_tokens_max, "stream": True}
    if request.temperature is not None:
        options["temperature"] = request.temperature
    system = list(takewhile(lambda message: message.role == "system", request.messages))
    _encode_all(request.messages)
    head = b"".join((dump(options)[:-1], _tools(request), _system(system), b',"messages":['))
    turns = _turns(request.messages[len(system) :], marked=bool(request.tools))
    return in_pieces([head, *turns, b"]}]}"], b"")


def _turns(messages: Sequence[Message], *, marked: bool) -> list[bytes]:
    """Blocks and what stands between them, the last turn left open. With `marked`, the end of the
    conversation and the end of the one that was asked before carry a mark for the cache.
    """
    parts: list[bytes] = []
    add = parts.append
    side, asked_before = "", 0
    for message in messages:
        blocks = message.wire[WIRE]
        if not blocks:
            continue
        now = "assistant" if message.role == "assistant" else "user"
        if now == side:
            add(b",")
        elif not side:
            if now == "assistant":  # The API wants a person to begin.
                parts += (_OPEN["user"], _NOTHING, _TURN[now])
                asked_before = 1
            else:
                add(_OPEN[now])
        else:
            if now == "assistant":
                asked_before = len(parts) - 1
            add(_TURN[now])
        add(blocks)
        side = now
    if not parts:
        return [_OPEN["user"], _NOTHING]
    if marked:
        for place in {asked_before, len(parts) - 1} - {0}:
            parts[place] = parts[place][:-1] + _MARK
    return parts


def _encode_all(messages: Sequence[Message]) -> None:
    """Give every message its blocks. An id may be used once in a conversation here, so what repeats is numbered."""
    fresh = [message for message in messages if WIRE not in message.wire]
    ids = [call.id for message in messages for call in message.calls]
    if len(ids) == len(set(ids)):
        for message in fresh:
            message.wire[WIRE] = b",".join(_blocks(message, {}))
        return
    times: dict[str, int] = {}
    for message in messages:
        for call in message.calls:
            times[call.id] = times.get(call.id, 0) + 1
        if WIRE not in message.wire:
            message.wire[WIRE] = b",".join(_blocks(message, times))


def _blocks(message: Message, times: dict[str, int]) -> list[bytes]:
    """A message's blocks; none where it says nothing, since an empty one is refused."""
    if message.role == "tool":
        return [dump(_result(message, times))]
    blocks = [dump(_attached(one)) for one in message.attachments]
    text = message.text.rstrip() if message.role == "assistant" else message.text
    if text.strip():
        blocks.append(dump({"type": "text", "text": text}))
    for call in message.calls:
        head = dump({"type": "tool_use", "id": _id(call.id, times), "name": sendable_name(call.name)})
        arguments = object_text(call.arguments).encode(errors="replace")
        blocks.append(b"".join((head[:-1], b',"input":', arguments, b"}")))
    return blocks


def _result(message: Message, times: dict[str, int]) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": _id(message.call_id, times)}
    if message.text.strip():
        block["content"] = message.text
    if message.is_error:
        block["is_error"] = True
        block.setdefault("content", "it failed, and did not say why")  # An error without words is refused.
    return block


def _id(given: str, times: dict[str, int]) -> str:
    """A call's id in letters that are taken; numbered where another turn's call had the same."""
    count = times.get(given, 1)
    known = given if _ID.fullmatch(given) else f"call_{hashlib.sha256(given.encode(errors='replace')).hexdigest()[:24]}"
    return known if count == 1 else f"{known[:56]}_{count}"


def _attached(attachment: Attachment) -> dict[str, Any]:
    kind = attachment.media_type
    if kind in IMAGES:
        return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": base64_of(attachment)}}
    title = title_of(attachment)
    if kind == PDF:
        source = {"type": "base64", "media_type": PDF, "data": base64_of(attachment)}
        return {"type": "document", "source": source, "title": title}
    if is_text(attachment):
        source = {"type": "text", "media_type": "text/plain", "data": text_of(attachment)}
        return {"type": "document", "source": source, "title": title}
    raise refused(attachment, "the messages format", _ACCEPTED)


def _system(messages: Sequence[Message]) -> bytes:
    """The system text, marked for the cache: with the tools, it is what every request of a run begins with."""
    blocks = [message.wire[WIRE] for message in messages if message.wire[WIRE]]
    return b"".join((b',"system":[', b",".join(blocks)[:-1], _MARK, b"]")) if blocks else b""


def _tools(request: ModelRequest) -> bytes:
    if not request.tools:
        return b""
    listed = b",".join([tool.wire.get(WIRE) or _encode_tool(tool) for tool in request.tools])
    return b"".join((b',"tools":[', listed[:-1], _MARK, b"]"))


def _encode_tool(tool: ToolSpec) -> bytes:
    shape = {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
    encoded = tool.wire[WIRE] = dump(shape)
    return encoded
