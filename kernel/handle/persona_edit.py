"""Persona syscalls that write: save one into the home, and take the home's file away again.

Guarantees: what is saved reads back as it was given; it replaces only the version that the caller saw, told
by its digest, else it is a Conflict; the entry `persona.saved` or `persona.reset` says who did it and holds
the whole persona. One that comes along is never touched: the home's file stands in its place and says so.
Offered to no model. A persona confers no authority (`kernel.persona`).

Source: RFC-0009.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from anyio import to_thread
from pydantic import Field

from kernel.capability.rights import Rights
from kernel.errors import Conflict, Invalid, LimitExceeded, NotFound, Unavailable
from kernel.handle.persona import PersonaDesk
from kernel.ids import Principal
from kernel.journal.entry import SYSTEM_STREAM, Draft
from kernel.jsontypes import JsonObject
from kernel.limits import PERSONA_BYTES_MAX, PERSONAS_MAX
from kernel.persona import PACKAGE, Persona, find, is_built_in, load_personas
from kernel.persona_text import digest_of, faults, text_of
from kernel.settings.edit import replace_file
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import NameClaim

SAVED: Final = "persona.saved"
RESET: Final = "persona.reset"


class SaveArgs(Args):
    id: str = Field(max_length=64)
    name: str
    role: str
    description: str
    system_prompt: str = Field(max_length=PERSONA_BYTES_MAX)
    enabled: bool = True
    model: str = ""
    personality_traits: tuple[str, ...] = ()
    before: str = Field(default="", max_length=64)
    """`digest_of` the version that was seen; empty for a new one."""

    def persona(self, source: str) -> Persona:
        return Persona(
            id=self.id,
            name=self.name.strip(),
            role=self.role.strip().lower(),
            description=self.description.strip(),
            system_prompt=self.system_prompt.replace("\r\n", "\n").strip(),
            enabled=self.enabled,
            model=self.model.strip(),
            personality_traits=tuple(one.strip() for one in self.personality_traits if one.strip()),
            source=source,
        )


class ResetArgs(Args):
    id: str = Field(max_length=64)
    before: str = Field(max_length=64)


@syscall(
    "persona.save",
    SaveArgs,
    claims=lambda args: (NameClaim("persona", args.id or "none", Rights.WRITE),),
    effect=Effect.WRITE,
    approval="auto",
    offered=False,
)
async def persona_save(call: Call, args: SaveArgs) -> PersonaWrite:
    """Write a persona into the home, in place of the version that was seen."""
    desk = call.services.get(PersonaDesk)
    wrong = faults(args.persona(""))
    if wrong:
        told = "; ".join(f"{name}: {what}" for name, what in wrong.items())
        raise Invalid(f"this persona cannot be kept: {told}", remedy="correct it and save again")
    known = load_personas(desk.home)
    _require_seen(known.get(args.id), args.before)
    if args.id not in known and len(known) >= PERSONAS_MAX:
        raise LimitExceeded(f"there are {PERSONAS_MAX} personas", remedy="remove some")
    if not args.enabled and await desk.active() == args.id:
        raise Conflict(f"{args.id} is the active persona", remedy="switch to another before you disable it")
    file = _file(desk, known.get(args.id), args.id)
    persona = args.persona(str(file))
    if args.id in load_personas():
        persona = replace(persona, replaces=True)
    return PersonaWrite(desk, call.principal, SAVED, file, _read(file), text_of(persona).encode(), persona)


@syscall(
    "persona.reset",
    ResetArgs,
    claims=lambda args: (NameClaim("persona", args.id or "none", Rights.WRITE),),
    effect=Effect.WRITE,
    approval="auto",
    offered=False,
)
async def persona_reset(call: Call, args: ResetArgs) -> PersonaWrite:
    """Remove a persona's file from the home: one that comes along is again as it came, another is gone."""
    desk = call.services.get(PersonaDesk)
    persona = find(load_personas(desk.home), args.id)
    if is_built_in(persona):
        raise NotFound(f"{args.id} is as it came along", remedy="there is nothing to take back")
    _require_seen(persona, args.before)
    if args.id not in load_personas() and await desk.active() == args.id:
        raise Conflict(f"{args.id} is the active persona", remedy="switch to another before you remove it")
    file = Path(persona.source)
    return PersonaWrite(desk, call.principal, RESET, file, _read(file), b"", persona)


@dataclass(frozen=True, slots=True)
class PersonaWrite:
    """A file of the home from one text to another; an empty text is no file."""

    desk: PersonaDesk
    principal: Principal
    kind: str
    file: Path
    old: bytes
    new: bytes
    persona: Persona

    @property
    def mark(self) -> JsonObject:
        return {"kind": "persona-file", "persona": self.persona.id, "written": bool(self.new)}

    @property
    def blobs(self) -> tuple[bytes, ...]:
        """What stood there before, so that it can be read again."""
        return (self.old,) if self.old else ()

    async def apply(self) -> ToolResult:
        """Raises: Conflict, where the file changed meanwhile; Unavailable; JournalDown."""
        await to_thread.run_sync(self._write)
        said: Mapping[str, object] = {"id": self.persona.id, "persona": {**self.persona.json(), "source": ""}}
        await self.desk.journal.append(Draft(self.principal, SYSTEM_STREAM, self.kind, cast("JsonObject", said)))
        done = "is saved" if self.kind == SAVED else "is taken back"
        return ToolResult(f"{self.persona.id} {done}", {"id": self.persona.id})

    def _write(self) -> None:
        try:
            if self.new:
                replace_file(self.file, self.old, self.new)
            elif _read(self.file) != self.old:
                raise Conflict(f"{self.file} was changed by somebody else meanwhile", remedy="try again")
            else:
                self.file.unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(
                f"{self.file} cannot be written: {error.strerror}", remedy="check the home: oxios doctor"
            ) from error


def _require_seen(persona: Persona | None, digest: str) -> None:
    if persona is None and digest:
        raise Conflict("this persona is not there any more", remedy="save it under a new id")
    if persona is not None and not digest:
        raise Conflict(f"there is a persona {persona.id} already", remedy="choose another id, or edit that one")
    if persona is not None and digest_of(persona) != digest:
        raise Conflict(f"{persona.id} was changed by somebody else meanwhile", remedy="load it again and compare")


def _file(desk: PersonaDesk, known: Persona | None, name: str) -> Path:
    """Where it stands in the home already, else under its id. Raises: Conflict, where that is another's file."""
    if known is not None and not is_built_in(known):
        return Path(known.source)
    file = desk.home / PACKAGE / f"{name}.md"
    if file.exists():
        raise Conflict(f"{file} holds another persona", remedy="give that file the name of its id")
    return file


def _read(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""
