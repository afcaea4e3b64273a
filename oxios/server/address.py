"""Where the server listens, and what browsers call it.

Guarantees: the address is taken before anything else is begun, so that one in use is said at once.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import TYPE_CHECKING, Final

from kernel.errors import Unavailable

if TYPE_CHECKING:
    from kernel.settings.tree import ServerSettings

_LOCAL: Final = "127.0.0.1"
_IPV4: Final = 4
_IPV6: Final = 6


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet. Raises: Unavailable."""
    address = _LOCAL if host == "localhost" else host
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        raise Unavailable(f"{host!r} is no address", remedy="set server.host to an IP address") from None
    made = socket.socket(socket.AF_INET if version == _IPV4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise _refused(address, port, error) from error
    return made


def is_loopback(bound: socket.socket) -> bool:
    return ipaddress.ip_address(bound.getsockname()[0]).is_loopback


def reached_at(bound: socket.socket) -> str:
    """HOST:PORT by which this machine reaches it."""
    address, port = bound.getsockname()[:2]
    found = ipaddress.ip_address(address)
    if found.is_unspecified:
        return f"{_LOCAL}:{port}" if found.version == _IPV4 else f"[::1]:{port}"
    return f"[{address}]:{port}" if found.version == _IPV6 else f"{address}:{port}"


def url_of(bound: socket.socket, settings: ServerSettings) -> str:
    """What the settings say, else the address itself; an address that means all of them by this machine's name."""
    if settings.url:
        return settings.url.rstrip("/")
    address, port = bound.getsockname()[:2]
    if ipaddress.ip_address(address).is_unspecified:
        return f"http://{socket.gethostname().lower()}:{port}"
    return f"http://{reached_at(bound)}"


def _refused(address: str, port: int, error: OSError) -> Unavailable:
    match error.errno:
        case errno.EADDRINUSE:
            return Unavailable(
                f"port {port} of {address} is in use",
                remedy="choose another with --port (0 takes any that is free), or stop who uses it",
            )
        case errno.EACCES:
            return Unavailable(f"port {port} may not be used by this user", remedy="choose one from 1024 with --port")
        case _:
            return Unavailable(
                f"{address} port {port} cannot be used: {error.strerror}", remedy="see server.host and server.port"
            )
