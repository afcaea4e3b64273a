"""Lives that may be killed, many in a row, each forked from a process that has imported everything and run nothing.

A life is a process of its own: its memory, descriptors, timers and signals are nobody else's, and a kill ends it
as it ends any program. What this saves is the second that imports take, which is most of a short life.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from tests.fault import budget_worker, worker

LIFE_MAX_S: Final = 120
PROGRAMS: Final[dict[str, Callable[..., None]]] = {"worker": worker.live, "budget_worker": budget_worker.live}
_TOP: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a life ended: below zero by that signal; and all that it said on stdout and stderr."""

    returncode: int
    said: str


@dataclass(frozen=True, slots=True)
class Nursery:
    """Where lives begin, one after another."""

    asks: IO[str]
    answers: IO[str]
    log: Path

    def live(self, program: str, *args: str | int | Path) -> Ended:
        """One of PROGRAMS with these, until it ends. Raises: TimeoutError, where it lives longer than LIFE_MAX_S."""
        self.asks.write(json.dumps([str(self.log), program, *args], default=str) + "\n")
        self.asks.flush()
        if not select.select([self.answers], [], [], LIFE_MAX_S)[0]:
            raise TimeoutError(self.log.read_text())
        return Ended(int(self.answers.readline()), self.log.read_text())


@contextmanager
def nursery(log: Path) -> Generator[Nursery]:
    """Lives whose words go to `log`. None is left behind."""
    command = [sys.executable, "-m", "tests.fault.lives"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=_TOP, env={"PATH": "/usr/bin:/bin"}, start_new_session=True, **pipes) as parent:
        try:
            assert parent.stdin is not None
            assert parent.stdout is not None
            yield Nursery(parent.stdin, parent.stdout, log)
        finally:
            os.killpg(parent.pid, signal.SIGKILL)


def _bear() -> None:
    """A life for each line of stdin, a JSON array of its log, its program and the arguments; its end is a line."""
    for line in sys.stdin:
        log, program, *args = json.loads(line)
        child = os.fork()
        if not child:
            _live(log, PROGRAMS[program], args)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _live(log: str, program: Callable[..., None], args: Sequence[object]) -> None:
    """In the child; it does not return."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    code = 1
    try:
        program(*args)
        code = 0
    finally:  # Nothing of the parent's may go on in the child, whatever ended its program.
        if code:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _bear()
