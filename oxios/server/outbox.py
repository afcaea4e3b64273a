"""What waits to be sent to a command's terminal.

Guarantees: lines leave in the order they were put. A thread that writes faster than the terminal
reads waits; the event loop never does: a terminal that reads too slowly for that is let go.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import anyio
import anyio.from_thread
import anyio.lowlevel

from oxios.wire import Message, encode

HELD_BYTES_MAX: Final = 8 * 1024 * 1024
PIECE_CHARS_MAX: Final = 256 * 1024


class Outbox:
    """For one connection. Made on the event loop; `put` from anywhere."""

    def __init__(self, lagged: Callable[[], None]) -> None:
        self._lagged = lagged
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._room = threading.Condition()
        self._wake = anyio.Event()
        self._loop = threading.get_ident()
        self._token = anyio.lowlevel.current_token()
        self.closed = False
        self._last = False

    def put(self, message: Message) -> None:
        """Raises: nothing; what is put after `close` goes nowhere."""
        line = encode(message)
        on_loop = threading.get_ident() == self._loop
        with self._room:
            while not on_loop and not self.closed and self._bytes >= HELD_BYTES_MAX:
                self._room.wait()
            if self.closed:
                return
            lost = self._bytes >= HELD_BYTES_MAX
            if not lost:
                self._lines.append(line)
                self._bytes += len(line)
        if lost:
            self.close()
            self._lagged()
        elif on_loop:
            self._wake.set()
        else:
            anyio.from_thread.run_sync(self._ring, token=self._token)

    async def next(self) -> bytes | None:
        """The next lines, together; None once it is closed, or finished and empty."""
        while True:
            with self._room:
                if self.closed or (self._last and not self._lines):
                    return None
                if self._lines:
                    lines = b"".join(self._lines)
                    self._lines.clear()
                    self._bytes = 0
                    self._room.notify_all()
                    return lines
                self._wake = anyio.Event()
            await self._wake.wait()

    def finish(self) -> None:
        """On the event loop. Nothing follows what was put."""
        self._last = True
        self._wake.set()

    def close(self) -> None:
        """On the event loop. What waits is dropped; whoever waits for room goes on."""
        with self._room:
            self.closed = True
            self._lines.clear()
            self._room.notify_all()
        self._wake.set()

    def _ring(self) -> None:
        self._wake.set()


class Sent(io.TextIOBase):
    """stdout or stderr of a command: text goes to its terminal."""

    def __init__(self, outbox: Outbox, name: str, *, terminal: bool) -> None:
        super().__init__()
        self._outbox = outbox
        self._name = name
        self._terminal = terminal
        self.broken = False
        """Whoever read it closed it."""

    def write(self, text: str, /) -> int:
        """Raises: BrokenPipeError."""
        self.flush()
        for start in range(0, len(text), PIECE_CHARS_MAX):
            self._outbox.put({self._name: text[start : start + PIECE_CHARS_MAX]})
        return len(text)

    def flush(self) -> None:
        """Raises: BrokenPipeError."""
        if self.broken:
            raise BrokenPipeError

    def isatty(self) -> bool:
        return self._terminal

    def writable(self) -> bool:
        return True
