"""The token that says that a form is one of ours, for whom it was drawn.

Guarantees: it is bound to the session, so another's is worth nothing and a new sign-in makes it void; it is
compared in constant time. Nothing of it is stored: it is derived from the session's secret, which it does
not tell. A page has it under a mask that is new each time: how well a page packs, with what others put on it,
tells nothing of the token.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
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


def masked(token: str) -> str:
    """As a page has it: a random pad, then the token under it; empty where there is no token."""
    pad = secrets.token_bytes(len(token) // 2)
    return pad.hex() + _under(pad, bytes.fromhex(token)).hex()


def right(session: str, given: str) -> bool:
    """Whether it is the session's token, under a mask or bare."""
    return hmac.compare_digest(token_of(session).encode(), _bare(given).encode(errors="replace"))


def _bare(given: str) -> str:
    try:
        both = bytes.fromhex(given)
    except ValueError:
        return given
    if len(both) != 2 * hashlib.sha256().digest_size:
        return given
    half = len(both) // 2
    return _under(both[:half], both[half:]).hex()


def _under(pad: bytes, text: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(pad, text, strict=True))


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
