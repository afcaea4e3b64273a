"""From errors to answers: the one table of HTTP statuses, and problem documents.

Guarantees: every error of the kernel has a status; an unexpected one is logged with its request's id
and told as 500 without its text. A browser that asked for a page gets one, everyone else
`application/problem+json`, or OpenAI's form below /v1.

Source: RFC 9457; OpenAI API reference, errors.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from kernel import errors
from kernel.log import get_logger

OPENAI: Final = "/v1/"
"""Where programs speak OpenAI's API, and hear of refusals in its form."""
_log = get_logger("web")
_PROGRAMS: Final = ("/api/", OPENAI)
_STATUS: Final[Sequence[tuple[type[errors.OxiosError], int]]] = (
    (errors.AccessDenied, 403),
    (errors.ApprovalPending, 409),
    (errors.Invalid, 422),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.BudgetExhausted, 402),
    (errors.QueueFull, 503),
    (errors.DeadlinePassed, 504),
    (errors.LimitExceeded, 429),
    (errors.LeaseLost, 409),
    (errors.CapabilityRevoked, 403),
    (errors.Stopped, 409),
    (errors.Unavailable, 503),
)
"""The first that fits. Pages and API share it."""
_UNROUTED: Final[Mapping[type[HTTPException], tuple[str, str]]] = {
    NotFoundException: ("there is nothing at this address", "begin at /; /api/schema/openapi.json lists the API's"),
    MethodNotAllowedException: ("this address has no such method", "the header `Allow` names those that it has"),
}
_BROKEN: Final = 500
_UNKNOWN: Final = 404
_OPENAI_TYPES: Final = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def status_of(error: errors.OxiosError) -> int:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(status: int, title: str, detail: str = "", remedy: str = "", **more: Any) -> dict[str, Any]:
    """A problem document. `remedy` says what to do about it."""
    document: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    return document | {key: value for key, value in {"detail": detail, "remedy": remedy, **more}.items() if value}


def problem_of(error: errors.OxiosError) -> dict[str, Any]:
    """The problem document of an error of the kernel."""
    return problem(status_of(error), error.message, remedy=error.remedy, code=error.code)


def openai_form(problem: Mapping[str, Any]) -> dict[str, Any]:
    """What a problem document says, as OpenAI would."""
    status = int(problem["status"])
    kind = _OPENAI_TYPES.get(status, "server_error" if status >= _BROKEN else "invalid_request_error")
    said = [str(problem[name]) for name in ("title", "detail", "remedy") if problem.get(name)]
    errors: list[dict[str, str]] = problem.get("errors") or [{}]
    param = errors[0].get("where", "").removeprefix("body.") or None
    return {"error": {"message": ". ".join(said), "type": kind, "param": param, "code": problem.get("code")}}


def answer(request: Request[Any, Any, Any], status: int, document: dict[str, Any], **headers: str) -> Response[Any]:
    """The document as what the client reads: a page for a browser, JSON for the rest."""
    if wants_page(request):
        house = request.app.state.house
        html = house.views.render("fault.html", frame="bare_frame.html", problem=document)
        return Response(html, status_code=status, media_type=MediaType.HTML, headers=headers)
    if request.url.path.startswith(OPENAI):
        return Response(openai_form(document), status_code=status, headers=headers)
    return Response(document, status_code=status, media_type="application/problem+json", headers=headers)


def wants_page(request: Request[Any, Any, Any]) -> bool:
    """A browser that navigates; not htmx, not the API."""
    accepts = request.headers.get("accept", "")
    return "text/html" in accepts and "hx-request" not in request.headers and not request.url.path.startswith(_PROGRAMS)


def on_oxios_error(request: Request[Any, Any, Any], error: errors.OxiosError) -> Response[Any]:
    status = status_of(error)
    headers: dict[str, str] = {}
    if isinstance(error, errors.Unavailable) and error.retry_after_s:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return answer(request, status, problem_of(error), **headers)


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    title, remedy = _UNROUTED.get(type(error), (error.detail or "the request cannot be served", ""))
    document = problem(error.status_code, title, remedy=remedy, errors=error.extra)
    if error.status_code == _UNKNOWN and request.url.path.startswith(OPENAI):
        document["remedy"] = f"of OpenAI's API there are POST {OPENAI}chat/completions and GET {OPENAI}models"
    headers = {key: value for key, value in (error.headers or {}).items() if key.lower() != "content-type"}
    return answer(request, error.status_code, document, **headers)


def on_anything(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    trace = str(request.state.get("request_id", ""))
    told = "".join(traceback.format_exception(error))
    _log.error("request_failed", request=trace, path=request.url.path, traceback=told)
    return answer(request, 500, problem(500, "something broke here", "the server's log says what", request=trace))
