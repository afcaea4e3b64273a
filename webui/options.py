"""What the server is told about where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WebOptions:
    """`url` is where browsers find the server; `allowed_hosts` are the other names it answers to."""

    url: str = "http://127.0.0.1:4200"
    allowed_hosts: tuple[str, ...] = ()
    secure_cookies: bool = False
    workspace: Path = field(default_factory=Path.cwd)
    """Where the operator's agents work, unless a session says otherwise."""
