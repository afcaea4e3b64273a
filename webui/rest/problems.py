"""Refusals as the API tells them, and what each status means here.

Source: RFC 9457.
"""

from __future__ import annotations

from typing import Final

from pydantic import ConfigDict, Field

from webui.rest.shapes import Shape

MEDIA: Final = "application/problem+json"


class Fault(Shape):
    """One thing that is wrong with a request."""

    where: str = Field(description="As in `body.goal` or `query.limit`.")
    problem: str


class Problem(Shape):
    """Why a request was not carried out. Nothing of it was."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "there is no run 'r01k3v8n5w-4tq9x2m'",
                    "status": 404,
                    "remedy": "the list shows what there is",
                    "code": "not_found",
                }
            ]
        },
    )

    type: str = "about:blank"
    title: str
    status: int = Field(ge=400, le=599)
    detail: str | None = None
    remedy: str | None = Field(default=None, description="What to do about it.")
    code: str | None = Field(default=None, description="The kernel's name of the refusal: stable.")
    errors: list[Fault] | None = Field(default=None, description="What is wrong with the request's form.")
    request: str | None = Field(default=None, description="The request's id, which the server's log has as well.")


class OpenaiErrorBody(Shape):
    message: str
    type: str
    param: str | None = None
    code: str | None = None


class OpenaiError(Shape):
    """The same below /v1, in OpenAI's form."""

    error: OpenaiErrorBody


MEANINGS: Final = {
    400: "The request is not of the form that is described here; `errors` says where.",
    401: "Nobody is signed in, or the token opens nothing (any more).",
    402: "A budget is spent.",
    403: "The user may not do this, or the token lacks the scope, or the CSRF token is missing.",
    404: "There is no such thing, or it is not the user's to see.",
    405: "The path has no such method.",
    409: "It cannot be done as things stand.",
    412: "It was changed meanwhile (`If-Match`), or exists already (`If-None-Match`).",
    413: "The request carries more than this operation takes.",
    415: "The body is not of the media type that is described here.",
    421: "This server is not known by that name.",
    422: "The request is well formed, and what it says cannot be.",
    429: "A limit is reached.",
    500: "Something broke here. The server's log has the request's id.",
    503: "What it needs is not there now: a model, the sandbox, the journal.",
    504: "It was not done in time.",
}
ALWAYS: Final = (400, 401, 403, 421, 500, 503)
OF_BODIES: Final = (413, 415)
OF_ACTS: Final = (402, 409, 422, 429, 504)
