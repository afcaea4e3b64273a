"""Entity tags: an edit of what somebody else changed meanwhile is refused.

Source: RFC 9110, 8.8.3 and 13.1.1.
"""

from __future__ import annotations

import json
from hashlib import sha256

from litestar.exceptions import HTTPException

from kernel.jsontypes import JsonValue


class PreconditionFailed(HTTPException):
    """The thing is not as whoever edits it last saw it."""

    status_code = 412


def tag_of(value: JsonValue | bytes) -> str:
    """The same for the same value, in quotes as it stands in a header."""
    content = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True).encode()
    return f'"{sha256(content).hexdigest()[:32]}"'


def require_match(if_match: str, tag: str) -> None:
    """`if_match` as the request has it; empty asks for nothing. Raises: PreconditionFailed."""
    wanted = [one.strip() for one in if_match.split(",") if one.strip()]
    if wanted and "*" not in wanted and tag not in wanted:
        raise PreconditionFailed(detail="it was changed meanwhile: read it again, and edit what it is now")


def require_no_match(if_none_match: str, *, exists: bool) -> None:
    """`*` asks that there is nothing yet. Raises: PreconditionFailed."""
    if if_none_match.strip() == "*" and exists:
        raise PreconditionFailed(detail="it exists already: leave out `If-None-Match` to replace it")
