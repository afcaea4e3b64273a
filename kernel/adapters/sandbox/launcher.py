"""The first process of an unconfined command: sets limits, runs it, and ends all it started.

Run as `python -I -S launcher.py FD`: the descriptor gives, as JSON, argv, cwd, env and limits. It
makes itself the reaper of orphans, so a descendant that detaches (double fork, setsid) stays its
child and is killed when the command ends, when this process gets SIGTERM, or when its parent dies.

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
_ROUNDS_MAX = 200
_NOT_FOUND = 127
_NOT_RUNNABLE = 126


def main() -> int:
    """Returns the command's exit code, 128 + N where signal N ended it."""
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        order: Order = json.load(file)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0 or libc.prctl(_SET_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0) != 0:
        return _NOT_RUNNABLE
    signal.signal(signal.SIGTERM, _end)
    if os.getppid() != order["parent"]:
        return _NOT_RUNNABLE  # The parent died before the death signal was set.
    child = os.fork()
    if child == 0:
        _become(order)
    _pid, status = os.waitpid(child, 0)
    kill_all()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


class Order(TypedDict):
    """What the sandbox passes. `limits` are by the name of the constant in `resource`."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    parent: int
    limits: dict[str, int]


def _become(order: Order) -> None:
    """In the child: limits, directory, program. Ends the process where that fails."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
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


def _end(_signal: int, _frame: object) -> None:
    kill_all()
    os._exit(128 + signal.SIGTERM)


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
