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


def quoted(text: str) -> str:
    """Every line behind a mark, whichever character ends it: nothing of it can pass for words of ours."""
    return "\n".join(f"> {line}" for line in text.splitlines())


def summarize(text: str) -> str:
    """One line for a list: the text where it is short, else its first line, else that line cut."""
    trimmed = text.strip()
    if len(trimmed) <= SUMMARY_CHARS_MAX:
        return trimmed
    return cut_chars(trimmed.splitlines()[0], SUMMARY_CHARS_MAX)


def bound_result(text: str, bytes_max: int, reference: str) -> str:
    """`text` where it fits, else its beginning and end around a note on how to read the rest.

    `reference` is what `read_output` takes for the whole.
    """
    encoded = text.encode()
    if len(encoded) <= bytes_max:
        return text
    room = bytes_max - len(_cut_note(len(encoded), reference, len(encoded)).encode())
    head = cut_bytes(text, room * 3 // 4)
    note = _cut_note(len(encoded), reference, len(head.encode()))
    return head + note + cut_bytes_end(text, room // 4)


def _cut_note(size_bytes: int, reference: str, shown_bytes: int) -> str:
    """In the tool's own words: a model copies them."""
    more = f'read_output {{"call": "{reference}", "offset": {shown_bytes}}} goes on from here'
    return f"\n[… {size_bytes} bytes in all; {CUT_MARK}; {more} …]\n"


def page_bytes(content: bytes, offset: int, bytes_max: int) -> tuple[int, int]:
    """First byte and end of a page of UTF-8 text that begins at `offset` or at the character around it.

    The page has at least one character and, but for that, at most `bytes_max` bytes.
    """
    start = _character_start(content, offset)
    end = _character_start(content, min(start + bytes_max, len(content)))
    if end <= start:
        end = next((at for at in range(start + 1, len(content)) if not _continues(content[at])), len(content))
    return start, end


def _character_start(content: bytes, at: int) -> int:
    while 0 < at < len(content) and _continues(content[at]):
        at -= 1
    return at


def _continues(byte: int) -> bool:
    """Whether a byte is inside a UTF-8 character, not its first."""
    return byte & 0xC0 == 0x80  # noqa: PLR2004 -- the two bits that say so


def tokens_of(messages: Sequence[Message]) -> int:
    """An estimate, before a provider has counted: a quarter of the characters, and one for each message's frame."""
    chars = sum(len(message.text) + sum(len(call.arguments) for call in message.calls) for message in messages)
    return chars // CHARS_PER_TOKEN + len(messages)
