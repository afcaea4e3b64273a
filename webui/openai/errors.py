"""Refusals in OpenAI's form, for paths below /v1.

Source: OpenAI API reference, errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PATH: Final = "/v1/"
_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_INTERNAL: Final = 500


def openai_error(problem: Mapping[str, Any]) -> dict[str, Any]:
    """The same as a problem document says."""
    status = int(problem["status"])
    kind = _TYPES.get(status, "server_error" if status >= _INTERNAL else "invalid_request_error")
    said = [str(problem[name]) for name in ("title", "detail", "remedy") if problem.get(name)]
    errors: list[dict[str, str]] = problem.get("errors") or [{}]
    param = errors[0].get("where", "").removeprefix("body.") or None
    return {"error": {"message": ". ".join(said), "type": kind, "param": param, "code": problem.get("code")}}
