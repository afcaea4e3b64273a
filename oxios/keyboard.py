"""Lines that a person types while other things happen.

Guarantees: the terminal is read by one at a time: while a question or an editor has it (`let_go`), no
key is taken here. Lines come whole, in order; a pipe or a file is read the same way.
"""

from __future__ import annotations

import os
import stat
from typing import Final

import anyio

LINE_BYTES_MAX: Final = 64 * 1024


class Lines:
    """The lines of one input."""

    def __init__(self, descriptor: int) -> None:
        self.interactive = os.isatty(descriptor)
        self._descriptor = descriptor
        self._plain_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._read = b""
        self._ended = False
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

    async def next(self) -> str | None:
        """The next line without its end; None after the last."""
        while b"\n" not in self._read and not self._ended and len(self._read) < LINE_BYTES_MAX:
            await self._free.wait()
            if await self._readable():
                piece = os.read(self._descriptor, 4096)
                self._ended = not piece
                self._read += piece
        line, _, rest = self._read[:LINE_BYTES_MAX].partition(b"\n")
        if not self._read:
            return None
        self._read = rest + self._read[LINE_BYTES_MAX:]
        return line.decode("utf-8", "replace").rstrip("\r")

    async def _readable(self) -> bool:
        """Wait for input; False where the terminal was given to somebody else meanwhile."""
        if self._plain_file:
            return True  # Never waits, and the event loop cannot watch it.
        with anyio.CancelScope() as self._scope:
            await anyio.wait_readable(self._descriptor)
        self._scope = None
        return self._free.is_set()
