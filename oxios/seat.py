"""Where a command sits: its folder, its environment, its streams, and who carries out its work.

Guarantees: a command that a server runs for a terminal sees that terminal's folder and environment,
never the server's; one that runs by itself has no seat, and its process is all there is.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO, TypeAlias, TypeVar

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.gate.asker import Asker
    from kernel.settings import Settings
    from ouroboros.session import Session

    Body: TypeAlias = Callable[[Kernel], Awaitable[int]]

Heard = TypeVar("Heard")


class Seat(Protocol):
    """A place in a server, for one command. `oxios.server.guest` has the one there is."""

    @property
    def cwd(self) -> Path: ...
    @property
    def env(self) -> Mapping[str, str]: ...
    @property
    def stdin(self) -> TextIO: ...
    @property
    def out(self) -> TextIO: ...
    @property
    def err(self) -> TextIO: ...

    @property
    def asker(self) -> Asker:
        """The person at the terminal."""
        ...

    def carry(self, settings: Settings, body: Body, *, listen: bool) -> int:
        """Run `body` with the server's kernel, from the command's thread.

        Raises: KeyboardInterrupt, where the terminal stopped it; InstanceLocked, where `settings` are
        not those the server runs with; and whatever `body` raises.
        """
        ...

    def signals(self) -> AbstractContextManager[AsyncIterator[int]]:
        """Inside, the terminal's signals come here, and no longer stop the command."""
        ...

    def owns(self, run: str) -> bool:
        """Whether the command started or resumed the run."""
        ...

    def share(self, session: Session) -> Session:
        """The session as everybody in the server has it, so that all see each change."""
        ...

    def turn(self, session: Session) -> AbstractContextManager[None]:
        """Inside, this command carries a turn of the session. Raises: Conflict, where one is under way."""
        ...

    async def typed(self) -> bytes:
        """What is typed next; nothing at the end of the input."""
        ...

    async def edit(self, text: str, suffix: str) -> str:
        """`text` as the terminal's editor left it. Raises: Invalid."""
        ...


_seat: ContextVar[Seat | None] = ContextVar("oxios_seat", default=None)


def current() -> Seat | None:
    """The seat of the command that this code runs for; None outside a server."""
    return _seat.get()


@contextmanager
def seated(seat: Seat) -> Generator[None]:
    """Inside, and in every task and thread begun inside, `seat` is the current one."""
    token = _seat.set(seat)
    try:
        yield
    finally:
        _seat.reset(token)


def ours(run: str) -> bool:
    """Whether a run is this command's; by itself, it has them all."""
    seat = current()
    return seat is None or seat.owns(run)


def heard_here(callback: Callable[[Heard], None]) -> Callable[[Heard], None]:
    """The callback, run for this command whoever calls it: journal and bus call from tasks of their own.

    They are not to hear of a terminal that is gone; its command is, by its seat, and ends.
    """
    seat = current()
    if seat is None:
        return callback

    def hear(heard: Heard) -> None:
        with seated(seat), suppress(BrokenPipeError):
            callback(heard)

    return hear


def shared(session: Session) -> Session:
    """The session as everybody in this process has it."""
    seat = current()
    return session if seat is None else seat.share(session)


def turn_of(session: Session) -> AbstractContextManager[None]:
    """Around a turn that a command carries. Raises: Conflict, where one of the session is under way."""
    seat = current()
    return nullcontext() if seat is None else seat.turn(session)


def original(args: argparse.Namespace) -> list[str] | None:
    """The words the command was called with; None where nobody called it with words."""
    return getattr(args, "argv", None)
