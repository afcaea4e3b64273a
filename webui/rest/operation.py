"""An operation of the API, declared once: what the server checks is what its document says.

`operation` turns an async function into a route. Its parameters say what the request carries: `desk`; those of
the path by their names; `query`, a model; `body`, a model sent as JSON, or `content`, the bytes themselves;
`if_match` and `if_none_match`, the headers; `request`, where nothing else will do. It returns a model, an
`Answer` with headers, or an ASGI response of its own (a stream).

Guarantees: what does not fit is refused with 400 (415, where the body is no JSON) before the function is
called, an unknown field or query parameter too; what it needs of a token stands in `opt` for the guard.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast, get_args, get_origin, get_type_hints

from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import ClientException
from litestar.exceptions import HTTPException as LitestarException
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from kernel.errors import KernelBug
from webui.desk import Desk
from webui.rest.once import HEADER, Kept, Once
from webui.rest.problems import ALWAYS, OF_ACTS, OF_BODIES

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
STREAM: Final = "text/event-stream"
HEADER_FORM: Final = re.compile(r"[ -~]{1,128}")
_SAFE: Final = frozenset({"GET", "HEAD"})
_OWN: Final = frozenset({"desk", "query", "body", "content", "if_match", "if_none_match", "request"})

Function: TypeAlias = Callable[..., Awaitable[Any]]
Headers: TypeAlias = Mapping[str, str]
Model = TypeVar("Model", bound=BaseModel)


class UnsupportedMedia(LitestarException):
    status_code = 415


@dataclass(frozen=True, slots=True)
class Answer(Generic[Model]):
    """A model with headers of its own."""

    model: Model
    headers: Headers = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Operation:
    """What its declaration says."""

    method: str
    path: str
    """`/api/runs/{run}`."""
    id: str
    """`runs_get`; what stands before the underscore is its tag."""
    run: Function
    doc: str
    params: type[BaseModel]
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    content: bool
    """It takes bytes as they are."""
    wants: frozenset[str]
    answer: type[BaseModel] | None
    status: int
    scope: str
    media: str
    streams: bool
    """It answers with a stream where the request asks for one."""
    once: bool
    faults: tuple[int, ...]
    headers: tuple[str, ...]
    """Of its answer, beside those that every answer has."""

    @property
    def tag(self) -> str:
        return self.id.partition("_")[0]


def operation(
    method: str,
    path: str,
    name: str,
    *,
    scope: str = "",
    status: int = 200,
    media: str = JSON,
    once: bool = False,
    streams: bool = False,
    body_bytes_max: int | None = None,
    faults: tuple[int, ...] = (),
    headers: tuple[str, ...] = (),
    tail: bool = False,
) -> Callable[[Function], HTTPRouteHandler]:
    """`scope` is what a token needs, `read` for a GET unless it says otherwise; `once`: takes `Idempotency-Key`.

    `tail`: the parameter that the path ends in may hold slashes, bare or encoded.
    """

    def declare(run: Function) -> HTTPRouteHandler:
        hints = get_type_hints(run, include_extras=True)
        wants = [one for one in inspect.signature(run).parameters if one != "desk"]
        found = Operation(
            method=method,
            path=path,
            id=name,
            run=run,
            doc=inspect.cleandoc(run.__doc__ or ""),
            params=_in_path(name, path, {one: hints[one] for one in wants if one not in _OWN}),
            query=hints.get("query"),
            body=hints.get("body"),
            content="content" in wants,
            wants=frozenset(wants),
            answer=_answered(hints.get("return")),
            status=status,
            scope=scope or ("read" if method in _SAFE else "admin"),
            media=media,
            streams=streams,
            once=once,
            faults=tuple(sorted({*_faults(method, path, frozenset(wants)), *faults})),
            headers=(*headers, *(("Idempotency-Replayed",) if once else ())),
        )

        async def handle(request: Request[Any, Any, State], desk: Desk) -> ASGIResponse:
            return await _handle(found, request, desk)

        opt: dict[str, Any] = {"operation": found, "scope": found.scope}
        if body_bytes_max is not None:
            opt["body_bytes_max"] = body_bytes_max
        route = path.replace("}", ":path}" if tail else ":str}")
        return HTTPRouteHandler(route, http_method=cast("Any", method), status_code=status, opt=opt, name=name)(handle)

    return declare


def _answered(hint: Any) -> type[BaseModel] | None:
    """The model that a return annotation names, if it does."""
    named = get_args(hint)[0] if get_origin(hint) is Answer else hint
    return named if isinstance(named, type) and issubclass(named, BaseModel) else None


def _in_path(name: str, path: str, hints: Mapping[str, Any]) -> type[BaseModel]:
    """What stands in the path, as a model. Raises: KernelBug, where path and function differ."""
    if path.count("{") != len(hints) or not all(f"{{{one}}}" in path for one in hints):
        raise KernelBug(f"{name}: the function's parameters are not those of {path}")
    fields: dict[str, Any] = {one: (hint, ...) for one, hint in hints.items()}
    return create_model(f"{name}_path", __config__=ConfigDict(extra="forbid"), **fields)


def _faults(method: str, path: str, wants: frozenset[str]) -> set[int]:
    """How it may be refused, by what it takes."""
    found: set[int] = set(ALWAYS)
    if "{" in path:
        found.add(404)
    if method not in _SAFE:
        found.update(OF_ACTS)
    elif "query" in wants:
        found.add(422)
    if wants & {"body", "content"}:
        found.update(OF_BODIES)
    if wants & {"if_match", "if_none_match"}:
        found.add(412)
    return found


async def _handle(found: Operation, request: Request[Any, Any, State], desk: Desk) -> ASGIResponse:
    _ = desk.user  # Refuses strangers, should the guard ever let one by.
    params = {name: str(value).removeprefix("/") for name, value in request.path_params.items()}
    given: dict[str, Any] = _fitting(found.params, params, "path")
    query = _fields(request)
    if found.query is not None:
        given["query"] = _checked(found.query, query, "query")
    elif query:
        raise _wrong([{"where": f"query.{next(iter(query))[:64]}", "problem": "there is no such parameter"}])
    content = await request.body() if found.body is not None or found.content else b""
    if found.body is not None:
        _require_media(request, JSON)
        given["body"] = body_of(found.body, content)
    elif found.content:
        given["content"] = content
    for header in ("if_match", "if_none_match"):
        if header in found.wants:
            given[header] = _header(request, header.replace("_", "-"))
    if "request" in found.wants:
        given["request"] = request
    key = request.headers.get(HEADER, "") if found.once else ""
    if not key:
        return await _answer(found, desk, given)
    once: Once = request.app.state.once
    asked = sha256(f"{request.method} {request.url.path}\n".encode() + content).hexdigest()
    async with once.turn(desk.user.principal, key, asked) as slot:
        if slot.answer is None:
            answer = await _answer(found, desk, given)
            once.keep(slot, Kept(answer.status_code, answer.body, tuple(_told(answer))))
            return answer
        kept = slot.answer
        return ASGIResponse(
            body=kept.body,
            status_code=kept.status,
            media_type=found.media,
            headers={**dict(kept.headers), "Idempotency-Replayed": "true"},
        )


async def _answer(found: Operation, desk: Desk, given: Mapping[str, Any]) -> ASGIResponse:
    came = await found.run(desk, **given)
    if isinstance(came, ASGIResponse):
        return came
    answer: Answer[Any] = cast("Answer[Any]", came) if isinstance(came, Answer) else Answer(came)
    body = answer.model.model_dump_json().encode()
    return ASGIResponse(body=body, status_code=found.status, media_type=found.media, headers=dict(answer.headers))


def _header(request: Request[Any, Any, State], name: str) -> str:
    """Empty where there is none. Raises: ClientException."""
    value = request.headers.get(name)
    if value is not None and not HEADER_FORM.fullmatch(value):
        raise _wrong([{"where": f"header.{name}", "problem": f"it is not of the form {HEADER_FORM.pattern}"}])
    return value or ""


def body_of(model: type[BaseModel], content: bytes) -> BaseModel:
    """Raises: ClientException, where it is not JSON, or not of the model's form."""
    try:
        json.loads(content, parse_constant=_no_number)
        return model.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise _wrong(_told_wrong(error, "body")) from None
    except (ValueError, RecursionError):
        raise _wrong([{"where": "body", "problem": "this is no JSON"}]) from None


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number in JSON")


