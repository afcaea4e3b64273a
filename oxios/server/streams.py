"""sys.stdin, sys.stdout and sys.stderr of a server: a command's own where one is under way, else the process'.

Guarantees: what a command prints, in whichever task or thread of it, goes to its terminal and nowhere else.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, BinaryIO, TextIO, cast

from oxios.seat import Seat, current


class Routed(io.TextIOBase):
    """One of the three streams: each call goes to where the caller's output goes."""

    def __init__(self, own: TextIO, of: Callable[[Seat], TextIO]) -> None:
        super().__init__()
        self._own = own
        self._of = of

    def _now(self) -> TextIO:
        seat = current()
        return self._own if seat is None else self._of(seat)

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] -- it is one at run time too
        return self._now().encoding

    @property
    def errors(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride] -- as above
        return self._now().errors

    @property
    def buffer(self) -> BinaryIO:
        return self._now().buffer

    def write(self, text: str, /) -> int:
        return self._now().write(text)

    def flush(self) -> None:
        self._now().flush()

    def read(self, size: int | None = -1, /) -> str:
        return self._now().read(-1 if size is None else size)

    def readline(self, size: int = -1, /) -> str:
        return self._now().readline(size)

    def isatty(self) -> bool:
        return self._now().isatty()

    def fileno(self) -> int:
        return self._now().fileno()

    def readable(self) -> bool:
        return self._now().readable()

    def writable(self) -> bool:
        return self._now().writable()


@contextmanager
def routed() -> Generator[None]:
    """Inside, this process' three streams are routed."""
    before: tuple[Any, ...] = (sys.stdin, sys.stdout, sys.stderr)
    sys.stdin = cast("TextIO", Routed(sys.stdin, lambda seat: seat.stdin))
    sys.stdout = cast("TextIO", Routed(sys.stdout, lambda seat: seat.out))
    sys.stderr = cast("TextIO", Routed(sys.stderr, lambda seat: seat.err))
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
