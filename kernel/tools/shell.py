"""`exec`: run a program, or one shell line, in the sandbox.

Guarantees: the process sees the workspace (writable only where the caller may write all of it),
the directories it names in `also_read`, and nothing else of the user's files; its environment is
what is passed here and what the operator named in the settings; no network without `network`,
which the gate checks. Its whole tree is gone when the call ends.

What the sandbox does not protect against is written at `kernel.adapters.sandbox`.

Source: RFC-0004.
"""

from __future__ import annotations

import os
import re
import signal
from typing import Final

from pydantic import Field, field_validator, model_validator

from kernel.capability.rights import Rights
from kernel.directive import Mount
from kernel.errors import Invalid
from kernel.limits import CALL_DEADLINE_S, CALL_DEADLINE_S_MAX
from kernel.ports.sandbox import Bind, Bounds, Command, Finished, Sandbox
from kernel.settings.tree import SandboxSettings, Settings
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import Claim, CommandClaim, PathClaim

_ARGUMENTS_MAX: Final = 1_024
_LINE_CHARS_MAX: Final = 64 * 1024
_ENV_MAX: Final = 64
_ALSO_MAX: Final = 8
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SANDBOX_SETS: Final = frozenset({"PATH", "HOME", "LANG", "TERM"})
_MIB: Final = 1024 * 1024
_SETTLE_S: Final = 10.0
"""What the call may take beyond the process's own deadline, to end the tree and read the rest."""

_FILE_TOO_LONG: Final = 128 + signal.SIGXFSZ
"""128 + the signal that ends a program at the bound on one file's length."""

_STOPPED: Final = {
    "deadline": "stopped: it ran longer than {b.deadline_s:g} s (at most {s:g} with timeout_s); do less at once",
    "output": "stopped: it printed more than {b.output_bytes_max} bytes; send output to a file",
    "workspace": "stopped: it added more than {b.workspace_bytes_max} bytes or {b.workspace_files_max} files",
    "processes": "stopped: it had more than {b.processes_max} processes at once",
    "memory": "stopped: it used more than {b.memory_bytes_max} bytes of memory",
}


