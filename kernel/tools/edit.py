"""`edit`: replace a passage of a file that occurs exactly once.

Guarantees: where the passage does not occur, or occurs more than once without `replace_all`,
nothing changes and the answer says how often and where. Line ends of the file are kept.

Source: RFC-0004.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from kernel.capability.rights import Rights
from kernel.errors import Conflict, Invalid, NotFound
from kernel.syscalls.declare import Args, Call, Change, Effect, ToolResult, syscall
from kernel.syscalls.target import PathClaim
from kernel.tools.change import FileChange
from kernel.tools.place import target_place
from kernel.tools.text import as_bytes, binary_kind, decode

_PLACES_SHOWN: Final = 10
_NEAR_LINES_MAX: Final = 20_000


class EditArgs(Args):
    path: str = Field(max_length=4_096, description="File, relative to the workspace or absolute.")
    old: str = Field(min_length=1, description="The exact text to replace, with enough around it to occur once.")
    new: str = Field(description="What to put in its place.")
    replace_all: bool = Field(default=False, description="Replace every occurrence instead of exactly one.")


@syscall(
    "edit",
    EditArgs,
    claims=lambda a: (PathClaim(a.path, Rights.READ | Rights.WRITE),),
    reaches=(("file", Rights.WRITE),),
    effect=Effect.WRITE,
)
async def edit(call: Call, args: EditArgs) -> ToolResult | Change:
    """Replace text in a file. `old` must match exactly once, unless `replace_all`. Can be undone."""
    target = call.path(args.path)
    place = target_place(target)
    held = place.hold()
    if binary_kind(held.content) is not None:
        raise Invalid(f"{args.path} is not a text file", remedy="edit takes UTF-8 text only")
    text, clean = decode(held.content)
    if not clean:
        raise Invalid(f"{args.path} is not UTF-8 throughout", remedy="convert it with exec, e.g. iconv, and retry")
    if args.old == args.new:
        raise Invalid("old and new are the same", remedy="say in `new` what should stand there")
    old, new = _in_line_ends_of(text, args.old, args.new)
    count = text.count(old)
    if count == 0:
        raise NotFound(f"old does not occur in {args.path}{_nearest(text, old)}", remedy="copy the text exactly")
    if count > 1 and not args.replace_all:
        raise Conflict(
            f"old occurs {count} times in {args.path}, at lines {_places(text, old)}",
            remedy="give more of the text around the one you mean, or set replace_all",
        )
    post = as_bytes(text.replace(old, new))
    told = f"edited {args.path}: {count} replacement{'s' if count > 1 else ''} at line {_places(text, old)}"
    result = ToolResult(told, {"path": target.inner, "replaced": count, "bytes": len(post)})
    return FileChange(place, held.content, post, result, held.mode)


def _in_line_ends_of(text: str, old: str, new: str) -> tuple[str, str]:
    """Models write LF; in a file of CRLF lines the passage is meant with those."""
    if "\r\n" in text and "\r" not in old and old not in text:
        return old.replace("\n", "\r\n"), new.replace("\r\n", "\n").replace("\n", "\r\n")
    return old, new


def _places(text: str, old: str) -> str:
    lines: list[str] = []
    position = text.find(old)
    while position >= 0 and len(lines) < _PLACES_SHOWN:
        lines.append(str(text.count("\n", 0, position) + 1))
        position = text.find(old, position + len(old))
    return ", ".join(lines) + (" …" if position >= 0 else "")


def _nearest(text: str, old: str) -> str:
    """Where the first line of `old` almost occurs: usually the spaces differ."""
    wanted = next((line for line in old.splitlines() if line.strip()), "")
    lines = text.splitlines()[:_NEAR_LINES_MAX]
    squeezed = "".join(wanted.split())
    for number, line in enumerate(lines, 1):
        if squeezed and squeezed in "".join(line.split()):
            how = "the following lines differ" if wanted in line else "spaces differ"
            return f"; line {number} is close ({how}): {line.strip()[:200]!r}"
    return ""
