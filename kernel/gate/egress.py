"""Web addresses: what may be fetched, and from which internet addresses.

Guarantees: a host is resolved once per hop; every address it has must be public, unless the
settings name that host as private; the call connects to those addresses only, so an answer that
changes afterwards (DNS rebinding) changes nothing. Every redirect passes the same checks again,
the capability included.

Does not protect against what a public server does with what it is told, nor against a public
address that forwards into a private network.

Source: RFC-0008; WHATWG URL; RFC 3986.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import anyio

from kernel.capability.resource import PORT_MAX, Resource
from kernel.gate.addresses import is_public, literal
from kernel.gate.decision import Case, Denied, LayerName
from kernel.ids import Principal
from kernel.syscalls.target import UrlClaim, UrlTarget

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

URL_CHARS_MAX: Final = 8_192
ADDRESSES_MAX: Final = 16
RESOLVE_DEADLINE_S: Final = 5.0

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*")
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL_DOTS: Final = re.compile("[\u3002\uff0e\uff61]")


class Resolver(Protocol):
    """Names to addresses; the system's by default."""

    async def resolve(self, host: str, port: int) -> tuple[str, ...]:
        """Raises: OSError, where the name is unknown or the resolver is down."""
        ...


class SystemResolver:
    """getaddrinfo, in anyio's worker thread."""

    async def resolve(self, host: str, port: int) -> tuple[str, ...]:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return tuple(dict.fromkeys(str(row[4][0]) for row in found))


def resolve_url(claim: UrlClaim) -> UrlTarget | Denied:
    """Read a URL strictly; `addresses` stay empty until the egress layer resolves the host."""
    written = claim.url
    if len(written) > URL_CHARS_MAX:
        return _denied(f"a URL of {len(written)} characters is too long", f"at most {URL_CHARS_MAX}")
    if _UNSAFE.search(written):
        return _denied(f"{written[:80]!r} has a space, control character or backslash in it", "percent-encode it")
    try:
        parts = urlsplit(written)
        port = parts.port
    except ValueError as why:
        return _denied(f"{written[:80]!r} is not a URL ({why})", "write https://HOST/PATH")
    if parts.scheme not in _PORTS:
        return _denied(f"{written[:80]!r} is neither http nor https", "write https://HOST/PATH")
    if "@" in parts.netloc:
        return _denied("the URL carries a user name or password", "leave it out; send credentials by settings")
    host = _host(parts.hostname or "")
    if isinstance(host, Denied):
        return host
    if port is not None and not 0 < port <= PORT_MAX:
        return _denied(f"{port} is not a port", f"1 to {PORT_MAX}")
    number = _PORTS[parts.scheme] if port is None else port
    return UrlTarget(_canonical(parts, host, number), parts.scheme, host, number, ())


@dataclass(frozen=True, slots=True)
class PrivateHosts:
    """`network.private_hosts`: hosts by name, with or without port, and addresses or networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def names(self, target: UrlTarget, address: str) -> bool:
        """True where the operator named this host, or a network that this address is in."""
        bare = target.host.strip("[]")
        if not self.hosts.isdisjoint({bare, f"{bare}:{target.port}", f"{target.host}:{target.port}"}):
            return True
        return any(ipaddress.ip_address(address) in network for network in self.networks)


def private_hosts(named: Iterable[str]) -> PrivateHosts:
    """Read the settings' list."""
    hosts: set[str] = set()
    networks: list[Network] = []
    for each in named:
        text = each.strip().lower().rstrip(".")
        try:
            networks.append(ipaddress.ip_network(text.strip("[]"), strict=False))
        except ValueError:
            hosts.add(text)
    return PrivateHosts(frozenset(hosts), tuple(networks))


