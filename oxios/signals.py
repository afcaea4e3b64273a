"""Signals of the terminal that a command is called from.

Guarantees: SIGTERM and a terminal that hangs up end what is under way in order, as Ctrl-C does.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from types import FrameType

from oxios.seat import current


@contextmanager
def ended_in_order() -> Generator[None]:
    """Inside, SIGTERM and the loss of the terminal end the kernel as Ctrl-C does: recorded, not killed.

    A signal that was ignored before (`nohup`) stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread may say what signals do.
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            let_go_of_the_terminal()
        signal.raise_signal(signal.SIGINT)

    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
