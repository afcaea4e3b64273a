"""The API's own description, OpenAPI 3.1, made of the operations that the application serves.

Guarantees: an operation that is served is described, with each status that it answers with; what a model
refuses is not in its schema. Nothing in the document loads anything: it is JSON, and there is no page of it.

Source: OpenAPI 3.1.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final, Literal, cast

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from webui.faults import OPENAI as OPENAI_PATH
from webui.rest.operation import BYTES, HEADER_FORM, JSON, STREAM, Operation
from webui.rest.problems import MEANINGS, MEDIA, OpenaiError, Problem

_OPENAI: Final = "openai-"
_REF: Final = "#/components/schemas/{model}"
_TAGS: Final[Mapping[str, str]] = {
    "sessions": "Conversations: say something, watch it being done, stop it.",
    "runs": "Agents at work: start, watch, steer, stop, take apart.",
    "events": "What happens, as it happens.",
    "seeds": "Specifications of work, their lineage and verdicts.",
    "approvals": "What waits for a person.",
    "capabilities": "Who may do what, and where that came from.",
    "audit": "The journal: entries, proofs, verification.",
    "agents": "Live processes.",
    "tools": "What agents can call.",
    "models": "Models, their routing, health and keys.",
    "personas": "How agents speak and work.",
    "settings": "What is set, and what may be.",
    "users": "People.",
    "tokens": "What programs sign in with.",
    "metrics": "Figures since the server started.",
    "system": "The server itself.",
    "openai": "The same agents for clients of OpenAI's API.",
}
_HEADERS: Final[Mapping[str, str]] = {
    "ETag": "What `If-Match` of an edit compares with.",
    "Location": "Where the new thing is.",
    "Idempotency-Replayed": "`true`: this is the answer of an earlier request with the same key.",
    "Content-Disposition": "A name for the file.",
}
_INTRODUCTION: Final = """Everything that the pages do.

A program sends a user's token as `Authorization: Bearer …`, within the token's scopes; a page of ours sends
its cookie, and with each change the CSRF token. What a user may not see is *not found*. Lists are paged by
`cursor` and `next`. A POST that creates takes an `Idempotency-Key`: for 24 hours of the server's life the same
key with the same request is answered alike and done once. `X-Request-Id` of a request is echoed."""


def operations_of(app: Litestar) -> list[Operation]:
    """Those that are served, by path."""
    found: dict[str, Operation] = {}
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and "operation" in handler.opt:
                one = cast("Operation", handler.opt["operation"])
                found[one.id] = one
    return sorted(found.values(), key=lambda one: (one.path, one.method))


def document_of(operations: Iterable[Operation], cookie: str) -> dict[str, Any]:
    """`cookie` is the name of a browser's."""
    served = list(operations)
    refs, schemas = _schemas(served)
    paths: dict[str, dict[str, Any]] = {}
    for one in served:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, refs)
    used = {one.tag for one in served}
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {"title": "Oxios", "version": version("oxios"), "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": what} for name, what in _TAGS.items() if name in used],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                f"{start}{status}": _fault(status, media, refs[model, "serialization"])
                for start, media, model in (("", MEDIA, Problem), (_OPENAI, JSON, OpenaiError))
                for status in MEANINGS
            },
            "headers": {
                "X-Request-Id": {
                    "description": "The request's id: the one it brought, or one of ours.",
                    "schema": {"type": "string"},
                }
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A user's API token, within its scopes."},
                "session": {"type": "apiKey", "in": "cookie", "name": cookie, "description": "A browser's session."},
                "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token", "description": "With the cookie."},
            },
        },
    }


Mode = Literal["validation", "serialization"]
_Refs = Mapping[tuple[type[BaseModel], Mode], dict[str, Any]]


def _schemas(served: Iterable[Operation]) -> tuple[_Refs, dict[str, Any]]:
    wanted: dict[tuple[type[BaseModel], Mode], None] = {
        (Problem, "serialization"): None,
        (OpenaiError, "serialization"): None,
    }
    for one in served:
        if one.body is not None:
            wanted[one.body, "validation"] = None
        if one.answer is not None:
            wanted[one.answer, "serialization"] = None
    refs, made = models_json_schema(list(wanted), ref_template=_REF)
    return cast("_Refs", refs), made.get("$defs", {})


def _operation(one: Operation, refs: _Refs) -> dict[str, Any]:
    summary, _, rest = one.doc.partition("\n")
    told: dict[str, Any] = {
        "operationId": one.id,
        "tags": [one.tag],
        "summary": summary.rstrip("."),
        "description": one.doc if rest else summary,
        "security": [{"token": [one.scope]}, {"session": [], **({} if one.method == "GET" else {"csrf": []})}],
        "responses": {
            str(one.status): _success(one, refs),
            **{str(status): {"$ref": f"#/components/responses/{_of_path(one)}{status}"} for status in one.faults},
        },
    }
    if parameters := _parameters(one):
        told["parameters"] = parameters
    if one.body is not None:
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": refs[one.body, "validation"]}}}
    elif one.content:
        told["requestBody"] = {"required": True, "content": {BYTES: {"schema": {"type": "string", "format": "binary"}}}}
    return told


def _success(one: Operation, refs: _Refs) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if one.answer is not None:
        content[JSON] = {"schema": refs[one.answer, "serialization"]}
    elif one.media == JSON:
        content[JSON] = {"schema": {"type": "object"}}
    if one.streams:
        content[STREAM] = {"schema": {"type": "string"}}
    if one.media != JSON:
        content[one.media] = {"schema": {"type": "string"}}
    headers: dict[str, Any] = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    headers |= {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in one.headers}
    return {"description": "Done." if one.method != "GET" else "What there is.", "content": content, "headers": headers}


def _fault(status: int, media: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": MEANINGS[status], "content": {media: {"schema": schema}}}


def _of_path(one: Operation) -> str:
    """Which form its refusals have."""
    return _OPENAI if one.path.startswith(OPENAI_PATH) else ""


def _parameters(one: Operation) -> list[dict[str, Any]]:
    found = [
        *_of_model(one.params, "path"),
        *(_of_model(one.query, "query") if one.query is not None else []),
    ]
    for name, what in _OF_HEADERS.items():
        if name in one.wants or (name == "idempotency_key" and one.once):
            header = "-".join(part.capitalize() for part in name.split("_"))
            schema = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": f"^{HEADER_FORM.pattern}$"}
            found.append({"name": header, "in": "header", "required": False, "description": what, "schema": schema})
    return found


_OF_HEADERS: Final = {
    "if_match": "The `ETag` of what is edited; where it has changed since, nothing is done (412).",
    "if_none_match": "`*`: only where there is none yet.",
    "idempotency_key": "Of your choice, one for each thing to be done: sent again with it, it is done once.",
}


def _of_model(model: type[BaseModel], place: str) -> list[dict[str, Any]]:
    schema = model.model_json_schema(ref_template=_REF)
    required = set(schema.get("required", []))
    told: list[dict[str, Any]] = []
    for name, inner in schema.get("properties", {}).items():
        shown = {key: value for key, value in inner.items() if key not in {"title", "description"}}
        one = {"name": name, "in": place, "required": name in required, "schema": shown}
        told.append({**one, "description": inner["description"]} if "description" in inner else one)
    return told
