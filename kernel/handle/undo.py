"""`undo`: take one file change of an agent back, from the record of it.

Guarantees: the file is exactly what it was before the call, or nothing changed and the answer says
why: it changed since, was undone already, the call was no write, its pre-image was erased. An undo
is itself a recorded write, so it can be undone.

Does not undo what was done because of the change, such as a command that read the file. Undo
several changes of one file newest first.

Source: RFC-0004.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from pydantic import Field

from kernel.capability.rights import Rights
from kernel.errors import Conflict, Invalid, NotFound
from kernel.ids import CallId, Principal, run_of_call
from kernel.journal.appender import Appender
from kernel.journal.entry import SYSTEM_STREAM, Draft
from kernel.jsontypes import JsonObject
from kernel.syscalls.declare import Args, Call, Change, Effect, ToolResult, syscall
from kernel.syscalls.target import NameClaim, PathClaim
from kernel.tools.change import FileChange, read_mark, reversal


class UndoArgs(Args):
    call: str = Field(max_length=128, description="The call to undo, as `oxios runs show` lists it.")
    path: str = Field(max_length=4_096, description="The file it changed, absolute: what the undo may write.")


@dataclass(frozen=True, slots=True)
class Undo:
    """A file change that, once applied, is recorded as the end of another."""

    change: FileChange
    undoes: str
    by: CallId
    principal: Principal
    journal: Appender

    @property
    def mark(self) -> JsonObject:
        return {**self.change.mark, "undoes": self.undoes}

    @property
    def blobs(self) -> tuple[bytes, ...]:
        return self.change.blobs

    async def apply(self) -> ToolResult:
        result = await self.change.apply()
        payload: JsonObject = {"call": self.undoes, "by": self.by}
        await self.journal.append(Draft(self.principal, SYSTEM_STREAM, "call.undone", payload))
        return result


@syscall(
    "undo",
    UndoArgs,
    claims=lambda a: (NameClaim("kernel", "undo", Rights.WRITE), PathClaim(a.path, Rights.WRITE, missing_ok=True)),
    effect=Effect.WRITE,
    approval="auto",
    offered=False,
)
async def undo(call: Call, args: UndoArgs) -> ToolResult | Change:
    """Restore the file that a call changed, refusing where it changed since."""
    journal = call.services.get(Appender)
    mark = await undoable_mark(journal, args.call)
    target, known = call.path(args.path), read_mark(mark)
    if target.real != f"{known.mount.rstrip('/')}/{known.inner}":
        raise Conflict(
            f"{args.path} leads to {target.real}, which is not the file that {args.call} changed",
            remedy="put the file back in the link's place, or restore it by hand",
        )
    pre_image = await journal.blob(known.before) if known.before is not None else None
    return Undo(reversal(mark, pre_image), args.call, call.id, call.principal, journal)


async def undoable_mark(journal: Appender, call: str) -> JsonObject:
    """The mark of a call's file change.

    Raises: NotFound (no such call), Conflict (undone before), Invalid (not a file change).
    """
    intent = await _intent(journal, CallId(call))
    mark = intent.get("mark")
    if intent.get("effect") != Effect.WRITE.value or not isinstance(mark, Mapping):
        raise Invalid(
            f"{call} was {intent.get('tool')}, whose effect is {intent.get('effect')}: there is nothing to restore",
            remedy="only changes of files (write, edit, undo) can be undone",
        )
    async for entry in _entries(journal, SYSTEM_STREAM, "call.undone"):
        if entry.get("call") == call:
            raise Conflict(f"{call} was undone already, by {entry.get('by')}", remedy="nothing is left to undo")
    return mark


async def _intent(journal: Appender, call: CallId) -> JsonObject:
    # A person's own calls have an id of no run, and stand in the kernel's stream.
    for stream in (run_of_call(call), SYSTEM_STREAM):
        async for payload in _entries(journal, stream, "call.intent"):
            if payload.get("call") == call:
                return payload
    raise NotFound(f"the journal has no call {call!r} that began", remedy="see `oxios runs show RUN` for its calls")


async def _entries(journal: Appender, stream: str, kind: str) -> AsyncGenerator[JsonObject]:
    after = 0
    while entries := await journal.read(stream=stream, kind=kind, after=after):
        for entry in entries:
            if entry.payload is not None:
                yield entry.payload
        after = entries[-1].seq
