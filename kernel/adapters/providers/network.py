"""What the network raises, told apart by whether anything of a request can have left this machine.

Guarantees: `Faults.unreached` are raised only before a connection stands, so no byte of a request was
sent: nothing can be owed for it. Everything else in `Faults.lost` may have been raised after.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Final

from kernel.ports.provider import Unreachable

_CERTIFICATE: Final = "have its authority trusted (SSL_CERT_FILE names a file of certificates), or mend base_url"


@dataclass(frozen=True, slots=True)
class Faults:
    """Kinds of exceptions. `unreached` are among `lost`."""

    lost: tuple[type[Exception], ...]
    unreached: tuple[type[Exception], ...]


@cache
def faults() -> Faults:
    import aiohttp  # noqa: PLC0415 -- 60 ms that a run without a network does not spend

    # A refusal of CONNECT is a proxy's: the tunnel that the request would take was never opened.
    unreached = (
        aiohttp.ClientConnectorError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.ServerFingerprintMismatch,
        aiohttp.ClientHttpProxyError,
        aiohttp.InvalidURL,
    )
    return Faults((aiohttp.ClientError, ConnectionError), unreached)


def unreachable(provider: str, url: str, error: Exception) -> Unreachable:
    """What one of `Faults.unreached` is to a person; `error` quotes no header."""
    certificate = getattr(error, "certificate_error", None)
    if certificate is not None:
        why = getattr(certificate, "verify_message", "") or str(certificate)
        said = f"{provider} cannot be reached at {url}: its certificate is not trusted: {why}"
        return Unreachable(said, remedy=_CERTIFICATE, kind="network")
    said = f"{provider} cannot be reached at {url}: {_reason(error)}"
    return Unreachable(
        said, remedy=f"see that it runs, and check {base_url_of(provider)} and the network", kind="network"
    )


def base_url_of(provider: str) -> str:
    """The name of the setting that says where a provider is reached."""
    return f"providers.{provider}.base_url"


def _reason(error: Exception) -> str:
    status = getattr(error, "status", 0)
    if status:  # A proxy's; its address, and a password in it, are left out.
        return f"the proxy answered {status} {getattr(error, 'message', '')}"
    cause = getattr(error, "os_error", None)
    if type(cause) is OSError or isinstance(cause, ConnectionError):
        # asyncio's own words name the address a second time.
        return os.strerror(cause.errno) if cause.errno else str(cause)
    if isinstance(cause, OSError):
        return cause.strerror or str(cause)
    return str(error) or type(error).__name__
