"""Which internet addresses are public: reachable by strangers, and nothing of this machine or network.

Guarantees: an address that carries another one inside it (IPv4-mapped, 6to4, NAT64, Teredo,
IPv4-compatible) is public only if the one inside is public as well.

Source: IANA special-purpose address registries; RFC 6890, 4291, 3056, 6052, 8215, 4380.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_PRIVATE_V4: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
# Only 2000::/3 is handed out at all; these parts of it are not for strangers.
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
_PRIVATE_V6: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in ("2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:db8::/32", "3fff::/20")
)
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_6TO4: Final = ipaddress.IPv6Network("2002::/16")
_TEREDO: Final = ipaddress.IPv6Network("2001::/32")
_LOW_32: Final = 0xFFFF_FFFF
_IPV4_PARTS: Final = 4


@lru_cache(maxsize=1024)
def is_public(text: str) -> bool:
    """Raises: ValueError, where `text` is no IPv4 or IPv6 address."""
    address = ipaddress.ip_address(text)
    return all(_alone(each) for each in (address, *_carried(address)))


def _alone(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _PRIVATE_V4)
    if address.scope_id is not None:
        return False
    if address in _MAPPED or address in _NAT64:
        return True  # judged by the address it carries
    return address in _GLOBAL_V6 and not any(address in network for network in _PRIVATE_V6)


def _carried(address: Address) -> Iterator[ipaddress.IPv4Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return
    number = int(address)
    if address in _MAPPED or address in _NAT64:
        yield ipaddress.IPv4Address(number & _LOW_32)
    elif address in _6TO4:
        yield ipaddress.IPv4Address(number >> 80 & _LOW_32)
    elif address in _TEREDO:
        yield ipaddress.IPv4Address(number >> 64 & _LOW_32)  # its server
        yield ipaddress.IPv4Address(number & _LOW_32 ^ _LOW_32)  # its client, stored inverted


def literal(host: str) -> str | None:
    """The canonical address where `host` is one in any spelling a resolver takes, else None.

    `0x7f.1`, `2130706433` and `0177.0.0.1` are all 127.0.0.1.

    Raises: ValueError, where the last label is a number and the whole is still no address.
    """
    if ":" in host:
        return str(ipaddress.IPv6Address(host))
    parts = host.split(".")
    if not _numeric(parts[-1]):
        return None
    return str(ipaddress.IPv4Address(_inet_aton(parts)))


def _numeric(part: str) -> bool:
    return part.isdigit() or part.lower().startswith("0x")


def _inet_aton(parts: list[str]) -> int:
    """Source: inet_aton(3); WHATWG URL, IPv4 parser."""
    if len(parts) > _IPV4_PARTS:
        raise ValueError("too many parts")
    numbers = [_number(part) for part in parts]
    *heads, last = numbers
    if any(head > 0xFF for head in heads) or last >= 1 << 8 * (4 - len(heads)):  # noqa: PLR2004 -- one byte
        raise ValueError("a part is too large")
    return sum(head << 8 * (3 - position) for position, head in enumerate(heads)) + last


def _number(part: str) -> int:
    if part.lower().startswith("0x"):
        return int(part[2:] or "0", 16)
    if not part.isdigit():
        raise ValueError("a part is no number")
    return int(part, 8) if part.startswith("0") and len(part) > 1 else int(part)
