"""The garbage collector of a command's own process: what a start makes stays, so looking through it is for nothing.

Guarantees: it acts for a process whose `process_of_ours` is entered, and in no other; from `started` on
Python collects as it does by itself, but for what was there before.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

_STARTING: Final = (100_000, 10, 10)
"""As many objects as opening a kernel makes: where none is opened, a command leaves less garbage than that."""
_BY_ITSELF: Final = gc.get_threshold()


@contextmanager
def process_of_ours() -> Generator[None]:
    """Around everything a process does. At its end the system takes all of it back, faster than object by object."""
    gc.set_threshold(*_STARTING)
    try:
        yield
    finally:
        gc.freeze()


def started() -> None:
    """A kernel is open, and whatever follows may go on for long."""
    if gc.get_threshold() == _STARTING:
        gc.freeze()
        gc.set_threshold(*_BY_ITSELF)
