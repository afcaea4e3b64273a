"""What a person is shown: the resolved target, who wants it and why, what follows, and the way back.

Guarantees: the text is built from what the gate resolved, never from the model's own description;
control characters and bidirectional marks are shown as escapes, so a target cannot draw over the
prompt or read as another; every field is bounded.
"""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Iterable
from typing import Final

from kernel.gate.decision import Question
from kernel.gate.request import Request
from kernel.ports.sandbox import Tier
from kernel.syscalls.declare import Effect
from kernel.syscalls.target import CommandTarget, NameTarget, PathTarget, Target, UrlTarget

TARGET_CHARS_MAX: Final = 2_000
REASON_CHARS_MAX: Final = 600

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def question_of(
    request: Request, targets: Iterable[Target], *, keys: tuple[str, ...], tier: Tier, goal: str, always: str
) -> Question:
    """`keys` are empty where the answer cannot be remembered, and `always` says why it is asked every time."""
    found = tuple(targets)
    tool = request.syscall.name
    shown = _all_shown(found) or _arguments(request)
    return Question(
        tool=tool,
        target=_bounded(shown, TARGET_CHARS_MAX),
        why=_bounded(_why(request, goal, always), REASON_CHARS_MAX),
        enables=_enables(request, found, tier),
        undoable=request.syscall.effect is Effect.WRITE,
        keys=keys,
    )


def plain(text: str) -> str:
    """The text with everything that a terminal would act on, or not show, as an escape."""
    return "".join(_escaped(char) if unicodedata.category(char) in _HIDDEN else char for char in text)


def _escaped(char: str) -> str:
    return "\n" if char == "\n" else char.encode("unicode_escape").decode("ascii")


def _all_shown(targets: tuple[Target, ...]) -> str:
    """A command comes first, with the folder it runs in; anything else is listed."""
    commands = [_shown(target) for target in targets if isinstance(target, CommandTarget)]
    others = [_shown(target) for target in targets if not isinstance(target, CommandTarget)]
    listed = ", ".join(others)
    if commands and others:
        return f"{'; '.join(commands)}  [in {listed}]"
    return "; ".join(commands) or listed


def _shown(target: Target) -> str:
    match target:
        case PathTarget():
            return target.real if target.exists else f"{target.real} (new)"
        case CommandTarget():
            line = target.argv[0] if target.shell else shlex.join(target.argv)
            return f"{line} (with network)" if target.network else line
        case UrlTarget():
            return f"{target.url} ({', '.join(target.addresses)})" if target.addresses else target.url
        case NameTarget():
            return f"{target.kind}:{target.name}"


def _why(request: Request, goal: str, always: str) -> str:
    said = f"{always}; " if always else ""
    asked = f"{request.principal} calls {request.syscall.name}"
    return f"{said}{asked} for: {goal}" if goal else f"{said}{asked} with {_arguments(request)}"


def _arguments(request: Request) -> str:
    return request.args.model_dump_json(exclude_defaults=True)


def _enables(request: Request, targets: tuple[Target, ...], tier: Tier) -> str:
    """What is possible afterwards that was not before."""
    for target in targets:
        match target:
            case CommandTarget():
                return _command_enables(target, tier)
            case UrlTarget():
                return f"{target.host} learns this address; what it answers reaches the agent as data"
            case PathTarget() if request.syscall.effect is Effect.WRITE:
                return "whoever reads or runs this file afterwards gets what the agent wrote"
            case _:
                continue
    match request.syscall.effect:
        case Effect.WRITE:
            return "the change stands until it is undone"
        case Effect.EXTERNAL:
            return "it happens outside Oxios, and cannot be taken back"
        case _:
            return "the agent sees what it returns"


def _command_enables(target: CommandTarget, tier: Tier) -> str:
    if tier == "none":
        return "it runs unconfined: it can read, change and send whatever you can"
    if target.network:
        return "it can change the workspace, and send anything it reads there to anyone"
    return "it can change anything in the workspace, and nothing else; it has no network"


def _bounded(text: str, chars_max: int) -> str:
    safe = plain(text)
    return safe if len(safe) <= chars_max else f"{safe[:chars_max]}… ({len(safe)} characters)"
