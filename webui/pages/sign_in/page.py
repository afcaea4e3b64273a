"""`/sign-in`: a link's code or a name and password, for a session; `/sign-out` ends it.

Guarantees: works without scripts; a link's code stands in the address's fragment, which no browser sends, is
put into the form by a script of ours and posted, so it is in no log and no history. After the sign-in the
browser goes to a page of ours only. A new session each time, whatever cookie was brought.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from litestar import MediaType, Request, Response, get, post
from litestar.response import Redirect

from kernel.errors import AccessDenied
from webui.forms import Form
from webui.security.cookies import session_cookie
from webui.security.doors import Doors
from webui.security.guard import SIGN_IN, address_of
from webui.security.limits import TooOften

NAV = None
_BYTES_MAX: Final = 16 * 1024
_NEXT_CHARS_MAX: Final = 2_000
_TURNED_AWAY: Final = 403
_LATER: Final = 429


@get(SIGN_IN, include_in_schema=False, opt={"public": True})
async def sign_in(request: Request[Any, Any, Any]) -> Response[Any]:
    """For who is signed in, too: a browser that is sent on keeps the fragment, and a link may be another user's."""
    return _page(request, _ours(request.query_params.get("next", "")))


@post(SIGN_IN, include_in_schema=False, opt={"public": True, "body_bytes_max": _BYTES_MAX})
async def come_in(request: Request[Any, Any, Any], data: Form) -> Response[Any]:
    """With a `code`, or with `name` and `password`."""
    doors, address = _doors(request), address_of(request)
    brought, after = request.cookies.get(doors.cookie, ""), _ours(data.get("next", ""))
    try:
        if code := data.get("code", ""):
            secret = doors.by_link(code, address, brought)
        else:
            secret = await doors.by_password(data.get("name", ""), data.get("password", ""), address, brought)
    except TooOften as error:
        answer = _page(request, after, error.explain(), status=_LATER)
        answer.headers["Retry-After"] = str(error.retry_after_s)
        return answer
    except AccessDenied as error:
        return _page(request, after, error.explain(), status=_TURNED_AWAY)
    return Redirect(after, status_code=303, cookies=[session_cookie(doors, secret)])


@post("/sign-out", include_in_schema=False)
async def sign_out(request: Request[Any, Any, Any]) -> Response[Any]:
    """End this browser's session; with the field `everywhere`, all of the user's."""
    doors = _doors(request)
    doors.sign_out(str(request.state.get("session", "")))
    form = await request.form()
    if form.get("everywhere"):
        doors.sign_out_everywhere(request.state["user"].principal)
    headers = {"HX-Redirect": SIGN_IN} if "hx-request" in request.headers else {}
    return Redirect(SIGN_IN, status_code=303, cookies=[session_cookie(doors, "")], headers=headers)


def _page(request: Request[Any, Any, Any], after: str, wrong: str = "", status: int = 200) -> Response[Any]:
    html = request.app.state.house.views.render(
        "sign_in/sign_in.html",
        frame="bare_frame.html",
        title="Sign in",
        after=after,
        wrong=wrong,
        user=request.state.get("user"),
    )
    return Response(html, media_type=MediaType.HTML, status_code=status)


def _ours(after: str) -> str:
    """A path of this server; `/` for anything else."""
    try:
        parts = urlsplit(after)
    except ValueError:
        return "/"
    plain = after.isascii() and after.isprintable() and "\\" not in after and len(after) <= _NEXT_CHARS_MAX
    local = not parts.scheme and not parts.netloc and after.startswith("/") and not after.startswith("//")
    return after if plain and local and not after.startswith(SIGN_IN) else "/"


def _doors(request: Request[Any, Any, Any]) -> Doors:
    doors: Doors = request.app.state.house.doors
    return doors


ROUTES = [sign_in, come_in, sign_out]
