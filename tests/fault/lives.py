"""Processes that may be killed, many in a row, each forked from one that has imported everything and run nothing.

A life is a process of its own: its memory, descriptors, timers and signals are nobody else's, and a kill ends it
as it ends any program. What it saves is the second that imports take, which is most of a short life.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LIFE_MAX_S: Final = 120
PROGRAMS: Final = ("tests.fault.worker", "tests.fault.budget_worker")
_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["__main__", *PROGRAMS])


@dataclass(frozen=True, slots=True)
class Ended:
    """How a life ended: below zero by that signal; and all that it said on stdout and stderr."""

    returncode: int
    said: str


def live(program: Callable[..., None], *args: object, log: Path) -> Ended:
    """Run it with these in a process of its own until that ends; its words go to the file `log`.

    Raises: TimeoutError, where it lives longer than LIFE_MAX_S; it is killed then.
    """
    process = _CONTEXT.Process(target=_speak_to, args=(log, program, args))
    process.start()
    process.join(LIFE_MAX_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(log.read_text())
    ended = Ended(process.exitcode, log.read_text())
    process.close()
    return ended


def _speak_to(log: Path, program: Callable[..., None], args: tuple[object, ...]) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)
    program(*args)
