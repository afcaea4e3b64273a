"""Persona syscalls: list, show, and switch the one that seeds without a persona use.

Guarantees: a switch is one entry (`persona.switched`) that names the one before it, and the row
`persona.active` follows in the same transaction. Offered to no model: a persona is chosen by a
person. Changes nobody's authority.

Source: RFC-0009.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kernel.capability.rights import Rights
from kernel.errors import Conflict
from kernel.ids import Principal
from kernel.journal.appender import Appender, Reader
from kernel.journal.entry import SYSTEM_STREAM, Draft, Entry
from kernel.journal.projection import Projector, Upsert
from kernel.jsontypes import JsonObject
from kernel.persona import ACTIVE_KEY, Persona, find, load_personas, pick
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import NameClaim

SWITCHED: Final = "persona.switched"


@dataclass(frozen=True, slots=True)
class PersonaDesk:
    """Where personas are and where a switch is recorded; provided at boot."""

    journal: Appender
    home: Path
    default: str = ""
    """What is active where nobody ever switched (setting `persona.default`)."""

    async def active(self) -> str:
        """The id of the active persona; empty for none."""
        return await active_persona(self.journal, self.default)


async def active_persona(journal: Reader, default: str) -> str:
    """The id that was switched to last, else `default`."""
    rows = await journal.rows("state", {"key": ACTIVE_KEY})
    return str(rows[0]["value"] or "") if rows else default


class ListArgs(Args):
    """Nothing to say."""


class NameArgs(Args):
    name: str


class UseArgs(Args):
    name: str
    """Empty for no persona."""


@syscall(
    "persona.list",
    ListArgs,
    claims=lambda _args: (NameClaim("persona", "*", Rights.READ),),
    effect=Effect.READ,
    offered=False,
)
async def persona_list(call: Call, _args: ListArgs) -> ToolResult:
    """List the personas, and which is active."""
    desk = call.services.get(PersonaDesk)
    personas = load_personas(desk.home)
    active = await desk.active()
    lines = [f"{'*' if item.id == active else ' '} {item.id}: {item.description}" for item in personas.values()]
    return ToolResult("\n".join(lines), {"active": active, "personas": [_brief(item) for item in personas.values()]})


@syscall(
    "persona.show",
    NameArgs,
    claims=lambda args: (NameClaim("persona", args.name, Rights.READ),),
    effect=Effect.READ,
    offered=False,
)
async def persona_show(call: Call, args: NameArgs) -> ToolResult:
    """Show one persona whole."""
    persona = find(load_personas(call.services.get(PersonaDesk).home), args.name)
    return ToolResult(persona.system_prompt, persona.json())


@syscall(
    "persona.use",
    UseArgs,
    claims=lambda args: (NameClaim("persona", args.name or "none", Rights.WRITE),),
    effect=Effect.WRITE,
    approval="auto",
    offered=False,
)
async def persona_use(call: Call, args: UseArgs) -> Switch:
    """Make a persona the one that seeds without a persona use."""
    desk = call.services.get(PersonaDesk)
    if args.name:
        pick(load_personas(desk.home), args.name)
    return Switch(desk, call.principal, await desk.active(), args.name)


@dataclass(frozen=True, slots=True)
class Switch:
    """The change from one active persona to another."""

    desk: PersonaDesk
    principal: Principal
    before: str
    after: str

    @property
    def mark(self) -> JsonObject:
        return {"kind": "persona", "before": self.before, "after": self.after}

    @property
    def blobs(self) -> tuple[bytes, ...]:
        return ()

    async def apply(self) -> ToolResult:
        """Raises: Conflict, where somebody switched meanwhile; JournalDown."""
        if await self.desk.active() != self.before:
            raise Conflict("the active persona was switched meanwhile", remedy="look at it and try again")
        switch: JsonObject = {"before": self.before, "after": self.after}
        await self.desk.journal.append(Draft(self.principal, SYSTEM_STREAM, SWITCHED, switch))
        return ToolResult(f"{self.after or 'no persona'} is active", switch)


def _brief(persona: Persona) -> JsonObject:
    return {key: value for key, value in persona.json().items() if key != "system_prompt"}


def _project(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        yield Upsert("state", {"key": ACTIVE_KEY}, {"value": str(entry.payload["after"])})


PROJECTORS: dict[str, Projector] = {SWITCHED: _project}
