"""Signals of the terminal that a command is called from.

Guarantees: SIGTERM and a terminal that hangs up end what is under way in order, as Ctrl-C does.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from types import FrameType

from oxios.seat import current


@contextmanager
def ended_in_order() -> Generator[Callable[[], None]]:
    """Inside, SIGTERM and the loss of the terminal end the kernel as Ctrl-C does: recorded, not killed.

    A signal that was ignored before (SIGHUP by `nohup`, SIGINT by a shell's `&`) stays so. What is yielded is to be
    called by the event loop's first task: the loop ends that task where a SIGINT would have.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # Only the main thread may say what signals do.
        return
    ended = _Ended()
    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) != signal.SIG_IGN]
    before = {number: signal.signal(number, ended.stop) for number in numbers}
    if ended.deaf:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Else the loop would not take it over.
        before[signal.SIGINT] = signal.SIG_IGN
    try:
        yield ended.loop_runs
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Ended:
    """`deaf`: SIGINT was ignored, so it is ignored again as soon as the loop's own handler for it is known."""

    def __init__(self) -> None:
        self.deaf = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        self._interrupt: Callable[[int, FrameType | None], object] = lambda number, _frame: signal.raise_signal(number)

    def loop_runs(self) -> None:
        found = signal.getsignal(signal.SIGINT)
        if self.deaf and callable(found):
            self._interrupt = found
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def stop(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            let_go_of_the_terminal()
        self._interrupt(signal.SIGINT, frame)


@contextmanager
def received_signals(*numbers: signal.Signals) -> Generator[AsyncIterator[int]]:
    """Inside, these signals of the command's terminal come as a stream, and do nothing else."""
    import anyio  # noqa: PLC0415 -- commands that only print start without it

    seat = current()
    if seat is not None:
        with seat.signals() as received:
            yield received
    else:
        with anyio.open_signal_receiver(*numbers) as received:
            yield received


def let_go_of_the_terminal() -> None:
    """It is gone: what would be written to it goes nowhere, instead of failing in the middle of the end."""
    if current() is not None:
        return  # A seat knows by itself, and the server's own terminal is another.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            os.dup2(nowhere, descriptor)
    os.close(nowhere)
