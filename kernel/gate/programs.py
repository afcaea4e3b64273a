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
    "run0": "", "setarch": "", "catchsegv": "", "script": "", "parallel": "jaS", "doit": "",
}  # fmt: skip
_PLAIN_FIRST: Final = {"timeout": 1, "chroot": 1, "flock": 1, "taskset": 1, "chrt": 1, "setarch": 1}
_LONG_VALUED: Final = frozenset({"--signal", "--kill-after", "--adjustment", "--unset", "--chdir", "--user", "--group"})
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
    if this.name in SHELLS or this.name == "su":
        yield from _shell_line(rest, depth)
    elif this.name == "eval":
        yield from of_line(" ".join(rest), depth)
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
        if word in {"-S", "--split-string"} and position + 1 < len(rest):
            text = rest[position + 1]
        elif word.startswith("-S"):
            text = word[2:]
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
            takes_next = word in _LONG_VALUED or word[1:] in set(valued)
            position += 2 if takes_next else 1
        elif "=" in word and not word.startswith(("/", ".")):
            position += 1
        elif plain:
            plain -= 1
            position += 1
        else:
            return rest[position:]
    return ()
