"""`/users` and `/tokens`, for who administers; `/account`, for everybody: their own password and sessions.

Guarantees: each act is a syscall of whoever is signed in. A link or a token is shown once, in the answer to
the form that made it, and stands nowhere afterwards. A new password takes the old one, where there is one,
and ends the user's other sessions.
"""

from __future__ import annotations

from typing import Any, Final, cast

from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from kernel.errors import AccessDenied, OxiosError
from kernel.handle.people import new_token
from kernel.handle.people_record import ROLES, SCOPES
from kernel.ids import user as user_principal
from kernel.jsontypes import JsonValue
from webui.desk import Desk
from webui.faults import status_of
from webui.forms import Form
from webui.navigation import NavItem
from webui.security.cookies import session_cookie
from webui.security.guard import address_of
from webui.view import page

NAV = NavItem("Users", "/users", "users", 60, group="Trust", needs="kernel:users")
_DAY_S: Final = 24 * 3_600.0
_ADMIN: Final = {"scope": "admin"}


@get("/users", include_in_schema=False)
async def index(desk: Desk) -> Response[str]:
    """Everybody, and every token."""
    return await _page(desk)


@post("/users", include_in_schema=False, opt=_ADMIN)
async def create(desk: Desk, data: Form) -> Response[Any]:
    """Add a user; the answer holds the link that signs them in for the first time."""
    arguments: dict[str, JsonValue] = {
        "name": data.get("name", "").strip(),
        "role": data.get("role", "user"),
        "workspace": data.get("workspace", "").strip(),
        "again": "again" in data,
    }
    try:
        person = (await desk.call("users.create", arguments)).data
    except OxiosError as error:
        return await _page(desk, wrong=error.explain(), status=status_of(error))
    return await _page(desk, link=await _link(desk, str(person["name"])), whose=str(person["name"]))


@post("/users/{name:str}/role", include_in_schema=False, opt=_ADMIN)
async def change(desk: Desk, name: FromPath[str], data: Form) -> Response[Any]:
    await desk.call("users.change", {"name": name, "role": data.get("role", "")})
    return Redirect("/users", status_code=303)


@post("/users/{name:str}/remove", include_in_schema=False, opt=_ADMIN)
async def remove(desk: Desk, name: FromPath[str]) -> Response[Any]:
    """Remove a user; their sessions end with them."""
    await desk.call("users.remove", {"name": name})
    desk.house.doors.sign_out_everywhere(user_principal(name))
    return Redirect("/users", status_code=303)


@post("/users/{name:str}/link", include_in_schema=False, opt=_ADMIN)
async def link(desk: Desk, name: FromPath[str]) -> Response[Any]:
    """A one-time link, with which its user signs in and sets a password."""
    return await _page(desk, link=await _link(desk, name), whose=name)


@post("/users/{name:str}/no-password", include_in_schema=False, opt=_ADMIN)
async def no_password(desk: Desk, name: FromPath[str]) -> Response[Any]:
    """Take a user's password and sessions away."""
    await take_password(desk, name)
    return Redirect("/users", status_code=303)


@post("/tokens", include_in_schema=False, opt=_ADMIN)
async def create_token(request: Request[Any, Any, Any], desk: Desk) -> Response[Any]:
    """Make a token; the answer holds its text."""
    data = await request.form()
    text, digest = new_token()
    days = str(data.get("days", "")).strip()
    arguments: dict[str, JsonValue] = {
        "owner": str(data.get("owner", "")),
        "name": str(data.get("name", "")).strip(),
        "digest": digest,
        "scopes": [str(scope) for scope in data.getall("scope", [])],
        "expires_s": int(days) * _DAY_S if days.isdecimal() else None,
    }
    try:
        await desk.call("tokens.create", arguments)
    except OxiosError as error:
        return await _page(desk, wrong=error.explain(), status=status_of(error))
    return await _page(desk, token=text)


@post("/tokens/{token:str}/revoke", include_in_schema=False, opt=_ADMIN)
async def revoke_token(desk: Desk, token: FromPath[str]) -> Response[Any]:
    await desk.call("tokens.revoke", {"token": token})
    return Redirect("/users", status_code=303)


@get("/account", include_in_schema=False)
async def account(desk: Desk, ended: FromQuery[int | None] = None) -> Response[str]:
    """Who one is here; `ended` where a password was just set, with so many other sessions."""
    done = "" if ended is None else f"The password is set; {ended} other sessions have ended."
    return _account(desk, done=done)


@post("/account/password", include_in_schema=False, opt=_ADMIN)
async def own_password(request: Request[Any, Any, Any], desk: Desk, data: Form) -> Response[Any]:
    """Set one's own password."""
    doors, session = desk.house.doors, str(request.state.get("session", ""))
    try:
        if data.get("new", "") != data.get("again", ""):
            raise AccessDenied("the two new passwords differ", layer="sign-in", remedy="enter it twice alike")
        await set_password(desk, data.get("current", ""), data.get("new", ""), address_of(request))
    except OxiosError as error:
        return _account(desk, wrong=error.explain(), status=status_of(error))
    ended = doors.sign_out_everywhere(desk.user.principal, but=session)
    # Drawn by the new session, whose token its forms carry.
    renewed = [session_cookie(doors, doors.renew(session))] if session else []
    return Redirect(f"/account?ended={ended}", status_code=303, cookies=renewed)


async def set_password(desk: Desk, current: str, new: str, address: str) -> None:
    """One's own, by who knows the present one, where there is one. Raises: AccessDenied, Invalid, TooOften."""
    await desk.house.doors.require_password(desk.user.principal, current, address)
    await desk.call("self.password", {"ticket": desk.kernel.passwords.deposit(new)})


async def take_password(desk: Desk, name: str) -> None:
    """A user's, and with it their sessions. Raises: AccessDenied, NotFound."""
    await desk.call("users.password", {"name": name})
    desk.house.doors.sign_out_everywhere(desk.kernel.users.known(name))


async def _link(desk: Desk, name: str) -> str:
    await desk.call("users.link", {"name": name})
    return desk.house.options.url.rstrip("/") + desk.house.doors.issue_link(name)


async def _page(
    desk: Desk, *, link: str = "", whose: str = "", token: str = "", wrong: str = "", status: int = 200
) -> Response[str]:
    found = (await desk.call("users.list")).data
    listed = cast("list[dict[str, Any]]", (await desk.call("tokens.list")).data["tokens"])
    operator = cast("dict[str, Any]", found["operator"])
    return page(
        desk,
        "users/index.html",
        title="Users",
        http_status=status,
        people=found["users"],
        operator=operator | {"name": str(operator["principal"]).removeprefix("user:")},
        tokens=[one | {"used_us": desk.house.doors.last_used(str(one["id"]))} for one in listed],
        roles=ROLES,
        scopes=SCOPES,
        may=desk.may("kernel:users", "w"),
        link=link,
        whose=whose,
        token=token,
        wrong=wrong,
    )


def _account(desk: Desk, *, wrong: str = "", done: str = "", status: int = 200) -> Response[str]:
    doors, user = desk.house.doors, desk.user
    return page(
        desk,
        "users/account.html",
        title="Account",
        http_status=status,
        has_password=doors.has_password(user.name),
        sessions=doors.sessions(user.principal),
        wrong=wrong,
        done=done,
    )


ROUTES = [
    index,
    create,
    change,
    remove,
    link,
    no_password,
    create_token,
    revoke_token,
    account,
    own_password,
]
