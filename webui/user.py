"""Who a request belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from kernel.ids import Principal


@dataclass(frozen=True, slots=True)
class User:
    """`scopes` is None for a person at a browser: then the role alone decides."""

    principal: Principal
    name: str
    role: str
    scopes: frozenset[str] | None = None
