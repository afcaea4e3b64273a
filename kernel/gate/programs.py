"""The programs that a command starts, seen through the wrappers that start others.

Guarantees: `env X=1 nice -n 5 sh -c 'sudo x'` gives env, nice, sh and sudo, each with its own
arguments. Does not see what scripts and interpreters start.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kernel.gate.shell_line import DEPTH_MAX, SimpleCommand, Unreadable, read_line

SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "rbash"})

_VALUED: Final[dict[str, str]] = {
    # Each wrapper's short options that take the next word as their value.
    "env": "uCS", "nice": "n", "ionize": "", "ionice": "cnp", "nohup": "", "timeout": "ks", "stdbuf": "ioe",
    "setsid": "", "time": "fo", "xargs": "aEdILnPs", "exec": "a", "command": "", "builtin": "", "busybox": "",
    "toybox": "", "chroot": "", "unshare": "", "strace": "aeEIoOpPsSuX", "ltrace": "aelnopsu", "watch": "n",
    "flock": "wE", "chrt": "TPD", "taskset": "", "sudo": "CDghpRrTtUu", "doas": "Cu", "pkexec": "",
    "run0": "", "setarch": "", "catchsegv": "", "parallel": "jaS", "doit": "", "prlimit": "p", "setpriv": "",
    "nsenter": "tSG", "choom": "np", "systemd-run": "pHMu", "ssh-agent": "atE",
}  # fmt: skip
_PLAIN_FIRST: Final = {"timeout": 1, "chroot": 1, "flock": 1, "taskset": 1, "chrt": 1, "setarch": 1}
_LONG_VALUED: Final = frozenset(
    {"--signal", "--kill-after", "--adjustment", "--unset", "--chdir", "--user", "--group", "--reuid", "--regid"}
)
_LINED: Final = frozenset({"su", "script", "flock"})
"""They hand the text after -c to a shell."""
_FIND_STARTS: Final = frozenset({"-exec", "-execdir", "-ok", "-okdir"})


@dataclass(frozen=True, slots=True)
class Invocation:
    """One program as written, with its arguments; `redirects` are the files its output goes to."""

    program: str
    arguments: tuple[str, ...]
    redirects: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return posixpath.basename(self.program.rstrip("/"))


def of_argv(argv: tuple[str, ...], depth: int = 0) -> Iterator[Invocation]:
    """The program of a structured command, then every one it is seen to start. Raises: Unreadable."""
    yield from _through(argv, (), depth)


def of_line(line: str, depth: int = 0) -> Iterator[Invocation]:
    """Every program of a shell line. Raises: Unreadable."""
    for command in read_line(line, depth):
        yield from _of_command(command, depth)


def unreadable(line: str) -> str:
    """Why a shell line does not parse, or ""."""
    try:
        list(of_line(line))
    except Unreadable as why:
        return str(why)
    return ""


def _of_command(command: SimpleCommand, depth: int) -> Iterator[Invocation]:
    if not command.words:
        yield Invocation("", (), tuple(command.redirects))
        return
    yield from _through(tuple(command.words), tuple(command.redirects), depth)
    if posixpath.basename(command.words[0]) in SHELLS:
        for document in command.documents:
            yield from of_line(document, depth + 1)


def _through(words: tuple[str, ...], redirects: tuple[str, ...], depth: int) -> Iterator[Invocation]:
    if depth > DEPTH_MAX:
        raise Unreadable("the line nests too deep")
    if words:
        this = Invocation(words[0], words[1:], redirects)
        yield this
        yield from _started_by(this, depth + 1)


def _started_by(this: Invocation, depth: int) -> Iterator[Invocation]:
    """What the program starts itself, as far as its arguments say."""
    rest = this.arguments
    if this.name in SHELLS or this.name in _LINED:
        yield from _shell_line(rest, depth)
    if this.name == "eval":
        yield from of_line(" ".join(rest), depth)
    elif this.name == "watch":
        yield from of_line(" ".join(_after_options("watch", rest)), depth)
    elif this.name == "trap" and rest[:1] != ("-p",):
        yield from of_line(" ".join(rest[:1]), depth)
    elif this.name == "find":
        for position, word in enumerate(rest):
            if word in _FIND_STARTS:
                yield from _through(rest[position + 1 :], (), depth)
    elif this.name in _VALUED:
        if this.name == "env":
            yield from _env_split(rest, depth)
        yield from _through(_after_options(this.name, rest), (), depth)


def _shell_line(rest: tuple[str, ...], depth: int) -> Iterator[Invocation]:
    """`sh -c LINE`, also as `-lc`, with whatever options stand between."""
    for position, word in enumerate(rest):
        is_c = word.startswith("-") and not word.startswith("--") and "c" in word[1:]
        if is_c or word == "--command":
            line = next((later for later in rest[position + 1 :] if not later.startswith(("-", "+"))), "")
            yield from of_line(line, depth)
            return


def _env_split(rest: tuple[str, ...], depth: int) -> Iterator[Invocation]:
    """`env -S 'sudo x'` splits its text into a command."""
    for position, word in enumerate(rest):
        text = ""
        if word == "--split-string" or (word.startswith("-") and not word.startswith("--") and "S" in word):
            text = word.partition("S")[2] or " ".join(rest[position + 1 : position + 2])
        elif word.startswith("--split-string="):
            text = word.partition("=")[2]
        if text:
            yield from of_line(text, depth)


def _after_options(wrapper: str, rest: tuple[str, ...]) -> tuple[str, ...]:
    """What the wrapper runs: past its options, their values, assignments and its own first words."""
    valued, plain, position = _VALUED[wrapper], _PLAIN_FIRST.get(wrapper, 0), 0
    while position < len(rest):
        word = rest[position]
        if word == "--":
            return rest[position + 1 + plain :]
        if word.startswith("-") and len(word) > 1:
            position += 2 if _takes_next(word, valued) else 1
        elif "=" in word and not word.startswith(("/", ".")):
            position += 1
        elif plain:
            plain -= 1
            position += 1
        else:
            return rest[position:]
    return ()


def _takes_next(option: str, valued: str) -> bool:
    """Whether the next word is its value: `-u X` and `-iu X`, but not `-uX`."""
    if option.startswith("--"):
        return option in _LONG_VALUED
    first = next((place for place, letter in enumerate(option) if letter in valued), 0)
    return first > 0 and first == len(option) - 1
