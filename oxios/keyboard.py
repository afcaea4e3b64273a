"""Lines that a person types while other things happen.

Guarantees: the terminal is read by one at a time: while a question or an editor has it (`let_go`), no
key is taken here. Lines come whole, in order; a pipe or a file is read the same way, and so is the
terminal of a command that a server carries. What is pasted is one line, however many it has, where the
terminal marks it (`marking`).

Source: xterm control sequences, bracketed paste mode.
"""

from __future__ import annotations

import os
import select
import sys
import termios
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Protocol

import anyio

from oxios.curtain import Curtain
from oxios.seat import Seat, current

LINE_BYTES_MAX: Final = 64 * 1024
PIECE_BYTES_MAX: Final = 4096
PASTE_BEGINS: Final = "\x1b[200~"
PASTE_ENDS: Final = "\x1b[201~"
_MARKS_ON: Final = "\x1b[?2004h"
_MARKS_OFF: Final = "\x1b[?2004l"
_LOCAL: Final = 3
"""Of what `tcgetattr` gives: the local modes."""


class Keys(Protocol):
    """What is typed, in pieces as they come."""

    def let_go(self) -> None:
        """Take no key until `take_back`."""
        ...

    def take_back(self) -> None: ...

    async def piece(self) -> bytes | None:
        """Nothing at the end of the input; None where the terminal was given to somebody else meanwhile."""
        ...


class OwnKeys:
    """Those of this process' terminal, or what its stdin is instead."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waits = _waits(descriptor)
        self._free = anyio.Event()
        self._free.set()
        self._scope: anyio.CancelScope | None = None
        self._marks = False
        self._echo = 0
        """What the terminal showed of control characters before it marked pastes."""

    def let_go(self) -> None:
        """Take no key until `take_back`."""
        self._free = anyio.Event()
        if self._marks:
            self._mark(on=False)
        if self._scope is not None:
            self._scope.cancel()

    def take_back(self) -> None:
        if self._marks:
            self._mark(on=True)
        self._free.set()

    @contextmanager
    def marking(self) -> Generator[None]:
        """Inside, the terminal marks what is pasted; nothing where stdin or stderr is none."""
        self._marks = os.isatty(self._descriptor) and sys.stderr.isatty()
        if not self._marks:
            yield
            return
        self._echo = termios.tcgetattr(self._descriptor)[_LOCAL] & termios.ECHOCTL
        self._mark(on=True)
        try:
            yield
        finally:
            self._marks = False
            self._mark(on=False)

    def _mark(self, *, on: bool) -> None:
        """Have pastes marked, and the marks not shown when they are echoed: as they are they do nothing."""
        try:
            modes = termios.tcgetattr(self._descriptor)
            modes[_LOCAL] = modes[_LOCAL] & ~termios.ECHOCTL if on else modes[_LOCAL] | self._echo
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, modes)
            sys.stderr.write(_MARKS_ON if on else _MARKS_OFF)
            sys.stderr.flush()
        except (termios.error, OSError):  # A terminal that hung up has no modes any more.
            return

    async def piece(self) -> bytes | None:
        await self._free.wait()
        if self._waits:
            with anyio.CancelScope() as self._scope:
                await anyio.wait_readable(self._descriptor)
            self._scope = None
        return os.read(self._descriptor, PIECE_BYTES_MAX) if self._free.is_set() else None


def _waits(descriptor: int) -> bool:
    """Whether a read may wait: what epoll refuses, a plain file or /dev/null, has its bytes or its end at once."""
    with select.epoll() as watch:
        try:
            watch.register(descriptor, select.EPOLLIN)
        except PermissionError:
            return False
    return True


class SeatKeys:
    """Those of the terminal that a seat stands for. It gives itself to whom it asks for."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def let_go(self) -> None:
        return

    def take_back(self) -> None:
        return

    @contextmanager
    def marking(self) -> Generator[None]:
        """Whoever sits there has its own terminal mark what is pasted."""
        yield

    async def piece(self) -> bytes | None:
        return await self._seat.typed()


class Lines:
    """The lines of one input."""

    def __init__(self, keys: Keys, *, interactive: bool) -> None:
        self.interactive = interactive
        self.let_go = keys.let_go
        self.take_back = keys.take_back
        self._keys = keys
        self._read = b""
        self._ended = False

    async def next(self) -> str | None:
        """The next line without its end, or all lines of what was pasted; None after the last."""
        text = await self._line()
        while text is not None and text.count(PASTE_BEGINS) > text.count(PASTE_ENDS) and len(text) < LINE_BYTES_MAX:
            more = await self._line()
            if more is None:
                break
            text = f"{text}\n{more}"
        return text if text is None else text.replace(PASTE_BEGINS, "").replace(PASTE_ENDS, "")

    async def _line(self) -> str | None:
        while b"\n" not in self._read and not self._ended and len(self._read) < LINE_BYTES_MAX:
            piece = await self._keys.piece()
            if piece is not None:
                self._ended = not piece
                self._read += piece
        line, _, rest = self._read[:LINE_BYTES_MAX].partition(b"\n")
        if not self._read:
            return None
        self._read = rest + self._read[LINE_BYTES_MAX:]
        return line.decode("utf-8", "replace").rstrip("\r")


class KeysCurtain(Curtain):
    """A question takes the keys as well as the screen."""

    def __init__(self, keys: Keys) -> None:
        super().__init__()
        self._keys = keys

    def draw(self) -> None:
        super().draw()
        self._keys.let_go()

    def open(self) -> None:
        super().open()
        self._keys.take_back()


def typed_here() -> tuple[OwnKeys | SeatKeys, Lines]:
    """The keys and the lines of the terminal of the command under way."""
    seat = current()
    keys = OwnKeys(sys.stdin.fileno()) if seat is None else SeatKeys(seat)
    return keys, Lines(keys, interactive=sys.stdin.isatty())
