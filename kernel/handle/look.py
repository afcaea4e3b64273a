"""`look`: what a place of the workspace holds, as facts: for reviews, offered to no model.

Guarantees: the answer is about the file's whole bytes (up to FILE_BYTES_MAX), read beneath its
mount; a place that is not there is an answer, one that may not be seen is a refusal.
"""

from __future__ import annotations

from pydantic import Field

from kernel.capability.rights import Rights
from kernel.jsontypes import JsonObject
from kernel.pattern import finds
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import PathClaim
from kernel.tools.place import Place, digest_of
from kernel.tools.text import sized


class LookArgs(Args):
    """`contains` and `matches` are searched in a file's text; both empty asks only whether it is there."""

    path: str = Field(max_length=4_096)
    contains: str = ""
    matches: str = ""


@syscall(
    "look",
    LookArgs,
    claims=lambda args: (PathClaim(args.path, Rights.READ, missing_ok=True),),
    effect=Effect.READ,
    offered=False,
)
async def look(call: Call, args: LookArgs) -> ToolResult:
    """Say whether a file or directory is there, and whether its text holds something."""
    target = call.path(args.path)
    if not target.exists:
        return ToolResult(f"{args.path} is not there", {"kind": "absent"})
    if target.is_dir:
        return ToolResult(f"{args.path} is a directory", {"kind": "directory"})
    if not args.contains and not args.matches:
        return ToolResult(f"{args.path} is a file", {"kind": "file"})
    held = Place(target.mount, target.inner).look()
    if held is None:
        return ToolResult(f"{args.path} is not there", {"kind": "absent"})
    found = True
    if args.contains:
        found = args.contains.encode() in held.content
    if args.matches:
        found = found and finds(args.matches, held.content.decode(errors="replace"))
    size = len(held.content)
    data: JsonObject = {"kind": "file", "found": found, "bytes": size, "digest": digest_of(held.content)}
    return ToolResult(f"{args.path}, {sized(size)}, {'holds it' if found else 'does not hold it'}", data)
