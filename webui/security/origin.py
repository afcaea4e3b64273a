"""Whether a request came to us by our name, and from one of our own pages.

Guarantees: a name that is not ours is refused, so a foreign site that lets its own name point here reaches
nothing; an unsafe request that a browser sent from another origin is refused, another port of this machine
included; so is any request of another site that is not a person opening a page.
Does not see who sends a request that is no browser's: those say nothing of an origin, and must have a token
or a form's CSRF token.

Source: Fetch (Origin), Fetch Metadata; RFC 9110, 7.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PORTS: Final = {"http": 80, "https": 443}
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Origins:
    """`hosts` are our names with the port each is for; None is any."""

    scheme: str
    hosts: frozenset[tuple[str, int | None]]

    @classmethod
    def of(cls, url: str, allowed: Iterable[str]) -> Origins:
        """`allowed` are NAME or NAME:PORT; where `url` is of this machine, so are its other names."""
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 80)
        name = (parts.hostname or "").lower()
        names = _LOOPBACK if name in _LOOPBACK else (name,)
        hosts: set[tuple[str, int | None]] = {(each, port) for each in names}
        hosts |= {found for each in allowed if (found := split(each, None)) is not None}
        return cls(parts.scheme, frozenset(hosts))

    def ours(self, host: str, reached: tuple[str, int | None] | None = None) -> bool:
        """Whether a `Host` header names us.

        `reached` is the address and port that the request came to: a number is no name, which a foreign site could let
        point here. Where that is this machine's own, so are its other names.
        """
        found = split(host, _PORTS.get(self.scheme, 80))
        if found is None:
            return False
        if reached is not None and found[1] == reached[1] and found[0] in _names_of(reached[0]):
            return True
        return found in self.hosts or (found[0], None) in self.hosts

    def refusal(self, method: str, headers: Mapping[str, str]) -> str:
        """Why a request is not from one of our pages; empty where it may be. `ours` was asked before."""
        site = headers.get("sec-fetch-site", "")
        if site not in {"", "same-origin", "none"} and not _opens_page(method, headers):
            return f"the request came from another site ({site})"
        origin = headers.get("origin", "")
        if method in SAFE or not origin:
            return ""
        parts = urlsplit(origin)
        default = _PORTS.get(parts.scheme)
        if default is None or split(parts.netloc, default) != split(headers.get("host", ""), default):
            return f"the request came from {origin[:100]}"
        return ""


def split(host: str, port: int | None) -> tuple[str, int | None] | None:
    """Name and port of `NAME[:PORT]`; None, where it is neither."""
    try:
        parts = urlsplit(f"//{host}")
        named = parts.hostname
        found = parts.port if parts.port is not None else port
    except ValueError:
        return None
    if not named or parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return named.rstrip(".").lower(), found


def _names_of(address: str) -> tuple[str, ...]:
    """What an address is called that nobody else could be; nothing, where it is a name itself."""
    try:
        number = ip_address(address.removeprefix("::ffff:"))
    except ValueError:
        return ()
    return (str(number), *_LOOPBACK) if number.is_loopback else (str(number),)


def _opens_page(method: str, headers: Mapping[str, str]) -> bool:
    """A person followed a link of another site: allowed, and the cookie does not come along."""
    return (
        method in SAFE
        and headers.get("sec-fetch-mode", "") == "navigate"
        and headers.get("sec-fetch-dest", "") == "document"
    )
