"""Personas: list, read, write, choose the active one."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from kernel.errors import Conflict
from kernel.handle.persona import active_persona
from kernel.limits import PERSONA_BYTES_MAX
from kernel.persona import Persona, find, is_built_in, load_personas
from kernel.persona_text import digest_of
from webui.desk import Desk
from webui.rest.etags import require_match, require_no_match
from webui.rest.operation import Answer, operation
from webui.rest.paging import paged
from webui.rest.shapes import Asked, Message, Page, Paging, Shape

PersonaId = Annotated[str, Field(min_length=1, max_length=64, examples=["writer"])]
Trait = Annotated[str, Field(min_length=1, max_length=200)]


class PersonaRow(Shape):
    id: str
    name: str
    role: str
    description: str
    enabled: bool
    active: bool
    built_in: bool


class PersonaOut(PersonaRow):
    system_prompt: str
    model: str
    personality_traits: list[str]
    replaces: bool = Field(description="It stands in place of the one with this id that comes along.")
    source: str


class PersonaIn(Asked):
    """A persona whole. It confers no authority: a role is a word that the grants may know."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Poet",
                    "role": "writer",
                    "description": "Answers in verse.",
                    "system_prompt": "You answer in verse, and keep it short.",
                    "personality_traits": ["brief"],
                }
            ]
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=200)]
    role: Annotated[str, Field(min_length=1, max_length=64)]
    description: Annotated[str, Field(min_length=1, max_length=1_000)]
    system_prompt: Annotated[str, Field(min_length=1, max_length=PERSONA_BYTES_MAX)]
    enabled: bool = True
    model: Annotated[str, Field(max_length=200)] = ""
    personality_traits: tuple[Trait, ...] = Field(default=(), max_length=32)


class UseIn(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"persona": "writer"}]})

    persona: Annotated[str, Field(max_length=64, description="Empty: none.")]


@operation("GET", "/api/personas", "personas_list")
async def personas_list(desk: Desk, query: Paging) -> Page[PersonaRow]:
    """All of them, by id, the disabled ones too."""
    active = await _active(desk)
    rows = sorted(load_personas(desk.kernel.settings.home).values(), key=_id)
    return paged(rows, query.limit, query.cursor, lambda one: _row(one, active), _id)


@operation("POST", "/api/personas/use", "personas_use", faults=(404,))
async def personas_use(desk: Desk, body: UseIn) -> Message:
    """Make one the active persona: what sessions and Seeds that name none are carried out as."""
    return Message(message=(await desk.call("persona.use", {"name": body.persona})).text)


@operation("GET", "/api/personas/{persona}", "personas_get", headers=("ETag",))
async def personas_get(desk: Desk, persona: PersonaId) -> Answer[PersonaOut]:
    """One, whole."""
    return await _whole(desk, persona)


@operation("PUT", "/api/personas/{persona}", "personas_put", headers=("ETag",))
async def personas_put(
    desk: Desk, persona: PersonaId, body: PersonaIn, if_match: str, if_none_match: str
) -> Answer[PersonaOut]:
    """Write it into the home, whole. One that comes along is not touched: the home's stands in its place."""
    before = _seen(desk, persona, if_match, if_none_match)
    try:
        await desk.call("persona.save", {**body.model_dump(mode="json"), "id": persona, "before": before})
    except Conflict:
        _seen(desk, persona, if_match, if_none_match)  # Somebody else came between the look and the act.
        raise
    return await _whole(desk, persona)


@operation("DELETE", "/api/personas/{persona}", "personas_reset")
async def personas_reset(desk: Desk, persona: PersonaId, if_match: str) -> Message:
    """Take the home's away: one that comes along is as it came again, another is gone."""
    before = digest_of(find(load_personas(desk.kernel.settings.home), persona))
    require_match(if_match, f'"{before}"')
    return Message(message=(await desk.call("persona.reset", {"id": persona, "before": before})).text)


def _seen(desk: Desk, persona: str, if_match: str, if_none_match: str) -> str:
    """The digest of the version that is there; empty where there is none. Raises: PreconditionFailed."""
    known = load_personas(desk.kernel.settings.home).get(persona)
    require_no_match(if_none_match, exists=known is not None)
    before = digest_of(known) if known is not None else ""
    require_match(if_match, f'"{before}"')
    return before


async def _whole(desk: Desk, name: str) -> Answer[PersonaOut]:
    one = find(load_personas(desk.kernel.settings.home), name)
    out = PersonaOut(
        **_row(one, await _active(desk)).model_dump(),
        system_prompt=one.system_prompt,
        model=one.model,
        personality_traits=list(one.personality_traits),
        replaces=one.replaces,
        source=one.source,
    )
    return Answer(out, {"ETag": f'"{digest_of(one)}"'})


async def _active(desk: Desk) -> str:
    return await active_persona(desk.kernel.journal, desk.kernel.settings.persona.default)


def _id(one: Persona) -> str:
    return one.id


def _row(one: Persona, active: str) -> PersonaRow:
    return PersonaRow(
        id=one.id,
        name=one.name,
        role=one.role,
        description=one.description,
        enabled=one.enabled,
        active=one.id == active,
        built_in=is_built_in(one),
    )


ROUTES = [personas_list, personas_use, personas_get, personas_put, personas_reset]
