"""`/personas`: cards of all, which is active, and editing every field.

Guarantees: each act is a syscall of whoever is signed in. A form is of the version it was drawn from: saved
over another's edit it comes back with what was typed, and nothing is lost or written. What is wrong stands
beside its field. A persona confers no authority.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from kernel.capability.grants import PERSONA_GRANTS
from kernel.engine.report import configured
from kernel.errors import Conflict, OxiosError
from kernel.handle.persona import active_persona
from kernel.jsontypes import JsonValue
from kernel.persona import Persona, find, is_built_in, load_personas
from kernel.persona_text import digest_of, faults
from webui.desk import Desk
from webui.faults import status_of
from webui.forms import Form, Part
from webui.navigation import NavItem
from webui.view import page, part

NAV = NavItem("Personas", "/personas", "user-cog", 74, group="System", keys="g p")
_ADMIN: Final = {"scope": "admin"}
_EMPTY: Final = Persona("", "", "", "", "")
_UNPROCESSABLE: Final = 422


@get("/personas", include_in_schema=False)
async def index(desk: Desk, part_: Part = "") -> Response[str]:
    """Those that come along and those of the home."""
    personas = load_personas(desk.kernel.settings.home)
    shipped = load_personas()
    model: dict[str, Any] = {
        "active": await active_persona(desk.kernel.journal, desk.kernel.settings.persona.default),
        "cards": [{"one": one, "kind": _kind(one, shipped)} for one in personas.values()],
        "may": _may(desk),
    }
    if part_ == "cards":
        return part(desk, "personas/cards.html", **model)
    return page(desk, "personas/index.html", title="Personas", **model)


@get("/personas/new", include_in_schema=False, sync_to_thread=False)
def new(desk: Desk) -> Response[str]:
    """An empty form."""
    return _form(desk, _EMPTY, before="", title="New persona")


@get("/personas/{persona:str}", include_in_schema=False)
async def show(desk: Desk, persona: FromPath[str]) -> Response[str]:
    """All fields; to edit, for who may."""
    one = find(load_personas(desk.kernel.settings.home), persona)
    return _form(desk, one, before=digest_of(one), title=one.name)


@post("/personas", include_in_schema=False, opt=_ADMIN)
async def save(desk: Desk, data: Form) -> Response[Any]:
    """Write it into the home, where it is the version that the form was drawn from."""
    wanted, before = _typed(data), data.get("before", "")
    title = wanted.name or "New persona"
    wrong = faults(wanted)
    if wrong:
        return _form(desk, wanted, before=before, title=title, wrong=wrong, http_status=_UNPROCESSABLE)
    fields = {name: value for name, value in wanted.json().items() if name not in {"source", "replaces"}}
    try:
        await desk.call("persona.save", {**fields, "before": before})
    except Conflict as error:
        now = load_personas(desk.kernel.settings.home).get(wanted.id)
        return _form(desk, wanted, before=before, title=title, now=now, said=error.explain(), http_status=409)
    except OxiosError as error:
        return _form(desk, wanted, before=before, title=title, said=error.explain(), http_status=status_of(error))
    return Redirect(f"/personas/{wanted.id}", status_code=303)


@post("/personas/{persona:str}/use", include_in_schema=False, opt=_ADMIN, status_code=204)
async def use(desk: Desk, persona: FromPath[str]) -> None:
    """Seeds and sessions that name none use it from now on."""
    await desk.call("persona.use", {"name": persona})


@post("/personas/none", include_in_schema=False, opt=_ADMIN, status_code=204)
async def use_none(desk: Desk) -> None:
    await desk.call("persona.use", {"name": ""})


@post("/personas/{persona:str}/reset", include_in_schema=False, opt=_ADMIN)
async def reset(desk: Desk, persona: FromPath[str], data: Form) -> Response[Any]:
    """Take the home's file away: as it came along, or gone."""
    arguments: dict[str, JsonValue] = {"id": persona, "before": data.get("before", "")}
    await desk.call("persona.reset", arguments)
    return Redirect(f"/personas/{persona}" if persona in load_personas() else "/personas", status_code=303)


def _typed(data: Mapping[str, str]) -> Persona:
    return Persona(
        id=data.get("id", "").strip(),
        name=data.get("name", "").strip(),
        role=data.get("role", "").strip().lower(),
        description=data.get("description", "").strip(),
        system_prompt=data.get("system_prompt", "").replace("\r\n", "\n").strip(),
        enabled="enabled" in data,
        model=data.get("model", "").strip(),
        personality_traits=tuple(one.strip() for one in data.get("personality_traits", "").split(",") if one.strip()),
    )


def _form(
    desk: Desk,
    one: Persona,
    *,
    before: str,
    title: str,
    wrong: Mapping[str, str] | None = None,
    said: str = "",
    now: Persona | None = None,
    http_status: int = 200,
) -> Response[str]:
    shipped = load_personas()
    kept = load_personas(desk.kernel.settings.home).get(one.id) if before else None
    return page(
        desk,
        "personas/form.html",
        title=title,
        http_status=http_status,
        one=replace(one, source=kept.source if kept else ""),
        before=before,
        wrong=wrong or {},
        said=said,
        now=now,
        kind=_kind(kept, shipped) if kept else "",
        may=_may(desk),
        roles=sorted(PERSONA_GRANTS),
        models=configured(desk.kernel.settings),
    )


def _kind(one: Persona, shipped: Mapping[str, Persona]) -> str:
    if is_built_in(one):
        return "built-in"
    return "edited" if one.id in shipped else "yours"


def _may(desk: Desk) -> bool:
    """Whether editing is offered: who may write what all agents are told is who may change settings."""
    return desk.may("persona:*", "w")


ROUTES = [index, new, show, save, use, use_none, reset]
