"""What every request passes before a page or the API sees it, in this order.

1. It has an id, which is in its answer and on every line logged about it.
2. It names us as its host, and does not come from another origin's page.
3. It carries no more than its route takes, counted as it arrives.
4. It belongs to somebody: a bearer token, else the session of its cookie; a browser is sent to sign in.
5. With a cookie, an unsafe request carries the session's CSRF token; with a token, its scopes allow it.

Guarantees: what is refused changed nothing and reached no handler. A route says of itself what it needs in
its `opt`: `public` (anybody; no CSRF token, still steps 1 to 3), `scope` (of tokens), `body_bytes_max`.
A route that says nothing is for who signed in, and for tokens as `scope_of` has it: what is not known to
be less needs `admin`.
What a user may do is not decided here: that is the kernel's gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import quote

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.exceptions.http_exceptions import ClientException
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp, HTTPReceiveMessage, Receive, Scope, Send, WebSocketReceiveMessage

from kernel.log import bind
from webui.security import csrf
from webui.security.doors import Doors
from webui.security.headers import STATIC, request_id
from webui.security.limits import BODY_BYTES_MAX, UPLOAD_BYTES_MAX, bounded, require_size
from webui.security.origin import SAFE
from webui.security.visitor import Visitor

SIGN_IN: Final = "/sign-in"
PUBLIC: Final = frozenset({SIGN_IN, "/health", "/ready"})
_BEARER: Final = "bearer "
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="oxios"'}
_UNSAFE: Final[Mapping[str, str]] = {
    "/v1": "run",
    "/api/runs": "run",
    "/api/sessions": "run",
    "/api/seeds": "run",
    "/api/attachments": "run",
    "/api/approvals": "approve",
}


class Guard:
    """Litestar middleware, the outermost."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        if scope["type"] != "http":
            raise ClientException(detail="only http is spoken here")
        trace = request_id(scope)
        state = cast("dict[str, object]", scope["state"])
        with bind(request=trace):
            doors = cast("Doors", connection.app.state.house.doors)
            _require_ours(doors, connection)
            receive = _bound(connection, receive)
            visitor = _visitor(doors, connection)
            if visitor is not None:
                state["visitor"] = visitor
                state["user"], state["csrf"], state["session"] = visitor.user, visitor.csrf, visitor.session
            if not _public(connection):
                if visitor is None:
                    await _turn_away(connection, receive, send)
                    return
                receive = await _require_meant(connection, visitor, receive)
            await self.app(scope, receive, send)


def scope_of(method: str, path: str, opt: Mapping[str, Any]) -> str:
    """The scope that a token needs."""
    if "scope" in opt:
        return str(opt["scope"])
    if method in SAFE:
        return "read"
    return next((scope for start, scope in _UNSAFE.items() if path == start or path.startswith(f"{start}/")), "admin")


def address_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Where a request comes from, for limits."""
    return connection.client.host if connection.client else ""


def _require_ours(doors: Doors, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    headers = connection.headers
    if len(headers.getall("host", [])) != 1 or not doors.origins.ours(headers["host"], connection.scope["server"]):
        raise ClientException(
            status_code=421, detail="this server is not known by that name; `server.allowed_hosts` can name it"
        )
    refusal = doors.origins.refusal(_method(connection), headers)
    if refusal:
        raise PermissionDeniedException(detail=refusal)


def _bound(connection: ASGIConnection[Any, Any, Any, Any], receive: Receive) -> Receive:
    said = connection.route_handler.opt.get("body_bytes_max")
    with_files = connection.headers.get("content-type", "").startswith("multipart/form-data")
    bytes_max = int(said) if said else UPLOAD_BYTES_MAX if with_files else BODY_BYTES_MAX
    require_size(connection.headers.get("content-length", ""), bytes_max)
    return bounded(receive, bytes_max)


def _visitor(doors: Doors, connection: ASGIConnection[Any, Any, Any, Any]) -> Visitor | None:
    """Raises: NotAuthorizedException, for a token that opens nothing: the cookie is not tried instead."""
    said = connection.headers.get("authorization", "")
    if said.lower().startswith(_BEARER):
        visitor = doors.by_token(said[len(_BEARER) :].strip())
        if visitor is None:
            raise NotAuthorizedException(detail="this token opens nothing (any more)", headers=_CHALLENGE)
        return visitor
    return doors.by_session(connection.cookies.get(doors.cookie, ""))


def _public(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    path = connection.scope["path"]
    return bool(connection.route_handler.opt.get("public")) or path in PUBLIC or path.startswith(STATIC)


async def _turn_away(connection: ASGIConnection[Any, Any, Any, Any], receive: Receive, send: Send) -> None:
    """A browser goes to the sign-in page and comes back. Raises: NotAuthorizedException, for the rest."""
    headers, path = connection.headers, connection.scope["path"]
    if "hx-request" in headers:
        raise NotAuthorizedException(detail="sign in first", headers={"HX-Redirect": SIGN_IN})
    if _method(connection) == "GET" and "text/html" in headers.get("accept", "") and not path.startswith("/api/"):
        query = connection.scope["query_string"].decode("latin-1")
        after = quote(f"{path}?{query}" if query else path, safe="/")
        target = SIGN_IN if path == "/" else f"{SIGN_IN}?next={after}"
        await ASGIResponse(status_code=303, headers={"location": target})(connection.scope, receive, send)
        return
    raise NotAuthorizedException(detail="sign in first, or send a token", headers=_CHALLENGE)


async def _require_meant(connection: ASGIConnection[Any, Any, Any, Any], visitor: Visitor, receive: Receive) -> Receive:
    """Raises: PermissionDeniedException."""
    method, scopes = _method(connection), visitor.user.scopes
    if scopes is not None:
        needed = scope_of(method, connection.scope["path"], connection.route_handler.opt)
        if needed not in scopes:
            raise PermissionDeniedException(detail=f"the token lacks the scope {needed}")
        return receive
    if method in SAFE:
        return receive
    given = connection.headers.get(csrf.HEADER, "")
    if not given and csrf.is_form(connection.headers.get("content-type", "")):
        body, receive = await _read(receive)
        given = csrf.in_form(body)
    if not csrf.right(visitor.session, given):
        raise PermissionDeniedException(detail="the form is not one of this session: load the page again")
    return receive


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """The whole body, which `bounded` bounds, and a receiver that gives it once more."""
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientException(detail="the request broke off")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body, told = b"".join(parts), False

    async def again() -> HTTPReceiveMessage | WebSocketReceiveMessage:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, again


def _method(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    return str(cast("Any", connection.scope)["method"])
