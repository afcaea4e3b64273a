"""A guard beside a sandbox: nothing of it stays where this process dies, however early.

`--die-with-parent` alone leaves gaps: bubblewrap asks for its parent's death only some milliseconds
after it started and its process 1 later still; entering the second user namespace takes that request
back for a while; and a child that waits for a parent already dead waits for ever (measured: killing
this process within 20 ms of a start left something nearly every time).

Guarantees: bubblewrap does not begin before its guard stands. The guard is a process of its own
session that waits for the end of our end of a pipe, and then kills bubblewrap's process group and
process 1 of the sandbox. Does not protect against somebody else who kills the guard.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_SHELL: Final = "/bin/bash"
# $1 is the gate: a byte opens it, its end (we died) means that nothing shall begin.
_GATED: Final = 'gate=$1; shift; read -r <&"$gate" || exit 125; exec {gate}<&- "$@"'
# The first line names process 1; a second never comes.
_GUARD: Final = 'read -r first; read -r _; kill -s KILL -- "-$1" $first'


@dataclass(slots=True)
class Lifeline:
    """One sandbox's guard. `gate` is to be inherited by the process that `gated` names."""

    gate: int = -1
    _opens: int = -1
    _line: int = -1
    _guard: int = 0

    @staticmethod
    def open() -> Lifeline:
        return Lifeline(*os.pipe())

    def gated(self, argv: Sequence[str]) -> list[str]:
        """`argv`, held back until `guard`. To be started as the leader of a new session."""
        return [_SHELL, "--norc", "-c", _GATED, "gate", str(self.gate), *argv]

    def guard(self, group: int) -> None:
        """Set the guard over a process group, then open the gate. Raises: OSError (no more processes)."""
        theirs, self._line = os.pipe()
        try:
            self._guard = os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", _GUARD, "guard", str(group)],
                {},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,
            )
        finally:
            os.close(theirs)
        os.write(self._opens, b"\n")

    def name(self, process: int) -> None:
        """Process 1 of the sandbox, which leaves the group: the guard kills it too."""
        os.write(self._line, b"%d\n" % process)

    def close(self) -> None:
        """All that was guarded is gone: take the guard away."""
        if self._guard:
            os.kill(self._guard, signal.SIGKILL)
            os.waitpid(self._guard, 0)
            self._guard = 0
        for end in (self.gate, self._opens, self._line):
            if end >= 0:
                os.close(end)
        self.gate = self._opens = self._line = -1

    def close_gate(self) -> None:
        """For after the start: the gated process alone holds that end."""
        if self.gate >= 0:
            os.close(self.gate)
            self.gate = -1
