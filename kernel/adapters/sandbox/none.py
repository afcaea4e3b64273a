"""The `none` tier: a command with limits and a clean environment, and no confinement at all.

Chosen only by `sandbox.tier = "none"`. Guarantees: the bounds on time, output, processes, memory
and workspace growth; an environment of the named variables only; no inherited descriptor; the
whole tree, detached processes included, is killed when `run` ends or this process dies.

Does not protect anything else: the command reads and writes whatever the user may (this process's
/proc included), reaches the network whatever the policy says, and can kill its own launcher and so
escape the end of its tree. A refusal of network or files by the gate is only a request here.

Source: prctl(2) PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG; RFC-0004.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Final

import anyio
import anyio.abc

from kernel.adapters.sandbox import covers
from kernel.adapters.sandbox.confine import FIXED_ENV, PATH
from kernel.adapters.sandbox.launcher import Order
from kernel.adapters.sandbox.memory import memory_file
from kernel.adapters.sandbox.probe import probe_outcome
from kernel.adapters.sandbox.watch import Watch
from kernel.clock import Clock, SystemClock
from kernel.errors import NotFound, SandboxDown
from kernel.ports.sandbox import Command, Finished, Probe

_LAUNCHER: Final = str(Path(__file__).with_name("launcher.py"))


@dataclass(slots=True)
class _Launched:
    process: anyio.abc.Process

    @property
    def root(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """SIGTERM makes the launcher kill what it started, then end."""
        if self.process.returncode is None:
            self.process.terminate()


class NoSandbox:
    """Runs commands as the user, unconfined; none at all where a `hidden` place lies in what it is given."""

    def __init__(self, hidden: Sequence[str] = (), *, clock: Clock | None = None) -> None:
        self._hidden = tuple(hidden)
        self._clock = clock or SystemClock()

    async def run(self, command: Command, on_output: Callable[[bytes], None] | None = None) -> Finished:
        """Raises: NotFound (no such program), SandboxDown (the workspace holds a place that no agent may reach)."""
        _check_binds(command, self._hidden)
        _check_program(command)
        started_s = self._clock.monotonic_s()
        with contextlib.ExitStack() as stack:
            order = memory_file(json.dumps(_order(command)).encode())
            stack.callback(os.close, order)
            given = memory_file(command.stdin) if command.stdin else DEVNULL
            if given != DEVNULL:
                stack.callback(os.close, given)
            process = await anyio.open_process(
                [sys.executable, "-I", "-S", _LAUNCHER, str(order)],
                stdin=given,
                stdout=PIPE,
                stderr=STDOUT,
                env={},
                cwd="/",
                start_new_session=True,
                pass_fds=(order,),
            )
        watched = await Watch(command, _Launched(process), self._clock, on_output).run(process)
        return Finished(
            exit_code=128 - watched.exit_code if watched.exit_code < 0 else watched.exit_code,
            output=bytes(watched.output),
            truncated=watched.truncated,
            duration_ms=round((self._clock.monotonic_s() - started_s) * 1000),
            tier="none",
            stopped_by=watched.stopped_by,
        )

    async def probe(self) -> Probe:
        """Start a process and look."""
        return await probe_outcome(self, "none")


def _order(command: Command) -> Order:
    bounds = command.bounds
    return {
        "argv": list(command.argv),
        "cwd": command.cwd,
        "env": {**command.env, **FIXED_ENV},
        "parent": os.getpid(),
        "limits": {
            "RLIMIT_DATA": bounds.memory_bytes_max,
            "RLIMIT_NOFILE": bounds.descriptors_max,
            "RLIMIT_FSIZE": bounds.workspace_bytes_max,
            "RLIMIT_CORE": 0,
        },
    }


def _check_binds(command: Command, hidden: Sequence[str]) -> None:
    for place, bind in covers.inside(hidden, command.binds):
        raise SandboxDown(
            f'sandbox.tier is "none", which cannot hide {place}, and {bind.path} holds it',
            remedy="choose a workspace that does not hold it, or use the bubblewrap tier",
        )


def _check_program(command: Command) -> None:
    program = command.argv[0] if command.argv else ""
    if not program or ("/" not in program and shutil.which(program, path=PATH) is None):
        raise NotFound(f"there is no program {program!r}", remedy=f"programs are looked up in {PATH}")
