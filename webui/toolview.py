"""How a tool call is shown: its kind, and what it is about in one line."""

from __future__ import annotations

import difflib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

ToolKind: TypeAlias = Literal["command", "edit", "read", "search", "fetch", "ask", "other"]

TARGET_CHARS_MAX: Final = 160
DIFF_LINES_MAX: Final = 400
_TARGETS: Final = ("path", "command", "argv", "url", "query", "pattern", "question", "call", "text")
_KINDS: Final[Mapping[str, ToolKind]] = {
    "exec": "command",
    "write": "edit",
    "edit": "edit",
    "read": "read",
    "ls": "search",
    "find": "search",
    "grep": "search",
    "web_search": "search",
    "get_search_results": "search",
    "web_fetch": "fetch",
    "ask_user": "ask",
}


def kind_of(tool: str) -> ToolKind:
    return _KINDS.get(tool, "other")


def target_of(arguments: Mapping[str, Any] | str) -> str:
    """A path, a command, an address; else the arguments."""
    found = _object(arguments) if isinstance(arguments, str) else arguments
    if found is None:
        return _line(str(arguments))
    for name in _TARGETS:
        value = found.get(name)
        if isinstance(value, str) and value:
            return _line(value)
        if isinstance(value, list):
            return _line(" ".join(str(part) for part in cast("list[Any]", value)))
    return _line(json.dumps(found, ensure_ascii=False)) if found else ""


def diff_lines(before: str, after: str) -> list[tuple[str, str]]:
    """A unified diff as (`+`, `-`, ` ` or `@`, line); cut at DIFF_LINES_MAX, with a last `@` line that says so."""
    lines: list[tuple[str, str]] = []
    for line in _unified(before, after):
        if len(lines) == DIFF_LINES_MAX:
            return [*lines, ("@", "more lines changed than are shown here")]
        lines.append((line[:1], line[1:]) if line[:1] in "+- " else ("@", line))
    return lines


def _unified(before: str, after: str) -> Iterator[str]:
    """Without the two lines that name the files."""
    unified = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)
    return itertools.islice(unified, 2, None)


@dataclass(frozen=True, slots=True)
class Change:
    """What a call puts into a file: how many lines come and go, and those that are shown."""

    lines: list[tuple[str, str]]
    added: int
    removed: int


def change_of(tool: str, arguments: Mapping[str, Any]) -> Change | None:
    """Of an edit, what it replaces; of a file that is written, its lines. None for every other call."""
    if tool == "edit" and isinstance(arguments.get("old"), str):
        before, after = str(arguments["old"]), str(arguments.get("new", ""))
    elif tool == "write" and isinstance(arguments.get("content"), str):
        before, after = "", str(arguments["content"])
    else:
        return None
    signs = Counter(line[:1] for line in _unified(before, after))
    return Change(diff_lines(before, after), signs["+"], signs["-"])


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else None


def _line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= TARGET_CHARS_MAX else f"{flat[: TARGET_CHARS_MAX - 1]}…"
