"""The `bubblewrap` tier: a command in namespaces of its own, without capabilities or network.

Guarantees: what `confine` lists is all a command sees; the limits below hold from its first
instruction; when `run` returns or is cancelled, or this process dies, every process of the command
is dead, however it forked or detached, and however early that was (`lifeline`). Files it makes in the
workspace belong to the user who runs the kernel.

Limits, per process and by the operating system: data memory, descriptors, file size, no core.
Over the whole tree and by looking every 25 ms: processes, memory, workspace growth. What
passes a bound between two looks is stopped at the next; a fork bomb is held by RLIMIT_NPROC until
then, but where the kernel runs as root, to whom Linux does not apply it (measured: a bomb of bash
was ended after one to two seconds).

Does not protect against flaws of the Linux kernel, covert channels, or the use of CPU time up to
the deadline.

Source: bwrap(1), prlimit(2), pidfd_send_signal(2); RFC-0004.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Final

import anyio
from anyio.abc import Process

from kernel.adapters.sandbox import confine, covers, seccomp
from kernel.adapters.sandbox.lifeline import Lifeline
from kernel.adapters.sandbox.memory import memory_file
from kernel.adapters.sandbox.probe import probe_outcome
from kernel.adapters.sandbox.watch import Watch, Watched
from kernel.clock import Clock, SystemClock
from kernel.errors import NotFound, SandboxDown
from kernel.ports.sandbox import Bounds, Command, Finished, Probe

INSTALL: Final = "install bubblewrap (Debian, Ubuntu: `apt-get install bubblewrap`; Fedora: `dnf install bubblewrap`)"
ALLOW: Final = (
    "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1; on Ubuntu also "
    'kernel.apparmor_restrict_unprivileged_userns=0), or accept weaker protection with sandbox.tier = "none"'
)
_SETUP_S: Final = 10.0
_FORKS_BETWEEN_LOOKS: Final = 64
_NOT_STARTED: Final = "bwrap: execvp "
_STATUS_BYTES: Final = 64 * 1024


@dataclass(slots=True)
class _Started:
    """One bwrap process: `init` is process 1 of the command's namespace."""

    init: int = 0
    pidfd: int = -1
    outer: int = 0

    @property
    def root(self) -> int:
        return self.init

    def kill(self) -> None:
        """The end of process 1 is the end of its whole namespace; a pidfd never names another process."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        elif self.outer:
            # Not told yet who process 1 is: it has not left bwrap's process group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.outer, signal.SIGKILL)


@dataclass(slots=True)
class _Pipes:
    """Descriptors that bwrap inherits (and closes before the command), and our ends of them."""

    theirs: list[int] = field(default_factory=list[int])
    status: int = -1
    release: int = -1
    lifeline: Lifeline = field(default_factory=Lifeline)

    def close(self) -> None:
        self.lifeline.close()
        self.close_theirs()
        for end in (self.status, self.release):
            if end >= 0:
                os.close(end)
        self.status = self.release = -1

    def close_theirs(self) -> None:
        self.lifeline.close_gate()
        while self.theirs:
            os.close(self.theirs.pop())


class BubblewrapSandbox:
    """Runs commands by bwrap. `hidden` are paths that no command sees, whatever contains them."""

    def __init__(self, hidden: Sequence[str] = (), *, program: str = "bwrap", clock: Clock | None = None) -> None:
        self._hidden = tuple(hidden)
        self._program = program
        self._clock = clock or SystemClock()

    async def run(self, command: Command, on_output: Callable[[bytes], None] | None = None) -> Finished:
        """Raises: SandboxDown, NotFound (no such program), Invalid (a bind that would uncover the system)."""
        bwrap = shutil.which(self._program)
        if bwrap is None:
            raise SandboxDown("bubblewrap is not installed, so no command can be confined", remedy=INSTALL)
        confine.check_binds(command, self._hidden)
        _check_program(command)
        pipes = _Pipes()
        tree = _Started()
        started_s = self._clock.monotonic_s()
        try:
            with covers.standing(self._hidden, command.binds):
                watched, finished = await self._start(bwrap, command, pipes, tree, on_output)
        finally:
            pipes.close()
            if tree.pidfd >= 0:
                os.close(tree.pidfd)
        if not finished and not watched.stopped_by:
            _tell_apart(watched)
        return Finished(
            exit_code=_shell_code(watched.exit_code),
            output=bytes(watched.output),
            truncated=watched.truncated,
            duration_ms=round((self._clock.monotonic_s() - started_s) * 1000),
            tier="bubblewrap",
            stopped_by=watched.stopped_by,
        )

    async def probe(self) -> Probe:
        """Start `true` in the sandbox and look."""
        return await probe_outcome(self, "bubblewrap")

    async def _start(
        self,
        bwrap: str,
        command: Command,
        pipes: _Pipes,
        tree: _Started,
        on_output: Callable[[bytes], None] | None,
    ) -> tuple[Watched, bool]:
        try:
            process = await self._open(bwrap, command, pipes)
        except OSError as error:
            raise _no_room(error) from error
        watch = Watch(command, tree, self._clock, on_output)
        tree.outer = process.pid
        pipes.close_theirs()
        try:
            status = await self._set_up(command, pipes, tree)
        except BaseException:
            tree.kill()
            with anyio.CancelScope(shield=True):
                await process.aclose()
            raise
        watched = await watch.run(process)
        with contextlib.suppress(BlockingIOError):
            status += os.read(pipes.status, _STATUS_BYTES)
        return watched, _field(status, "exit-code") is not None

    async def _open(self, bwrap: str, command: Command, pipes: _Pipes) -> Process:
        """bwrap, held back until it is guarded. Raises: OSError (no more descriptors, processes or memory)."""
        fixed = _descriptors(command, self._hidden, pipes)
        inherited = tuple(pipes.theirs)
        stdin = _memory(command.stdin, pipes) if command.stdin else DEVNULL
        pipes.lifeline = Lifeline.open()
        return await anyio.open_process(
            pipes.lifeline.gated([bwrap, *fixed, "--", *command.argv]),
            stdin=stdin,
            stdout=PIPE,
            stderr=STDOUT,
            env={},
            cwd="/",
            start_new_session=True,
            pass_fds=(*inherited, pipes.lifeline.gate),
        )

    async def _set_up(self, command: Command, pipes: _Pipes, tree: _Started) -> bytes:
        """Guard it, let bwrap begin, limit process 1 while it waits, and let that go on."""
        try:
            pipes.lifeline.guard(tree.outer)
            with anyio.fail_after(_SETUP_S):
                status = await _first_status(pipes.status)
                init = _field(status, "child-pid")
                if init:
                    # Where it is gone already, bubblewrap says why.
                    with contextlib.suppress(ProcessLookupError):
                        tree.pidfd = os.pidfd_open(init)
                        tree.init = init
                        pipes.lifeline.name(init)
                        _limit(init, command.bounds)
                        os.write(pipes.release, b"\0")
        except TimeoutError as error:
            raise SandboxDown(
                f"bubblewrap did not start within {_SETUP_S:.0f} s", remedy="look at the machine's load"
            ) from error
        except OSError as error:
            raise _no_room(error) from error
        return status


def _no_room(error: OSError) -> SandboxDown:
    return SandboxDown(
        f"a sandbox cannot be set up: {error.strerror}",
        remedy="look at the machine's processes, memory and open files (ulimit -n)",
    )


def _descriptors(command: Command, hidden: tuple[str, ...], pipes: _Pipes) -> list[str]:
    """Prepare everything that travels by descriptor. Options too: argv is readable by every user."""
    pipes.status, told = os.pipe()
    pipes.theirs.append(told)
    os.set_blocking(pipes.status, False)
    blocked, pipes.release = os.pipe()
    # bwrap holds our end as well: where we die it is not released, but stays blocked until it is killed.
    held = os.dup(pipes.release)
    pipes.theirs += [blocked, held]
    found = confine.options(command, hidden)
    for content, path in ((confine.PASSWD, "/etc/passwd"), (confine.GROUP, "/etc/group")):
        found += ["--perms", "0644", "--ro-bind-data", str(_memory(content, pipes)), path]
    program = seccomp.filter_program()
    if program is not None:
        found += ["--seccomp", str(_memory(program, pipes))]
    found += ["--remount-ro", "/"]
    arguments = _memory(b"".join(os.fsencode(option) + b"\0" for option in found), pipes)
    fixed = ["--args", str(arguments), "--json-status-fd", str(told)]
    return [*fixed, "--block-fd", str(blocked), "--sync-fd", str(held)]


def _memory(content: bytes, pipes: _Pipes) -> int:
    handle = memory_file(content)
    pipes.theirs.append(handle)
    return handle


async def _first_status(status: int) -> bytes:
    """What bwrap tells when its namespaces stand; empty where it failed before that."""
    said = b""
    # It is written piece by piece; a line end closes it, the pipe's end says that bwrap failed.
    while not said.endswith(b"\n"):
        await anyio.wait_readable(status)
        piece = os.read(status, _STATUS_BYTES)
        if not piece:
            break
        said += piece
    return said


def _field(status: bytes, name: str) -> int | None:
    for line in status.splitlines():
        with contextlib.suppress(ValueError):
            value = json.loads(line).get(name)
            if isinstance(value, int):
                return value
    return None


def _limit(process: int, bounds: Bounds) -> None:
    """Set on process 1 while it waits, so that all it starts inherits them."""
    limits = {
        resource.RLIMIT_DATA: bounds.memory_bytes_max,
        resource.RLIMIT_NOFILE: bounds.descriptors_max,
        resource.RLIMIT_FSIZE: bounds.workspace_bytes_max,
        # Counted within the user namespace (Linux 5.14). The look ends a tree that passes its bound and
        # names it; this only stops one that forks faster than the look comes round.
        resource.RLIMIT_NPROC: bounds.processes_max + _FORKS_BETWEEN_LOOKS,
        resource.RLIMIT_CORE: 0,
    }
    try:
        for limit, value in limits.items():
            resource.prlimit(process, limit, (value, value))
    except PermissionError as error:
        raise SandboxDown(
            "the limits of a sandboxed process cannot be set", remedy="use a bubblewrap that is not setuid root"
        ) from error


def _check_program(command: Command) -> None:
    """Raises: NotFound, where the program is certain not to be there inside."""
    program = command.argv[0] if command.argv else ""
    if not program:
        raise NotFound("no program is named", remedy="give argv with at least the program's name")
    if "/" not in program and shutil.which(program, path=confine.PATH) is None:
        raise NotFound(
            f"there is no program {program!r} in the sandbox",
            remedy=f"programs are looked up in {confine.PATH}; give the path of one in the workspace",
        )


def _tell_apart(watched: Watched) -> None:
    """No command ran: a program that cannot be started ends as in a shell, all else is the sandbox's failure.

    Raises: SandboxDown.
    """
    said = watched.output.decode("utf-8", errors="replace").strip().splitlines()
    reason = said[-1] if said else "it ended without a word"
    if not reason.startswith(_NOT_STARTED):
        raise SandboxDown(f"bubblewrap cannot confine a command here: {reason}", remedy=ALLOW)
    watched.output = bytearray(f"{reason.removeprefix(_NOT_STARTED)}\n".encode())
    watched.exit_code = 127 if "No such file" in reason else 126


def _shell_code(code: int) -> int:
    return 128 - code if code < 0 else code
