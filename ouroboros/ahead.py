"""The reply of a conversation while a model writes it: its answer is JSON, and the reply one string in that.

Guarantees: what is told is a beginning of the `reply` that the finished answer has, and nothing before `kind` says
that the message is conversation. Of an answer that is no such object (plain words, another kind) nothing is told.
What it does not know: whether the answer will be taken. The recorded reply is the one that counts.

Source: RFC-0013; RFC 8259.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Final

from kernel.ids import RunId
from kernel.journal.entry import Entry
from kernel.runtime.live import LiveText
from ouroboros.session import STARTED

_UNREAD_CHARS_MAX: Final = 20_000
"""Of a value that is looked at again with each piece."""
_OPENING: Final = re.compile(r"\s*(?:```(?:json)?[ \t]*\n\s*)?\{")
_MAYBE_OPENING: Final = re.compile(r"\s*`{0,3}j?s?o?n?[ \t]*\n?\s*")
_READABLE: Final = re.compile(r'(?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*')
_HALF_PAIR: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_AFTER_VALUE: Final = frozenset(",} \t\r\n")
_MEMBER: Final = re.compile(r'[\s,]*"((?:[^"\\]|\\.)*)"\s*:\s*', re.DOTALL)


@dataclass(slots=True)
class ReplyAhead:
    """One answer. `feed` gives what became readable of its reply."""

    _text: str = ""
    """What was not read yet."""
    _state: str = "opening"
    _conversation: bool = False
    _held: str = ""
    """Of the reply, until the kind is known."""

    def feed(self, text: str) -> str:
        self._text += text
        read = {"opening": self._open, "member": self._member, "skip": self._skip, "reply": self._reply}
        before = None
        while self._state != "over" and before != (self._state, len(self._text)):
            before = (self._state, len(self._text))
            read[self._state]()
        if self._state == "over" or len(self._text) > _UNREAD_CHARS_MAX:
            self._state, self._text = "over", ""
        if not self._conversation:
            return ""
        told, self._held = self._held, ""
        return told

    def _open(self) -> None:
        found = _OPENING.match(self._text)
        if found is not None:
            self._state, self._text = "member", self._text[found.end() :]
        elif _MAYBE_OPENING.fullmatch(self._text) is None:
            self._state = "over"

    def _member(self) -> None:
        found = _MEMBER.match(self._text)
        if found is None:
            self._state = "over" if self._text.lstrip().startswith("}") else "member"
            return
        if found.end() == len(self._text):
            return  # What kind of value follows is not there yet.
        name, rest = found[1], self._text[found.end() :]
        if name == "reply" and rest.startswith('"'):
            self._state, self._text = "reply", rest[1:]
        elif name != "kind":
            self._state, self._text = "skip", rest
        elif (kind := _STRING.match(rest)) is not None:
            self._conversation = kind[1] == "conversation"
            self._state, self._text = ("member" if self._conversation else "over"), rest[kind.end() :]

    def _skip(self) -> None:
        """Over a value that says nothing here, once it is whole."""
        try:
            _, end = json.JSONDecoder(strict=False).raw_decode(self._text)
        except ValueError:
            return
        except RecursionError:
            self._state = "over"
            return
        if self._text[end : end + 1] in _AFTER_VALUE:  # Else a number may go on.
            self._state, self._text = "member", self._text[end:]

    def _reply(self) -> None:
        found = _READABLE.match(self._text)
        readable = found[0] if found is not None else ""
        if half := _HALF_PAIR.search(readable):
            readable = readable[: half.start()]
        self._held += json.loads(f'"{readable}"', strict=False)
        self._text = self._text[len(readable) :]
        if self._text.startswith('"'):
            self._state, self._text = "member", self._text[1:]


@dataclass(slots=True)
class Ahead:
    """The replies of one session's conversations, from what is heard of it: its entries, and its live text."""

    session: RunId
    _phase: str = ""
    _reply: ReplyAhead = field(default_factory=ReplyAhead)

    def entry(self, entry: Entry) -> None:
        """Of any stream, in order."""
        if entry.stream != self.session or entry.payload is None:
            return
        if entry.kind == STARTED:
            self._phase = str(entry.payload["phase"])
        if entry.kind in {STARTED, "model.reply"}:
            self._reply = ReplyAhead()

    def text(self, event: LiveText) -> str:
        """What of a reply it makes readable."""
        return self._reply.feed(event.text) if event.run == self.session and self._phase == "assess" else ""
