"""Typed identifiers, and the text forms of principals.

Guarantees: an id made here contains only `[a-z0-9.:_-]`, sorts by its creation time (to the
millisecond) within its kind, and two ids made in one millisecond collide with a chance of 2^-35.
"""

from __future__ import annotations

import re
import secrets
from typing import NewType

from kernel.errors import Invalid

RunId = NewType("RunId", str)
CallId = NewType("CallId", str)
CapId = NewType("CapId", str)
SeedId = NewType("SeedId", str)
ApprovalId = NewType("ApprovalId", str)
Principal = NewType("Principal", str)
Digest = NewType("Digest", str)
"""Lower-case hex SHA-256, 64 characters."""

KERNEL = Principal("kernel")

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base32: no i, l, o, u.
_PRINCIPAL = re.compile(r"kernel|(?:user|agent|job):[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def new_id(prefix: str, now_us: int) -> str:
    """`prefix` + 9 characters of time + 7 random ones, e.g. `r01k3v8n5w-4tq9x2m`."""
    return f"{prefix}{_base32(now_us // 1000, 9)}-{_base32(secrets.randbits(35), 7)}"


def new_run_id(now_us: int) -> RunId:
    return RunId(new_id("r", now_us))


def call_id(run: RunId, number: int) -> CallId:
    """Calls are numbered from 1 within their run, so the run is readable from the call."""
    return CallId(f"{run}.{number}")


def run_of_call(call: CallId) -> RunId:
    """Raises: Invalid, where the text is no call id."""
    run, dot, number = call.rpartition(".")
    if not dot or not number.isdigit():
        raise Invalid(f"{call!r} is not a call id", remedy="a call id looks like RUN.NUMBER; see `oxios runs show RUN`")
    return RunId(run)


def user(name: str) -> Principal:
    return principal(f"user:{name}")


def agent(run: RunId) -> Principal:
    return Principal(f"agent:{run}")


def principal(text: str) -> Principal:
    """Raises: Invalid, unless `text` is `kernel` or `user:`, `agent:`, `job:` and a name."""
    if not _PRINCIPAL.fullmatch(text):
        raise Invalid(
            f"{text!r} is not a principal",
            remedy="use kernel, user:NAME, agent:RUN or job:NAME; names are letters, digits and ._@-",
        )
    return Principal(text)


def _base32(number: int, width: int) -> str:
    digits: list[str] = []
    for _ in range(width):
        digits.append(_ALPHABET[number & 31])
        number >>= 5
    return "".join(reversed(digits))
