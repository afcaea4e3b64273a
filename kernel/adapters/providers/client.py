"""A model server over one pooled aiohttp session, whichever wire format it speaks.

Guarantees: one `Reply` or one typed error for each request; a key is looked up at every request and
goes to `base_url` alone, never into an error or after a redirect; a cookie is never kept. The
environment's HTTP proxy is used, but for this machine. What a wire format is, it is given as a
`Wire`. Source: RFC-0012.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from kernel.adapters.providers.exchange import Assembling, Exchange
from kernel.adapters.providers.network import faults
from kernel.adapters.providers.proxy import proxy_of
from kernel.adapters.providers.refusal import Asked
from kernel.errors import Invalid
from kernel.ports.provider import KeyRefused, ModelEvent, ModelRequest, ProviderConfig

if TYPE_CHECKING:
    import aiohttp

CONNECTIONS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Wire:
    """One wire format at one server."""

    url: str
    encode: Callable[[ModelRequest, str], Sequence[bytes]]
    """The body of a request for a model, in pieces. Raises: Invalid, where it cannot be said in this format."""
    assembly: Callable[[Asked], Assembling]
    headers: Callable[[str], Mapping[str, str]]
    """What goes beside the body, for a key or none ("")."""


class WireClient:
    """One server. `environ` is where the key is looked up, at every request."""

    def __init__(self, config: ProviderConfig, environ: Mapping[str, str], wire: Wire) -> None:
        self._config = config
        self._environ = environ
        self._wire = wire
        self._endpoint = endpoint_of(config.name, wire.url)
        self._proxy = proxy_of(wire.url, environ)
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def endpoint(self) -> str:
        return self._endpoint

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Raises: ProviderDown, Invalid and their kinds; DeadlinePassed after `request.deadline_s`."""
        wire = self._wire
        key = key_of(self._config, self._environ, request.key)
        asked = Asked(self.name, wire.url, request.model or self._config.model, self._config.key_env, bool(key))
        body = wire.encode(request, asked.model)
        exchange = Exchange(self._config.waits, asked, request, self._open_session(), faults(), proxy=self._proxy)
        try:
            await exchange.send(body, key, wire.headers(key))
            del body  # A whole conversation: not to be kept while its answer comes.
            async for event in exchange.events(wire.assembly(asked)):
                yield event
        finally:
            exchange.close()

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp  # noqa: PLC0415 -- 60 ms that a run without a network does not spend

            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=30.0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._config.waits.connect_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Content-Type": "application/json", "Accept": "text/event-stream", "User-Agent": "oxios"},
            )
        return self._session


def endpoint_of(name: str, url: str) -> str:
    """`host:port` of an address. Raises: Invalid, where it is no http(s) address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:  # a port that is none, a bracket left open, a label that is empty or too long
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in ("http", "https") or not host:
        raise Invalid(
            f"providers.{name}.base_url does not give an http or https address: {url!r}",
            remedy="give the address of its API, such as https://api.openai.com/v1 or https://api.anthropic.com",
        )
    return f"{host}:{port or (443 if parts.scheme == 'https' else 80)}"


def key_of(config: ProviderConfig, environ: Mapping[str, str], given: str | None = None) -> str:
    """The key, or "" for a server that wants none; `given` in place of the configured one.

    Raises: KeyRefused, naming the variable.
    """
    variable = config.key_env
    if given is None and not variable:
        return ""
    key = (environ.get(variable, "") if given is None else given).strip()
    if not key and given is None:
        raise KeyRefused(f"{config.name} has no key", remedy=f"put it into the environment variable {variable}")
    if not (key.isascii() and key.isprintable()):
        raise KeyRefused(
            f"the key of {config.name} holds characters that no HTTP header can carry",
            remedy=f"check the environment variable {variable}" if variable else "check where the key comes from",
        )
    return key
