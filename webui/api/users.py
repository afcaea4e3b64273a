"""Users and tokens, for who administers; and who one is."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import ConfigDict, Field

from kernel.handle.people import new_token
from kernel.ids import user as user_principal
from webui.desk import Desk
from webui.rest.operation import operation
from webui.rest.paging import paged
from webui.rest.shapes import Asked, Json, Line, Message, Micros, Page, Paging, Shape

UserName = Annotated[str, Field(min_length=1, max_length=64, examples=["ada"])]
Role = Literal["user", "viewer"]
Scope = Literal["read", "run", "approve", "admin"]
_TEN_YEARS_S = 10 * 366 * 24 * 3_600


class UserOut(Shape):
    name: str
    principal: str
    role: str
    workspace: str
    created_us: Micros
    created_by: str
    password: bool | None = Field(default=None, description="Whether they have one, where that was asked for.")


class MeOut(Shape):
    """Whom a request acts as. `scopes` is null for a browser: then the role alone decides."""

    name: str
    principal: str
    role: str
    scopes: list[str] | None
    sees_all: bool
    workspace: str


class UserIn(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "ada", "role": "user"}]})

    name: UserName
    role: Role = "user"
    workspace: Line = Field(default="", description="Absolute; empty: one of their own beside the home.")
    again: bool = Field(default=False, description="The name was a user's before, who is the same person.")


class RoleIn(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "viewer"}]})

    role: Role


class LinkOut(Shape):
    """Opens the door once, within 15 minutes. It stands nowhere else."""

    link: str


class TokenOut(Shape):
    id: str
    owner: str
    name: str
    scopes: list[Scope]
    created_us: Micros
    created_by: str
    expires_us: Micros
    used_us: Micros = Field(default=0, description="Its last use since the server started.")


class TokenMade(Shape):
    """`text` is told here and nowhere else."""

    token: TokenOut
    text: str


class TokenIn(Asked):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"owner": "ada", "name": "laptop", "scopes": ["read", "run"]}]}
    )

    owner: UserName
    name: Annotated[str, Field(min_length=1, max_length=64)]
    scopes: tuple[Scope, ...] = Field(default=("read",), min_length=1, max_length=4)
    expires_s: Annotated[float, Field(gt=0, le=_TEN_YEARS_S)] | None = None


@operation("GET", "/api/me", "users_me")
async def users_me(desk: Desk) -> MeOut:
    """Whom this request acts as."""
    user = desk.user
    works = user.role != "viewer"
    return MeOut(
        name=user.name,
        principal=user.principal,
        role=user.role,
        scopes=None if user.scopes is None else sorted(user.scopes),
        sees_all=desk.sees_all,
        workspace=str(desk.house.workspace(user)) if works else "",
    )


@operation("GET", "/api/users", "users_list")
async def users_list(desk: Desk, query: Paging) -> Page[UserOut]:
    """Everybody but the operator, by name."""
    listed = cast("list[Json]", (await desk.call("users.list")).data["users"])
    rows = [UserOut.model_validate(one) for one in listed]
    return paged(rows, query.limit, query.cursor, lambda one: one, lambda one: one.name)


@operation("POST", "/api/users", "users_create", status=201, once=True)
async def users_create(desk: Desk, body: UserIn) -> UserOut:
    """Add a user, with what the role starts with."""
    return UserOut.model_validate((await desk.call("users.create", body.model_dump())).data)


@operation("PATCH", "/api/users/{name}", "users_change")
async def users_change(desk: Desk, name: UserName, body: RoleIn) -> UserOut:
    """Give a user another role: what the old one gave is taken, with the runs that stand on it."""
    return UserOut.model_validate((await desk.call("users.change", {"name": name, "role": body.role})).data)


@operation("DELETE", "/api/users/{name}", "users_remove")
async def users_remove(desk: Desk, name: UserName) -> Message:
    """Remove a user: capabilities, tokens, password and sign-ins are gone, runs have ended; files stay."""
    removed = await desk.call("users.remove", {"name": name})
    desk.house.doors.sign_out_everywhere(user_principal(name))
    return Message(message=removed.text)


@operation("POST", "/api/users/{name}/link", "users_link", status=201)
async def users_link(desk: Desk, name: UserName) -> LinkOut:
    """A one-time link that signs a user in."""
    await desk.call("users.link", {"name": name})
    return LinkOut(link=desk.house.options.url.rstrip("/") + desk.house.doors.issue_link(name))


@operation("GET", "/api/tokens", "tokens_list")
async def tokens_list(desk: Desk, query: Paging) -> Page[TokenOut]:
    """Those that were not revoked."""
    listed = cast("list[dict[str, Any]]", (await desk.call("tokens.list")).data["tokens"])
    rows = [_token(desk, one) for one in sorted(listed, key=lambda one: str(one["id"]))]
    return paged(rows, query.limit, query.cursor, lambda one: one, lambda one: one.id)


@operation("POST", "/api/tokens", "tokens_create", status=201, once=True, faults=(404,))
async def tokens_create(desk: Desk, body: TokenIn) -> TokenMade:
    """Make a token; who has its text acts as its owner, within its scopes."""
    text, digest = new_token()
    arguments = {**body.model_dump(mode="json"), "digest": digest}
    made = (await desk.call("tokens.create", arguments)).data
    return TokenMade(token=_token(desk, dict(made)), text=text)


@operation("DELETE", "/api/tokens/{token}", "tokens_revoke")
async def tokens_revoke(desk: Desk, token: UserName) -> Message:
    """From now on it opens nothing."""
    return Message(message=(await desk.call("tokens.revoke", {"token": token})).text)


def _token(desk: Desk, said: dict[str, Any]) -> TokenOut:
    return TokenOut.model_validate({**said, "used_us": desk.house.doors.last_used(str(said["id"]))})


ROUTES = [
    users_me,
    users_list,
    users_create,
    users_change,
    users_remove,
    users_link,
    tokens_list,
    tokens_create,
    tokens_revoke,
]
