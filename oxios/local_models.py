"""What `oxios doctor` says of model servers on this machine that no provider is configured for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from kernel.boot import local_servers
from oxios.checkup import Check

if TYPE_CHECKING:
    from kernel.ports.provider import Found
    from kernel.settings import Settings

_SHOWN: Final = 3
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


async def local_models(settings: Settings) -> Check:
    """Looks at the usual ports of loopback, and nowhere else."""
    return check_of(await local_servers(), settings)


def check_of(found: Sequence[Found], settings: Settings) -> Check:
    if not found:
        return Check("local models", "ok", "no model server answers on this machine's usual ports")
    told = "; ".join(f"{one.name} at {one.base_url} ({shown(one.models)})" for one in found)
    configured = {_port(one.base_url) for one in settings.providers.values() if one.kind != "embedded"}
    new = [one for one in found if _port(one.base_url) not in configured]
    remedy = f"to use {new[0].name}: oxios onboard" if new else ""
    return Check("local models", "ok", told, remedy)


def shown(models: Sequence[str]) -> str:
    """A few of many."""
    if not models:
        return "no models yet"
    more = len(models) - _SHOWN
    return ", ".join(models[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _port(url: str) -> int | None:
    """The port on this machine that an address means; None for another machine's."""
    parts = urlsplit(url)
    return parts.port if parts.hostname in _LOOPBACK else None
