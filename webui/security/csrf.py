"""The token that says that a form is one of ours, for whom it was drawn.

Guarantees: it is bound to the session, so another's is worth nothing and a new sign-in makes it void; it is
compared in constant time. Nothing of it is stored: it is derived from the session's secret, which it does
not tell.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from urllib.parse import parse_qs

HEADER: Final = "x-csrf-token"
FIELD: Final = "csrf"
FIELDS_MAX: Final = 1_000
_FORM: Final = "application/x-www-form-urlencoded"
_PURPOSE: Final = b"oxios csrf"


def token_of(session: str) -> str:
    """Of a session's secret."""
    return hmac.new(session.encode(), _PURPOSE, hashlib.sha256).hexdigest()


def right(session: str, given: str) -> bool:
    return hmac.compare_digest(token_of(session).encode(), given.encode(errors="replace"))


def is_form(content_type: str) -> bool:
    """Whether the token may stand in the body. A form with files carries it in the header."""
    return content_type.partition(";")[0].strip().lower() == _FORM


def in_form(body: bytes) -> str:
    """What a form's field says; empty where there is none, or more than one."""
    try:
        fields = parse_qs(body.decode(), max_num_fields=FIELDS_MAX)
    except ValueError:
        return ""
    found = fields.get(FIELD, [])
    return found[0] if len(found) == 1 else ""
