"""Lines that a person types while other things happen.

Guarantees: the terminal is read by one at a time: while a question or an editor has it (`let_go`), no
key is taken here. Lines come whole, in order; a pipe or a file is read the same way, and so is the
terminal of a command that a server carries.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import Final, Protocol

import anyio

from oxios.curtain import Curtain
from oxios.seat import Seat, current

LINE_BYTES_MAX: Final = 64 * 1024
PIECE_BYTES_MAX: Final = 4096


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
        self._plain_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._free = anyio.Event()
        self._free.set()
        self._scope: anyio.CancelScope | None = None

    def let_go(self) -> None:
        """Take no key until `take_back`."""
        self._free = anyio.Event()
        if self._scope is not None:
            self._scope.cancel()

    def take_back(self) -> None:
        self._free.set()

    async def piece(self) -> bytes | None:
        await self._free.wait()
        if not self._plain_file:  # That never waits, and the event loop cannot watch it.
            with anyio.CancelScope() as self._scope:
                await anyio.wait_readable(self._descriptor)
            self._scope = None
        return os.read(self._descriptor, PIECE_BYTES_MAX) if self._free.is_set() else None


class SeatKeys:
    """Those of the terminal that a seat stands for. It gives itself to whom it asks for."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def let_go(self) -> None:
        return

    def take_back(self) -> None:
        return

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
        """The next line without its end; None after the last."""
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


def typed_here() -> tuple[Keys, Lines]:
    """The keys and the lines of the terminal of the command under way."""
    seat = current()
    keys: Keys = OwnKeys(sys.stdin.fileno()) if seat is None else SeatKeys(seat)
    return keys, Lines(keys, interactive=sys.stdin.isatty())
