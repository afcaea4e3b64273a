"""Capabilities: who holds what, what derives from what, granting and revoking."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import ConfigDict, Field

from kernel.capability.token import Capability
from webui import caps_view
from webui.desk import Desk
from webui.rest.operation import operation
from webui.rest.paging import paged
from webui.rest.shapes import Asked, Id, Json, Line, Page, Paging, Shape

_TEN_YEARS_S = 10 * 366 * 24 * 3_600
Holder = Annotated[str, Field(max_length=80, examples=["user:ada"])]
Letters = Annotated[str, Field(max_length=8, description="r read, w write, x execute, d pass on", examples=["rw"])]


class CapOut(Shape):
    id: str
    holder: str
    resource: str
    rights: str
    parent: str | None = Field(description="What it derives from; null for root authority.")
    expires_us: int | None
    uses_left: int | None
    origin: str


class CapWhole(Shape):
    """One with what stands below it, and the live runs that a revocation would reach."""

    capability: CapOut
    below: list[CapOut]
    stops: list[str]


class CapQuery(Paging):
    holder: Annotated[Holder, Field(description="A principal; empty for everybody the user may see.")] = ""


class Bounded(Asked):
    """How long and how often it may be used; left out: as what it derives from."""

    expires_s: Annotated[float, Field(gt=0, le=_TEN_YEARS_S)] | None = None
    uses: Annotated[int, Field(ge=1, le=2**31)] | None = None


class GrantIn(Bounded):
    """Derived from what the user holds and may pass on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"to": "user:ada", "resource": "net:*:443", "rights": "rx", "expires_s": 3600}]}
    )

    to: Annotated[Holder, Field(min_length=1)]
    resource: Annotated[Line, Field(min_length=1)]
    rights: Annotated[Letters, Field(min_length=1)]


class DeriveIn(Bounded):
    """Empty resource and rights are those of what it derives from."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"to": "user:ada", "rights": "r"}]})

    to: Annotated[Holder, Field(min_length=1)]
    resource: Line = ""
    rights: Letters = ""


class RevokeIn(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"keep": True}]})

    keep: bool = Field(default=False, description="Take only what was derived from it.")
    root: bool = Field(default=False, description="Take it even where it is root authority, which nothing gives back.")


class DeleteQuery(Asked):
    root: bool = Field(default=False, description="Even where it is root authority.")


class Gone(Shape):
    """What was revoked."""

    revoked: list[str]


@operation("GET", "/api/capabilities", "capabilities_list", faults=(404,))
async def capabilities_list(desk: Desk, query: CapQuery) -> Page[CapOut]:
    """What a principal holds, or everybody whom the user may see."""
    caps, _ = caps_view.held(desk, query.holder)
    return paged(sorted(caps, key=_id), query.limit, query.cursor, lambda cap: _out(desk, cap), _id)


@operation("GET", "/api/capabilities/{capability}", "capabilities_get")
async def capabilities_get(desk: Desk, capability: Id) -> CapWhole:
    """One, with everything that was derived from it."""
    cap = caps_view.seen(desk, capability)
    below = desk.kernel.capabilities.descendants(cap.id)
    return CapWhole(
        capability=_out(desk, cap),
        below=[_out(desk, one) for one in below],
        stops=caps_view.stops(desk, [cap, *below]),
    )


@operation("POST", "/api/capabilities", "capabilities_grant", status=201, once=True, faults=(404,))
async def capabilities_grant(desk: Desk, body: GrantIn) -> CapOut:
    """Grant what the user may pass on."""
    return _made((await desk.call("caps.grant", _given(body))).data)


@operation("POST", "/api/capabilities/{capability}/derive", "capabilities_derive", status=201, once=True)
async def capabilities_derive(desk: Desk, capability: Id, body: DeriveIn) -> CapOut:
    """Give somebody part of one, or a copy of it."""
    parent = caps_view.seen(desk, capability).id
    return _made((await desk.call("caps.derive", {"parent": parent, **_given(body)})).data)


@operation("POST", "/api/capabilities/{capability}/revoke", "capabilities_revoke")
async def capabilities_revoke(desk: Desk, capability: Id, body: RevokeIn) -> Gone:
    """Take it back with all that was derived from it; calls in flight that rest on it end."""
    found = caps_view.seen(desk, capability).id
    gone = await desk.call("caps.revoke", {"capability": found, "keep": body.keep, "root": body.root})
    return Gone.model_validate(gone.data)


@operation("DELETE", "/api/capabilities/{capability}", "capabilities_delete")
async def capabilities_delete(desk: Desk, capability: Id, query: DeleteQuery) -> Gone:
    """Empty its slot; what was derived from it stays, under what is above it."""
    found = caps_view.seen(desk, capability).id
    await desk.call("caps.delete", {"capability": found, "root": query.root})
    return Gone(revoked=[found])


def _id(cap: Capability) -> str:
    return cap.id


def _given(body: Bounded) -> dict[str, Any]:
    return {key: value for key, value in body.model_dump().items() if value not in {None, ""}}


def _made(data: Any) -> CapOut:
    return CapOut.model_validate(cast("list[Json]", data["capabilities"])[0])


def _out(desk: Desk, cap: Capability) -> CapOut:
    return CapOut(
        id=cap.id,
        holder=cap.holder,
        resource=str(cap.resource),
        rights=cap.rights.letters(),
        parent=cap.parent,
        expires_us=cap.expires_us,
        uses_left=desk.kernel.capabilities.uses_left(cap.id),
        origin=cap.origin,
    )


ROUTES = [
    capabilities_list,
    capabilities_get,
    capabilities_grant,
    capabilities_derive,
    capabilities_revoke,
    capabilities_delete,
]
