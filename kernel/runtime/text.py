"""Cutting text for people and models, safe for any script.

Guarantees: no cut splits a character; a byte bound is a bound on UTF-8 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kernel.ports.provider import CUT_MARK, Message

SUMMARY_CHARS_MAX: Final = 200
ARGUMENT_CHARS_MAX: Final = 500
CHARS_PER_TOKEN: Final = 4
_ELLIPSIS: Final = "..."


def cut_chars(text: str, chars_max: int) -> str:
    """At most `chars_max` characters, the last three dots where something was cut."""
    if len(text) <= chars_max:
        return text
    return text[: chars_max - len(_ELLIPSIS)] + _ELLIPSIS


def cut_bytes(text: str, bytes_max: int) -> str:
    """The longest beginning of `text` of at most `bytes_max` UTF-8 bytes."""
    encoded = text.encode()
    if len(encoded) <= bytes_max:
        return text
    return encoded[:bytes_max].decode(errors="ignore")


def cut_bytes_end(text: str, bytes_max: int) -> str:
    """The longest end of `text` of at most `bytes_max` UTF-8 bytes."""
    encoded = text.encode()
    if len(encoded) <= bytes_max:
        return text
    return encoded[-bytes_max:].decode(errors="ignore")


def summarize(text: str) -> str:
    """One line for a list: the text where it is short, else its first line, else that line cut."""
    trimmed = text.strip()
    if len(trimmed) <= SUMMARY_CHARS_MAX:
        return trimmed
    return cut_chars(trimmed.splitlines()[0], SUMMARY_CHARS_MAX)


def bound_result(text: str, bytes_max: int, whole: str) -> str:
    """`text` where it fits, else its beginning and end around a note that names `whole`, the blob's digest."""
    size_bytes = len(text.encode())
    if size_bytes <= bytes_max:
        return text
    note = f"\n[… {size_bytes} bytes in all; {CUT_MARK}, the whole is kept as {whole[:16]} …]\n"
    room = bytes_max - len(note.encode())
    return cut_bytes(text, room * 3 // 4) + note + cut_bytes_end(text, room // 4)


def tokens_of(messages: Sequence[Message]) -> int:
    """An estimate, before a provider has counted: a quarter of the characters, and one for each message's frame."""
    chars = sum(len(message.text) + sum(len(call.arguments) for call in message.calls) for message in messages)
    return chars // CHARS_PER_TOKEN + len(messages)