class ExecArgs(Args):
    argv: tuple[str, ...] = Field(
        default=(), max_length=_ARGUMENTS_MAX, description="Program and arguments, passed as they are. Preferred."
    )
    command: str = Field(
        default="", max_length=_LINE_CHARS_MAX, description="A line for bash, where pipes or loops are needed."
    )
    cwd: str = Field(default=".", max_length=4_096, description="Directory to run in.")
    env: dict[str, str] = Field(
        default_factory=dict, max_length=_ENV_MAX, description="Environment variables besides PATH, HOME, LANG, TERM."
    )
    stdin: str = Field(default="", max_length=1024 * 1024, description="What the process reads from standard input.")
    timeout_s: float = Field(default=CALL_DEADLINE_S, ge=1, le=CALL_DEADLINE_S_MAX, description="Seconds.")
    network: bool = Field(default=False, description="Whether it needs the network; most commands do not.")
    read_only: bool = Field(default=False, description="Whether it only reads the workspace.")
    also_read: tuple[str, ...] = Field(
        default=(), max_length=_ALSO_MAX, description="Other mounted directories that it must be able to read."
    )

    @field_validator("env")
    @classmethod
    def _names(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if not _ENV_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a name of an environment variable")
            if name in _SANDBOX_SETS:
                raise ValueError(f"{name} is set by the sandbox; leave it out")
            if "\0" in value:
                raise ValueError(f"the value of {name} has a NUL character in it")
        return env

    @model_validator(mode="after")
    def _one_form(self) -> ExecArgs:
        if bool(self.argv) == bool(self.command.strip()):
            raise ValueError("give either argv (a list) or command (a shell line), not both and not neither")
        if any("\0" in word for word in (*self.argv, self.command)):
            raise ValueError("an argument has a NUL character in it")
        if self.argv and not self.argv[0].strip():
            raise ValueError("the first word of argv is the program; it is empty")
        return self


def _claims(args: ExecArgs) -> tuple[Claim, ...]:
    """The command, the whole workspace (that is what the process gets), its cwd, and what else it reads."""
    argv = args.argv or (args.command,)
    paths = dict.fromkeys((*args.also_read, args.cwd), Rights.READ)
    paths["."] = Rights.READ if args.read_only else Rights.READ | Rights.WRITE
    found: list[Claim] = [CommandClaim(argv, shell=not args.argv, network=args.network)]
    return (*found, *(PathClaim(path, right) for path, right in paths.items()))


@syscall(
    "exec",
    ExecArgs,
    claims=_claims,
    reaches=(("exec", Rights.EXECUTE),),
    effect=Effect.EXTERNAL,
    deadline_s=lambda a: a.timeout_s + _SETTLE_S,
)
async def exec_(call: Call, args: ExecArgs) -> ToolResult:
    """Run a program (`argv`) or a bash line (`command`) in the sandbox and return what it printed.

    No network, no files but the workspace, no state between calls (each starts in `cwd`).
    """
    said = call.services.get(Settings).sandbox
    bounds = exec_bounds(said, args.timeout_s)
    binds, cwd = _binds(call, args)
    target = call.command()
    command = Command(
        argv=("/bin/bash", "-c", *target.argv) if target.shell else target.argv,
        cwd=cwd,
        binds=binds,
        env={**_passed_on(said), **args.env},
        stdin=args.stdin.encode("utf-8", errors="replace"),
        network=target.network,
        bounds=bounds,
    )
    finished = await call.services.get(Sandbox).run(
        command, lambda piece: call.progress(piece.decode("utf-8", errors="replace"))
    )
    return _result(finished, bounds, said.deadline_s)


def exec_bounds(said: SandboxSettings, timeout_s: float = CALL_DEADLINE_S_MAX) -> Bounds:
    """The operator's bounds; a call may ask for less time, never for more."""
    return Bounds(
        deadline_s=min(timeout_s, said.deadline_s),
        memory_bytes_max=said.memory_mb * _MIB,
        processes_max=said.processes,
        descriptors_max=said.descriptors,
        output_bytes_max=said.output_mb * _MIB,
        workspace_bytes_max=said.workspace_mb * _MIB,
        workspace_files_max=said.workspace_files,
    )


def _passed_on(said: SandboxSettings) -> dict[str, str]:
    """The variables of our own environment that the operator named: nothing else of it is passed on."""
    return {name: os.environ[name] for name in said.env if name in os.environ and name not in _SANDBOX_SETS}


def _binds(call: Call, args: ExecArgs) -> tuple[tuple[Bind, ...], str]:
    workspace = call.path(".")
    cwd = call.path(args.cwd)
    if not cwd.is_dir:
        raise Invalid(f"{args.cwd} is not a directory", remedy="choose a directory to run in")
    binds = {workspace.real: Bind(workspace.real, writable=not args.read_only and _writable(call.mounts))}
    for path in (*args.also_read, args.cwd):
        other = call.path(path)
        if other.mount != workspace.mount:
            if not other.is_dir:
                raise Invalid(f"{path} is not a directory", remedy="name the directory that holds it")
            binds.setdefault(other.real, Bind(other.real, writable=False))
    return tuple(binds.values()), cwd.real


def _writable(mounts: tuple[Mount, ...]) -> bool:
    return bool(mounts) and mounts[0].mode == "rw"


def _result(finished: Finished, bounds: Bounds, deadline_s_max: float) -> ToolResult:
    text = finished.output.decode("utf-8", errors="replace")
    notes: list[str] = []
    if finished.stopped_by:
        notes.append(_STOPPED[finished.stopped_by].format(s=deadline_s_max, b=bounds))
    elif finished.exit_code == _FILE_TOO_LONG:
        notes.append(f"exit code {_FILE_TOO_LONG}: a file may have {bounds.workspace_bytes_max} bytes at most")
    elif finished.exit_code != 0:
        notes.append(f"exit code {finished.exit_code}")
    elif not text:
        notes.append("no output, exit code 0")
    if finished.truncated:
        notes.append("output cut")
    if text and notes and not text.endswith("\n"):
        text += "\n"
    data = {
        "exit_code": finished.exit_code,
        "duration_ms": finished.duration_ms,
        "output_bytes": len(finished.output),
        "tier": finished.tier,
        "stopped_by": finished.stopped_by,
        "truncated": finished.truncated,
    }
    failed = finished.exit_code != 0 or bool(finished.stopped_by)
    return ToolResult(text + "".join(f"[{note}]\n" for note in notes), data, is_error=failed)