@dataclass(frozen=True, slots=True)
class Egress:
    """Pins hosts to addresses. `covers` asks whether a principal may reach a host (for redirects)."""

    resolver: Resolver
    covers: Callable[[Principal, Resource], bool]
    private: PrivateHosts = PrivateHosts()
    """What the operator named: these may have addresses that are not public."""

    async def pin(self, target: UrlTarget) -> UrlTarget | Denied:
        """The target with its addresses, each of them allowed."""
        addresses = await self._addresses(target)
        if isinstance(addresses, Denied):
            return addresses
        for address in addresses:
            if not is_public(address) and not self.private.names(target, address):
                return _denied(
                    f"{_led(target, address)} not a public address",
                    f"only the operator can allow it: add {target.host}:{target.port} to network.private_hosts",
                    need=_need(target),
                )
        return replace(target, addresses=addresses)

    async def recheck(self, url: str, principal: Principal, came_from: UrlTarget) -> UrlTarget | Denied:
        """Where a redirect may lead: `url` may be relative to `came_from`. For every hop.

        Another host or port needs its own capability; https never becomes http.
        """
        try:
            meant = urljoin(came_from.url, url)
        except ValueError as why:
            return _denied(
                f"{came_from.host} redirects to {url[:80]!r}, which is no URL ({why})", "fetch another address"
            )
        target = resolve_url(UrlClaim(meant))
        if isinstance(target, Denied):
            return target
        if came_from.scheme == "https" and target.scheme == "http":
            return _denied(f"{came_from.host} redirects from https to http", "fetch the http address itself, if meant")
        moved = (target.host, target.port) != (came_from.host, came_from.port)
        if moved and not self.covers(principal, Resource.target("net", target.host, str(target.port))):
            return _denied(
                f"{came_from.host} redirects to {target.host}:{target.port}, which this agent may not reach",
                f"ask for net:{target.host}:{target.port}, or fetch another address",
                need=_need(target),
            )
        return await self.pin(target)

    async def _addresses(self, target: UrlTarget) -> tuple[str, ...] | Denied:
        bare = target.host.strip("[]")
        spelled = literal(bare)
        if spelled is not None:
            return (spelled,)
        try:
            with anyio.fail_after(RESOLVE_DEADLINE_S):
                found = await self.resolver.resolve(bare, target.port)
        except TimeoutError:
            return _denied(f"{bare} could not be resolved in {RESOLVE_DEADLINE_S:g} s", "try again later")
        except (OSError, UnicodeError) as why:
            return _denied(f"{bare} could not be resolved ({why})", "check the host's name and this machine's DNS")
        if not found or len(found) > ADDRESSES_MAX:
            return _denied(f"{bare} has {len(found)} addresses", f"a host must have 1 to {ADDRESSES_MAX}")
        return found


class EgressLayer:
    """Resolves every URL of a call, once, and puts the pinned addresses into its target."""

    name: LayerName = "egress"

    def __init__(self, egress: Egress) -> None:
        self.egress = egress

    async def check(self, case: Case) -> Denied | None:
        for written, target in case.targets.items():
            if isinstance(target, UrlTarget) and not target.addresses:
                pinned = await self.egress.pin(target)
                if isinstance(pinned, Denied):
                    return pinned
                case.targets[written] = pinned
        return None


def _host(written: str) -> str | Denied:
    """Lower-case ASCII, without a last dot; addresses in their one canonical form."""
    host = _LABEL_DOTS.sub(".", written).rstrip(".")
    try:
        if ":" in host:
            if "%" in host:
                return _denied(f"{written!r} names a network interface", "leave out the % and what follows")
            return f"[{literal(host)}]"
        ascii_host = host.encode("idna").decode("ascii").lower()
        spelled = literal(ascii_host) if ascii_host else None
    except ValueError as why:
        return _denied(f"{written[:80]!r} is not a host ({why})", "write a host's name or an IP address")
    if not _HOST.fullmatch(ascii_host):
        return _denied(f"{written[:80]!r} is not a host", "write a host's name or an IP address")
    return spelled or ascii_host


def _canonical(parts: SplitResult, host: str, port: int) -> str:
    """The URL that is fetched: no fragment, non-ASCII percent-encoded, the port only where it is unusual."""
    shown = host if port == _PORTS[parts.scheme] else f"{host}:{port}"
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]|") if parts.query else ""
    return f"{parts.scheme}://{shown}{path}{query}"


def _led(target: UrlTarget, address: str) -> str:
    bare = target.host.strip("[]")
    return f"{address} is" if bare == address else f"{bare} leads to {address}, which is"


def _need(target: UrlTarget) -> str:
    return f"net:{target.host}:{target.port}"


def _denied(reason: str, remedy: str, need: str = "") -> Denied:
    return Denied("egress", reason, remedy, need)
