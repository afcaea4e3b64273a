"""Passwords: one's own, and another's taken away.

Guarantees: no password stands in an answer or in the journal; a new one ends the user's browser sessions, and tokens
stay. Tries of the present one are bounded as sign-in is.
"""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request
from pydantic import ConfigDict, Field

from kernel.handle.passwords import CHARS_MAX, CHARS_MIN
from webui.api.users import UserName
from webui.desk import Desk
from webui.pages.users.page import set_password, take_password
from webui.rest.operation import operation
from webui.rest.shapes import Asked, Message
from webui.security.guard import address_of


class PasswordIn(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"new": "four words of mine"}]})

    current: Annotated[str, Field(max_length=CHARS_MAX, description="The present one, where there is one.")] = ""
    new: Annotated[str, Field(min_length=CHARS_MIN, max_length=CHARS_MAX)]


@operation("PUT", "/api/me/password", "users_password")
async def users_password(desk: Desk, request: Request[Any, Any, Any], body: PasswordIn) -> Message:
    """Set one's own password: whoever is signed in as this user in a browser signs in again."""
    await set_password(desk, body.current, body.new, address_of(request))
    ended = desk.house.doors.sign_out_everywhere(desk.user.principal)
    return Message(message=f"the password is set; {ended} sessions have ended")


@operation("DELETE", "/api/users/{name}/password", "users_unpassword")
async def users_unpassword(desk: Desk, name: UserName) -> Message:
    """Take a user's password away, and their browser sessions; a link still signs them in."""
    await take_password(desk, name)
    return Message(message=f"{name} has no password any more")


ROUTES = [users_password, users_unpassword]