def _told(answer: ASGIResponse) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in answer.encode_headers()
        if name.lower() not in {b"content-length", b"content-type"}
    ]


def _fields(request: Request[Any, Any, State]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in found:
            raise _wrong([{"where": f"query.{name[:64]}", "problem": "it is given more than once"}])
        found[name] = str(value)
    return found


def _fitting(model: type[BaseModel], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    checked = _checked(model, {name: str(value) for name, value in values.items()}, where)
    return {name: getattr(checked, name) for name in model.model_fields}


def _checked(model: type[BaseModel], values: Mapping[str, str], where: str) -> BaseModel:
    try:
        return model.model_validate_strings(dict(values))
    except ValidationError as error:
        raise _wrong(_told_wrong(error, where)) from None


def _told_wrong(error: ValidationError, where: str) -> list[dict[str, str]]:
    return [
        {
            "where": ".".join((where, *(str(part)[:64] for part in one["loc"] if "[" not in str(part)))),
            "problem": "there is no such field" if one["type"] == "extra_forbidden" else one["msg"],
        }
        for one in error.errors(include_url=False, include_context=False, include_input=False)[:20]
    ]


def _wrong(errors: list[dict[str, str]]) -> ClientException:
    first = errors[0]
    return ClientException(detail=f"{first['where']}: {first['problem']}", extra=cast("Any", errors))


def _require_media(request: Request[Any, Any, State], media: str) -> None:
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said != media:
        raise UnsupportedMedia(detail=f"the body is to be {media}")
