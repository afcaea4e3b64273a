"""The one cookie there is: the session's secret, out of reach of scripts and of other sites."""

from __future__ import annotations

from litestar.datastructures import Cookie

from webui.security.doors import Doors
from webui.security.sessions import AGE_S


def session_cookie(doors: Doors, secret: str) -> Cookie:
    """With an empty secret it is taken out of the browser."""
    return Cookie(
        doors.cookie,
        value=secret,
        path="/",
        max_age=AGE_S if secret else 0,
        secure=doors.secure,
        httponly=True,
        samesite="strict",
    )
