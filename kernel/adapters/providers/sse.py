"""Server-sent events, from bytes cut anywhere to the JSON objects in their `data` fields.

Guarantees: where the bytes are cut makes no difference, not within a character, a line end or a
field name. Takes LF, CRLF and CR, comments, other fields, a byte order mark, several `data` lines
for one object, and events that no blank line separates. Held back is one line at most, and no more
than `EVENT_BYTES_MAX` of it. Source: WHATWG HTML, server-sent events.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

from pydantic_core import from_json

from kernel.errors import ProviderDown

EVENT_BYTES_MAX: Final = 4 * 1024 * 1024


class EventReader:
    """Feed it bytes; it returns the objects they complete. `done` once `[DONE]` was read, `heard` once any `data`."""

    def __init__(self) -> None:
        self.done = False
        self.heard = False
        self._line = b""
        self._pending = b""
        self._cr = False
        self._first = True

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        """Raises: ProviderDown, where an event is no JSON object or longer than EVENT_BYTES_MAX."""
        if self._cr or b"\r" in chunk:
            chunk = self._plain(chunk)
        *lines, self._line = (self._line + chunk).split(b"\n") if self._line else chunk.split(b"\n")
        if len(self._line) + len(self._pending) > EVENT_BYTES_MAX:
            raise ProviderDown(f"the provider sent an event of more than {EVENT_BYTES_MAX} bytes", kind="malformed")
        found: list[dict[str, Any]] = []
        for line in lines:
            self._take(line, found)
        return found

    def close(self) -> list[dict[str, Any]]:
        """The stream ended: what its last line completes. Raises: ProviderDown, as `feed`."""
        found: list[dict[str, Any]] = []
        self._take(self._line, found)
        self._take(b"", found)
        self._line = b""
        return found

    def _plain(self, chunk: bytes) -> bytes:
        """Line ends as LF; a CR at the very end waits for what follows it."""
        if self._cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._cr = chunk.endswith(b"\r") if chunk else self._cr
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take(self, line: bytes, found: list[dict[str, Any]]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.startswith(b"data:"):
            self._data(line[6:] if line[5:6] == b" " else line[5:], found)
        elif not line and self._pending:
            shown = self._pending[:200].decode(errors="replace")
            raise ProviderDown(f"the provider sent an event that is not JSON: {shown!r}", kind="malformed")

    def _data(self, data: bytes, found: list[dict[str, Any]]) -> None:
        if self.done or not data.strip():
            return
        self.heard = True
        if data.strip() == b"[DONE]":
            self.done = True
            return
        whole = self._pending + b"\n" + data if self._pending else data
        try:
            value = _value_of(whole)
        except (ValueError, RecursionError):
            self._pending = whole  # More `data` lines of this object may follow.
            return
        self._pending = b""
        if not isinstance(value, dict):
            raise ProviderDown(f"the provider sent an event that is not an object: {whole[:200]!r}", kind="malformed")
        found.append(cast("dict[str, Any]", value))


def _value_of(data: bytes) -> object:
    """Raises: ValueError, RecursionError."""
    try:
        return from_json(data)
    except ValueError:
        return json.loads(data.decode())  # It takes more: half a surrogate pair, as a cut character is written.
