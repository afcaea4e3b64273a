"""The first process of an unconfined command: sets limits, runs it, and ends all it started.

Run as `python -I -S launcher.py FD`: the descriptor gives, as JSON, argv, cwd, env and limits. It
makes itself the reaper of orphans, so a descendant that detaches (double fork, setsid) stays its
child and is killed when the command ends, when this process gets SIGTERM, or when its parent dies.
Signals are blocked and waited for, never handled: a handler could be entered again in the middle of
its work by the next SIGTERM, and a wait could begin just after the signal that should have ended it.

Does not stop a command that sets out to kill its own launcher: without namespaces nothing can.
Imports nothing of ours, because it runs with another environment and must start in milliseconds.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import TypedDict

_SET_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36
_AWAITED = (signal.SIGTERM, signal.SIGCHLD)
_ROUNDS_MAX = 200
_NOT_FOUND = 127
_NOT_RUNNABLE = 126


def main() -> int:
    """Returns the command's exit code, 128 + N where signal N ended it."""
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        order: Order = json.load(file)
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # Ignored by who started us, it would never come.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0 or libc.prctl(_SET_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0) != 0:
        return _NOT_RUNNABLE
    if os.getppid() != order["parent"]:
        return _NOT_RUNNABLE  # The parent died before the death signal was set.
    child = os.fork()
    if child == 0:
        _become(order)
    code = _wait(child)
    kill_all()
    return code


class Order(TypedDict):
    """What the sandbox passes. `limits` are by the name of the constant in `resource`."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    parent: int
    limits: dict[str, int]


def _become(order: Order) -> None:
    """In the child: limits, directory, program. Ends the process where that fails."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
    argv = order["argv"]
    try:
        for name, value in order["limits"].items():
            _soft, hard = resource.getrlimit(number := getattr(resource, name))
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (bound, bound))
        os.chdir(order["cwd"])
        os.execvpe(argv[0], argv, order["env"])  # noqa: S606 -- running what it is told is its whole purpose
    except FileNotFoundError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(_NOT_FOUND)
    except (OSError, ValueError) as error:
        os.write(2, f"{argv[0]}: {error}\n".encode())
        os._exit(_NOT_RUNNABLE)


def _wait(command: int) -> int:
    """The exit code once the command has ended, or of SIGTERM once that came. Orphans are reaped meanwhile."""
    while signal.sigwait(_AWAITED) != signal.SIGTERM:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == command:
                    code = os.waitstatus_to_exitcode(ended[1])
                    return code if code >= 0 else 128 - code
    return 128 + signal.SIGTERM


def kill_all() -> None:
    """Kill children until none is left: killing one makes its children ours."""
    for _ in range(_ROUNDS_MAX):
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:  # noqa: PTH123 -- no pathlib: 5 ms
            children = [int(word) for word in file.read().split()]
        if not children:
            return
        for child in children:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(child, 0)


if __name__ == "__main__":
    sys.exit(main())
