"""What a person must be asked about every time, read off parsed commands.

Guarantees: each rule looks at one program with its arguments as words, never at raw text. A match
does not refuse: it raises the approval policy to `always`.

Does not protect against the same deed done by other means: the sandbox does.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Final

from kernel.gate.programs import Invocation

_FORK_BOMB: Final = re.compile(r"([\w:.]+)\(\)\{.*\1\|\1&?.*\}")
_OTHER_USER: Final = frozenset({"sudo", "su", "doas", "pkexec", "run0", "runuser", "sudoedit", "gosu"})
_POWER: Final = frozenset({"shutdown", "reboot", "halt", "poweroff", "kexec"})
_POWER_VERBS: Final = frozenset({"poweroff", "reboot", "halt", "kexec", "suspend", "hibernate", "rescue", "emergency"})
_DISKS: Final = frozenset({"mke2fs", "mkswap", "wipefs", "fdisk", "sfdisk", "cfdisk", "parted", "sgdisk", "blkdiscard"})
_CALM_DEVICES: Final = (
    *("/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/fd/", "/dev/zero", "/dev/full"),
    "/dev/shm/",  # noqa: S108 -- memory, of which a command in the sandbox has its own
)
_HOME: Final = re.compile(r"(~[\w.-]*|\$HOME|\$\{HOME[^}]*\})(/(\.?\*)?)*")
_GIT_VALUED: Final = frozenset({"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--config-env", "--exec-path"})
_FORCING: Final = ("--force", "--mirror", "--delete", "--prune")


def danger_of_line(line: str) -> str:
    """What only the raw text of a shell line shows: a function that starts itself twice."""
    if _FORK_BOMB.search("".join(line.split())):
        return "it starts itself over and over (fork bomb)"
    return ""


def danger_of(command: Invocation) -> str:
    """Why this one program with these arguments must be asked about, or ""."""
    for place in command.redirects:
        if _is_device(place):
            return f"it writes to the device {place}"
    name = command.name
    if name in _OTHER_USER:
        return f"{name} runs things as another user"
    if name in _POWER or (name in {"init", "telinit"} and set(command.arguments) & {"0", "6"}):
        return f"{name} stops or restarts the machine"
    if name in _DISKS or name.startswith("mkfs"):
        return f"{name} rewrites a disk"
    rule = _RULES.get(name)
    return rule(command.arguments) if rule else ""


def _rm(arguments: tuple[str, ...]) -> str:
    if not _has(arguments, "rR", "--recursive"):
        return ""
    place = next((word for word in _operands(arguments) if _is_vital(word)), "")
    return f"rm would delete everything below {place}" if place else ""


def _rights(arguments: tuple[str, ...]) -> str:
    if not _has(arguments, "R", "--recursive"):
        return ""
    place = next((word for word in _operands(arguments) if _is_vital(word)), "")
    return f"it changes who may use everything below {place}" if place else ""


def _find(arguments: tuple[str, ...]) -> str:
    starts: list[str] = []
    for word in arguments:
        if word.startswith(("-", "(", "!")):
            break
        starts.append(word)
    place = next((word for word in starts if _is_vital(word)), "")
    return f"find would delete below {place}" if place and "-delete" in arguments else ""


def _dd(arguments: tuple[str, ...]) -> str:
    place = next((word[3:] for word in arguments if word.startswith("of=") and _is_device(word[3:])), "")
    return f"dd writes to the device {place}" if place else ""


def _onto_device(arguments: tuple[str, ...]) -> str:
    place = next((word for word in _operands(arguments) if _is_device(word)), "")
    return f"it writes to the device {place}" if place else ""


def _git(arguments: tuple[str, ...]) -> str:
    position = 0
    while position < len(arguments) and arguments[position].startswith("-"):
        position += 2 if arguments[position] in _GIT_VALUED else 1
    if arguments[position : position + 1] != ("push",):
        return ""
    rest = arguments[position + 1 :]
    forced = _has(rest, "fd", "") or any(word.startswith((*_FORCING, "+")) for word in rest)
    return "a forced push rewrites or deletes what others have" if forced or _deletes(rest) else ""


def _deletes(rest: tuple[str, ...]) -> bool:
    """`git push origin :branch`."""
    return any(word.startswith(":") and len(word) > 1 for word in rest)


def _systemctl(arguments: tuple[str, ...]) -> str:
    return "it stops or restarts the machine" if set(arguments) & _POWER_VERBS else ""


def _kill(arguments: tuple[str, ...]) -> str:
    operands = arguments[1:] if arguments[:1] and arguments[0].startswith("-") else arguments
    return "it ends every process it may" if "-1" in operands else ""


_RULES: Final[dict[str, Callable[[tuple[str, ...]], str]]] = {
    "rm": _rm,
    "chmod": _rights,
    "chown": _rights,
    "chgrp": _rights,
    "find": _find,
    "dd": _dd,
    "tee": _onto_device,
    "cp": _onto_device,
    "shred": _onto_device,
    "git": _git,
    "systemctl": _systemctl,
    "loginctl": _systemctl,
    "kill": _kill,
}


def _has(arguments: tuple[str, ...], letters: str, long: str) -> bool:
    """An option by one of its letters (also bundled, `-rf`) or by its long name, before any `--`."""
    for word in arguments:
        if word == "--":
            return False
        if word.startswith("--"):
            # getopt accepts any unique beginning: --recur is --recursive.
            if long and len(word) > len("--r") and long.startswith(word):
                return True
        elif word.startswith("-") and any(letter in word[1:] for letter in letters):
            return True
    return False


def _operands(arguments: tuple[str, ...]) -> list[str]:
    return [word for word in arguments if not word.startswith("-")]


def _is_vital(word: str) -> bool:
    """The root, one of its folders, a home, or all of either."""
    if _HOME.fullmatch(word):
        return True
    if not word.startswith("/"):
        return False
    parts = [part for part in posixpath.normpath(word).split("/") if part]
    if parts and parts[-1] in {"*", ".*"}:
        parts.pop()
    return len(parts) < 2 or (len(parts) == 2 and parts[0] in {"home", "usr", "var"})  # noqa: PLR2004 -- /home/x


def _is_device(place: str) -> bool:
    tidy = posixpath.normpath(place)
    return tidy.startswith("/dev/") and not tidy.startswith(_CALM_DEVICES)
