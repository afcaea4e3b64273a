"""A model's reply as an entry can hold it: bounded, and text that UTF-8 can carry.

Guarantees: whatever a model says fits its model.reply; a reply that fits is the same object. What is cut
is cut so that somebody notices: arguments end in the middle, which the tool refuses with why, and a
text says where it was cut. So a model that writes too much in one call is told to write less, and no
run stops because of it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

from kernel.limits import ENTRY_PAYLOAD_BYTES_MAX, REPLY_CALLS_MAX
from kernel.ports.provider import Reply, ToolCall
from kernel.runtime.text import cut_bytes

NAME_CHARS_MAX: Final = 100
"""Of a tool's name and of a call's id."""
_ODD_NAME_CHARS: Final = 20
"""Of one that is mostly escapes."""
CUT_ARGUMENT_BYTES: Final = 1_000
"""What is left of arguments that do not fit."""
_ROOM: Final = ENTRY_PAYLOAD_BYTES_MAX * 3 // 4
"""Of text and arguments as they are stored; the rest is for names, ids, usage and reasoning."""
_STORED_PER_CHAR: Final = 6
"""Bytes of the longest escape of one character."""
_CALLS_ROOM: Final = _ROOM * 3 // 4
_TEXT_CUT: Final = "\n[the rest of this reply was too long to be kept]"


def recordable(reply: Reply) -> Reply:
    """The reply, or what of it an entry can hold."""
    chars = len(reply.text) + sum(len(call.arguments) + len(call.name) + len(call.id) for call in reply.calls)
    if chars * _STORED_PER_CHAR <= _ROOM and len(reply.calls) <= REPLY_CALLS_MAX and _is_text(reply):
        return reply
    calls, left = _calls(reply.calls)
    return replace(reply, text=_text(_whole(reply.text), left), calls=calls)


def _calls(calls: tuple[ToolCall, ...]) -> tuple[tuple[ToolCall, ...], int]:
    """The calls that are kept, and the room that is left."""
    kept: list[ToolCall] = []
    room = _CALLS_ROOM
    for call in calls[:REPLY_CALLS_MAX]:
        arguments = _whole(call.arguments)
        if _stored(arguments) > room:
            # Never empty: no arguments at all would be a call with all its defaults.
            arguments = cut_bytes(arguments, CUT_ARGUMENT_BYTES) if room > CUT_ARGUMENT_BYTES else "{"
        room -= _stored(arguments)
        kept.append(ToolCall(_name(call.id), _name(call.name), arguments))
    return tuple(kept), max(0, room) + _ROOM - _CALLS_ROOM


def _name(text: str) -> str:
    short = _whole(text[:NAME_CHARS_MAX])
    return short if _stored(short) <= 2 * NAME_CHARS_MAX else short[:_ODD_NAME_CHARS]


def _text(text: str, room: int) -> str:
    if _stored(text) <= room:
        return text
    cut = cut_bytes(text, room // 2)
    while _stored(cut) > room // 2:
        cut = cut_bytes(cut, len(cut.encode()) // 2)
    return cut + _TEXT_CUT


def _stored(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())


def _whole(text: str) -> str:
    """A question mark for each half of a surrogate pair."""
    return text.encode(errors="replace").decode()


def _is_text(reply: Reply) -> bool:
    parts = (reply.text, *(part for call in reply.calls for part in (call.id, call.name, call.arguments)))
    for part in parts:
        if not part.isascii():
            try:
                part.encode()
            except UnicodeEncodeError:
                return False
    return True
