"""Who a request belongs to, and what it came in with."""

from __future__ import annotations

from dataclasses import dataclass

from kernel.handle.people_record import Token
from webui.security import csrf
from webui.user import User


@dataclass(frozen=True, slots=True)
class Visitor:
    """By the session of a cookie, whose secret `session` is, or by `token`."""

    user: User
    session: str = ""
    token: Token | None = None

    @property
    def csrf(self) -> str:
        return csrf.token_of(self.session) if self.session else ""
