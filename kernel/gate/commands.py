"""Commands: what a command line would run, and which of that a person must always be asked about.

Guarantees: extra spaces, `cd x;`, absolute paths, quotes, wrappers (`env`, `nice`, `xargs`, `sh -c`)
and structured argv do not change what is recognised. A program in the workspace never passes for a
system program of the same name.

This is a hint, not the boundary: an interpreter, a script or a computed name is not looked into.
What a process can do is bounded by the sandbox.

Source: RFC-0008.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from kernel.directive import Mount
from kernel.gate.dangers import danger_of, danger_of_line
from kernel.gate.decision import Case, Denied, LayerName
from kernel.gate.programs import Invocation, of_argv, of_line, unreadable
from kernel.gate.shell_line import Unreadable
from kernel.syscalls.target import CommandClaim, CommandTarget

ARGUMENTS_MAX: Final = 4_096
ARGUMENT_BYTES_MAX: Final = 128 * 1024  # MAX_ARG_STRLEN: execve(2) refuses a longer one.

_SYSTEM_FOLDERS: Final = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")
_SHOWN_CHARS: Final = 80


def resolve_command(claim: CommandClaim, mounts: tuple[Mount, ...]) -> CommandTarget | Denied:
    """Name the programs of a command. `mounts` decide which absolute paths are the workspace's own."""
    flaw = _flaw(claim)
    if flaw is not None:
        return flaw
    found = _invocations(claim.argv, claim.shell)
    names = [_program_name(each.program, mounts) for each in found]
    programs = tuple(dict.fromkeys(name for name in names if name))
    return CommandTarget(claim.argv, claim.shell, programs, claim.network)


def danger(target: CommandTarget) -> str:
    """Why a person must be asked whatever the settings say, or "" where nothing was seen."""
    return _danger(target.argv, target.shell)


class CommandLayer:
    """Refuses the programs that the settings deny, wherever in the command line they stand."""

    name: LayerName = "commands"

    def __init__(self, denied_programs: Iterable[str] = ()) -> None:
        self.denied = frozenset(os.path.basename(name) for name in denied_programs)  # noqa: PTH119 -- a name, not a path

    async def check(self, case: Case) -> Denied | None:
        for target in case.targets.values():
            if not isinstance(target, CommandTarget):
                continue
            for program in target.programs:
                if posixpath.basename(program) in self.denied:
                    return Denied(
                        "commands",
                        f"{program} is denied by the settings",
                        "do it without that program, or have the operator take it out of commands.denied",
                        need=f"exec:{program}",
                    )
        return None


@lru_cache(maxsize=256)
def _danger(argv: tuple[str, ...], shell: bool) -> str:
    if shell:
        broken = unreadable(argv[0])
        if broken:
            return f"the line cannot be read ({broken})"
        bomb = danger_of_line(argv[0])
        if bomb:
            return bomb
    return next((why for each in _invocations(argv, shell) if (why := danger_of(each))), "")


@lru_cache(maxsize=256)
def _invocations(argv: tuple[str, ...], shell: bool) -> tuple[Invocation, ...]:
    try:
        return tuple(of_line(argv[0]) if shell else of_argv(argv))
    except Unreadable:
        return (Invocation("bash", ()),)


def _program_name(written: str, mounts: tuple[Mount, ...]) -> str:
    """The base name of a system program; the path itself of any other, so that it cannot pass for one."""
    if "/" not in written:
        return written
    tidy = posixpath.normpath(written)
    folder, name = posixpath.split(tidy)
    own = any(tidy == mount.path or tidy.startswith(mount.path.rstrip("/") + "/") for mount in mounts)
    if folder in _SYSTEM_FOLDERS and not own:
        return name
    return tidy if tidy.startswith(("/", "../")) else f"./{tidy}"


def _flaw(claim: CommandClaim) -> Denied | None:
    if not claim.argv or not claim.argv[0].strip():
        return _denied("the command is empty", "name a program, or write a shell line")
    if claim.shell and len(claim.argv) != 1:
        return _denied("a shell command is one line", "put the whole line in one text")
    if len(claim.argv) > ARGUMENTS_MAX:
        return _denied(f"{len(claim.argv)} arguments are too many", f"at most {ARGUMENTS_MAX}; use a file or xargs")
    for argument in claim.argv:
        if argument.isascii() and len(argument) <= ARGUMENT_BYTES_MAX and "\0" not in argument:
            continue  # Nearly every argument there is: spare it the encoding.
        if "\0" in argument:
            return _denied(f"{argument[:_SHOWN_CHARS]!r} has a NUL character in it", "leave it out")
        try:
            size = len(os.fsencode(argument))
        except UnicodeEncodeError:
            return _denied(f"{argument[:_SHOWN_CHARS]!r} is not valid text", "leave out the broken characters")
        if size > ARGUMENT_BYTES_MAX:
            return _denied(
                f"an argument of {size} bytes is too long", f"at most {ARGUMENT_BYTES_MAX}; write it to a file first"
            )
    return None


def _denied(reason: str, remedy: str) -> Denied:
    return Denied("commands", reason, remedy)
