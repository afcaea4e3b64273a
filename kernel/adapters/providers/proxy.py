"""Which HTTP proxy a request goes through, as the environment says: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY.

Guarantees: this machine is never asked through one, and neither is what NO_PROXY names (hosts, domains,
`host:port`, addresses, networks, `*`). A small name wins over a capital one. A proxy of another kind than
HTTP (SOCKS) is not used, since aiohttp speaks none.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, urlsplit


def proxy_of(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy's address, its password within; None where `url` is asked directly."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_here(host) or any(_spares(one.strip().lower(), parts) for one in _said(environ, "no").split(",")):
        return None
    proxy = _said(environ, parts.scheme) or _said(environ, "all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    return proxy if urlsplit(proxy).scheme in ("http", "https") else None


def _said(environ: Mapping[str, str], what: str) -> str:
    name = f"{what}_proxy"
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _spares(one: str, parts: SplitResult) -> bool:
    """Whether `one` of NO_PROXY names where `parts` goes."""
    host = parts.hostname or ""
    if one in ("", "*"):
        return one == "*"
    try:
        return ip_address(host) in ip_network(one, strict=False)
    except ValueError:
        pass  # One of them is a name.
    name, _, port = one.partition(":")
    name = name.removeprefix("*").removeprefix(".")
    right_port = not port or port == str(parts.port or (443 if parts.scheme == "https" else 80))
    return right_port and (host == name or host.endswith(f".{name}"))
