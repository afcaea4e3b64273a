"""`read`, `write` and `ls`: files of the workspace, opened beneath its directory handle.

Guarantees: nothing outside the run's mounts is touched and no link is followed on the way; a
refused or failed write leaves the file as it was. Small files are read inline: a thread for each
call would cost more than the read.

Source: RFC-0004.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from pydantic import Field

from kernel.capability.rights import Rights
from kernel.errors import Invalid
from kernel.gate.paths import open_target
from kernel.syscalls.declare import Args, Call, Change, Effect, ToolResult, syscall
from kernel.syscalls.target import PathClaim
from kernel.tools.change import file_change
from kernel.tools.place import digest_of, target_place
from kernel.tools.text import as_bytes, binary_kind, decode, page_of, printable, sized

LINES_DEFAULT: Final = 2_000
LINES_MAX: Final = 20_000
LS_ENTRIES_MAX: Final = 1_000
_PATH_CHARS_MAX: Final = 4_096


class ReadArgs(Args):
    path: str = Field(max_length=_PATH_CHARS_MAX, description="File, relative to the workspace or absolute.")
    offset: int = Field(default=1, ge=1, description="First line to show, counted from 1.")
    limit: int = Field(default=LINES_DEFAULT, ge=1, le=LINES_MAX, description="How many lines at most.")


@syscall(
    "read",
    ReadArgs,
    claims=lambda a: (PathClaim(a.path, Rights.READ),),
    reaches=(("file", Rights.READ),),
    effect=Effect.READ,
)
async def read(call: Call, args: ReadArgs) -> ToolResult:
    """Read a text file, whole or some lines of it. A long file is cut and the next offset is told."""
    target = call.path(args.path)
    held = target_place(target).hold()
    data = {"path": target.inner, "bytes": len(held.content), "digest": digest_of(held.content)}
    kind = binary_kind(held.content)
    if kind is not None:
        return ToolResult(f"{args.path} is {kind}, {sized(len(held.content))}: not shown as text", data)
    text, clean = decode(held.content)
    if not text:
        return ToolResult(f"{args.path} is empty", data)
    page = page_of(text, args.offset, args.limit)
    if args.offset > page.total:
        raise Invalid(f"{args.path} has {page.total} lines", remedy=f"choose an offset from 1 to {page.total}")
    notes = [] if clean else ["some bytes are not UTF-8 and are shown as \ufffd"]
    if page.cut:
        notes.append(f"line {page.first} is longer than fits and is cut; take its parts with grep or exec")
    if not page.whole:
        more = f"; go on with offset={page.last + 1}" if page.last < page.total else ""
        notes.append(f"lines {page.first} to {page.last} of {page.total}{more}")
    ended = page.text if page.text.endswith("\n") or not notes else page.text + "\n"
    return ToolResult(ended + "".join(f"[{note}]\n" for note in notes), data)


class WriteArgs(Args):
    path: str = Field(max_length=_PATH_CHARS_MAX, description="File, relative to the workspace or absolute.")
    content: str = Field(description="The whole new content.")


@syscall(
    "write",
    WriteArgs,
    claims=lambda a: (PathClaim(a.path, Rights.WRITE, missing_ok=True),),
    reaches=(("file", Rights.WRITE),),
    effect=Effect.WRITE,
)
async def write(call: Call, args: WriteArgs) -> ToolResult | Change:
    """Write a text file, replacing what it held. Missing directories are made. Can be undone."""
    target = call.path(args.path)
    content = as_bytes(args.content)
    place = target_place(target)
    if target.is_dir or not target.inner:
        raise Invalid(f"{args.path} is a directory", remedy="name a file in it")
    lines = content.count(b"\n") + (not content.endswith(b"\n") and bool(content))
    told = f"wrote {args.path}: {sized(len(content))}, {lines} line{'' if lines == 1 else 's'}"
    return file_change(place, content, ToolResult(told, {"path": target.inner, "bytes": len(content)}))


class LsArgs(Args):
    path: str = Field(default=".", max_length=_PATH_CHARS_MAX, description="Directory to list.")


@syscall(
    "ls",
    LsArgs,
    claims=lambda a: (PathClaim(a.path, Rights.READ),),
    reaches=(("file", Rights.READ),),
    effect=Effect.READ,
)
async def ls(call: Call, args: LsArgs) -> ToolResult:
    """List a directory: names in order, directories with a slash, files with their size, links with their goal."""
    target = call.path(args.path)
    if not target.is_dir:
        status = os.fstat(handle := open_target(target, os.O_RDONLY))
        os.close(handle)
        return ToolResult(f"{args.path}  {sized(status.st_size)}", {"path": target.inner, "entries": 1})
    handle = open_target(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(handle) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        lines = [_line(handle, entry) for entry in entries[:LS_ENTRIES_MAX]]
    finally:
        os.close(handle)
    if len(entries) > LS_ENTRIES_MAX:
        lines.append(f"[{len(entries) - LS_ENTRIES_MAX} more; narrow it with find]")
    text = "\n".join(lines) if lines else f"{args.path} is empty"
    return ToolResult(text, {"path": target.inner, "entries": len(entries)})


def _line(folder: int, entry: os.DirEntry[str]) -> str:
    name = printable(entry.name)
    if entry.is_symlink():
        return f"{name} -> {printable(os.readlink(entry.name, dir_fd=folder))}"
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return f"{name}  (gone)"
    if stat.S_ISDIR(status.st_mode):
        return f"{name}/"
    return f"{name}  {status.st_size}" if stat.S_ISREG(status.st_mode) else f"{name}  (special)"
