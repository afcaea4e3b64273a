"""What every answer tells the browser: load nothing foreign, run nothing inline, keep nothing, frame nowhere.

Guarantees: each answer has them, a fault's too, and the id of its request, that of a path that is none too; what a
page says of caching stays.

The referrer policy is same-origin and not stricter: under `no-referrer` a browser posts our own forms with
`Origin: null`, which is refused.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias, cast

from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.types import Message, Scope

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; manifest-src 'self'"
)
ALWAYS: Final = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
HSTS: Final = "max-age=31536000"
STATIC: Final = "/static/"
_TRACE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

Hook: TypeAlias = Callable[[Message, Scope], Coroutine[Any, Any, None]]


def request_id(scope: Scope) -> str:
    """The one that the request brought, where it may stand in a log, else one of ours; always the same."""
    if "state" not in scope:
        scope["state"] = {}
    state = cast("dict[str, object]", scope["state"])
    if "request_id" not in state:
        brought = Headers.from_scope(scope).get("x-request-id", "")
        state["request_id"] = brought if _TRACE.fullmatch(brought) else secrets.token_hex(8)
    return str(state["request_id"])


def security_headers(*, secure: bool) -> Hook:
    """A `before_send` hook of the application; `secure` where browsers come over https."""

    async def hook(message: Message, scope: Scope) -> None:
        if message["type"] != "http.response.start":
            return
        headers = MutableScopeHeaders.from_message(cast("Any", message))
        for name, value in ALWAYS.items():
            headers[name] = value
        if secure:
            headers["strict-transport-security"] = HSTS
        if not scope["path"].startswith(STATIC) and "cache-control" not in headers:
            headers["cache-control"] = "no-store"
        headers["x-request-id"] = request_id(scope)

    return hook
