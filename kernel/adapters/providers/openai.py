"""Any OpenAI-compatible chat completions server, streamed, over one pooled aiohttp session.

Guarantees: one `Reply` or one typed error; every wait has a deadline; a stream that is cancelled or
abandoned closes its connection; a key goes to `base_url` alone, never into an error or after a
redirect. A broken stream is an error unless the provider had said why it stopped. Does not retry:
see `retry`. Source: OpenAI API reference, chat completions; RFC 9110 for Retry-After.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio

from kernel.adapters.providers.chat.assemble import Assembly
from kernel.adapters.providers.chat.encode import encode_request
from kernel.adapters.providers.chat.refusal import Asked, refusal
from kernel.adapters.providers.sse import EventReader
from kernel.errors import DeadlinePassed, Invalid, ProviderDown
from kernel.ports.provider import KeyRefused, ModelEvent, ModelRequest, Provider, ProviderConfig

if TYPE_CHECKING:
    import aiohttp

KIND: Final = "openai"
REPLY_BYTES_MAX: Final = 32 * 1024 * 1024
ERROR_BYTES_MAX: Final = 64 * 1024
CONNECTIONS_MAX: Final = 256
_AFTER_FINISH_S: Final = 2.0
"""What is still worth waiting for once the provider said why it stopped: the usage."""
_DRAIN_S: Final = 0.1
"""What the end of the response is worth: a connection that can be used again."""


def make(config: ProviderConfig) -> Provider:
    """Raises: Invalid, where `base_url` is no http(s) address."""
    return OpenAIProvider(config, os.environ)


class OpenAIProvider:
    """One server. `environ` is where the key is looked up, at every request."""

    def __init__(self, config: ProviderConfig, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ
        parts = urlsplit(config.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid(
                f"providers.{config.name}.base_url is {config.base_url!r}, which is no http or https address",
                remedy="give the address up to the version, such as https://api.openai.com/v1",
            )
        self._url = config.base_url.rstrip("/") + "/chat/completions"
        self._endpoint = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        # OpenAI's own newer models refuse the old name; the servers that imitate it know no other.
        self._tokens_field = "max_completion_tokens" if parts.hostname == "api.openai.com" else "max_tokens"
        self._session: aiohttp.ClientSession | None = None
        self._failures: tuple[type[Exception], ...] = ()

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def endpoint(self) -> str:
        return self._endpoint

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Raises: ProviderDown, Invalid and its kinds; DeadlinePassed after `request.deadline_s`."""
        asked = Asked(self.name, self._url, request.model or self._config.model, self._config.key_env)
        exchange = _Exchange(self._config, asked, request, *self._open_session())
        try:
            await exchange.send(encode_request(request, asked.model, self._tokens_field), self._key())
            async for event in exchange.events():
                yield event
        finally:
            exchange.close()

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _key(self) -> str:
        variable = self._config.key_env
        if not variable:
            return ""
        key = self._environ.get(variable, "").strip()
        if not key:
            raise KeyRefused(f"{self.name} has no key", remedy=f"put it into the environment variable {variable}")
        if not (key.isascii() and key.isprintable()):
            raise KeyRefused(
                f"the key of {self.name} holds characters that no HTTP header can carry",
                remedy=f"check the environment variable {variable}",
            )
        return key

    def _open_session(self) -> tuple[aiohttp.ClientSession, tuple[type[Exception], ...]]:
        """The session, and what its requests raise where the network fails."""
        if self._session is None:
            import aiohttp  # noqa: PLC0415 -- 60 ms that a run without a network does not spend

            self._failures = (aiohttp.ClientError, ConnectionError)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=30.0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._config.waits.connect_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Content-Type": "application/json", "Accept": "text/event-stream", "User-Agent": "oxios"},
            )
        return self._session, self._failures


class _Exchange:
    """One request and its response."""

    def __init__(
        self,
        config: ProviderConfig,
        asked: Asked,
        request: ModelRequest,
        session: aiohttp.ClientSession,
        failures: tuple[type[Exception], ...],
    ) -> None:
        self._waits = config.waits
        self._asked = asked
        self._request = request
        self._session = session
        self._ends_at = anyio.current_time() + request.deadline_s
        self._response: aiohttp.ClientResponse | None = None
        self._watch: _Watch | None = None
        self._failures = failures
        self._key = ""
        self._received = 0

    async def send(self, body: Sequence[bytes], key: str) -> None:
        """Raises: ProviderDown (no answer), or the refusal that the answer is."""
        self._key = key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        data = body[0]
        if len(body) > 1:
            headers["Content-Length"] = str(sum(map(len, body)))  # Else it would be sent chunked, which not all take.
            data = _one_after_another(body)
        limit_s = self._limit(self._waits.first_byte_s)
        try:
            with anyio.fail_after(limit_s):
                self._response = await self._session.post(
                    self._asked.url, data=data, headers=headers, allow_redirects=False
                )
                if self._response.status != HTTPStatus.OK:
                    await self._refuse(self._response)
        except self._failures as error:
            raise self._down(f"cannot be reached at {self._asked.url}: {_reason(error)}") from error
        except TimeoutError as error:
            raise self._late(f"did not answer within {limit_s:g} s") from error
        self._watch = _Watch(self._response)

    async def events(self) -> AsyncIterator[ModelEvent]:
        response = self._response
        assert response is not None, "events() follows send()"
        assembly = Assembly(self._asked)
        if response.content_type == "application/json":  # A server that does not stream.
            for event in assembly.take([await self._whole()]):
                yield event
        else:
            reader = EventReader()
            wait_s = self._waits.first_byte_s
            while not reader.done and (chunk := await self._read(wait_s, assembly)):
                for event in assembly.take(reader.feed(chunk)):
                    yield event
                wait_s = min(self._waits.idle_s, _AFTER_FINISH_S) if assembly.finished else self._waits.idle_s
            for event in assembly.take(reader.close()):
                yield event
            if not (assembly.finished or reader.done):
                raise self._down("broke off before its reply was whole")
        await self._drain(response)
        yield assembly.reply(len(self._request.messages))

    def close(self) -> None:
        """Give the connection back where the response was read to its end, else end it."""
        if self._watch is not None:
            self._watch.close()
        if self._response is None:
            return
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()

    async def _whole(self) -> dict[str, object]:
        parts: list[bytes] = []
        while chunk := await self._read(self._waits.first_byte_s, None):
            parts.append(chunk)
        try:
            value: object = json.loads(b"".join(parts))
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise self._down("answered 200 with a body that is no JSON object")
        return value  # pyright: ignore[reportUnknownVariableType] -- JSON; Assembly takes it by use

    async def _read(self, wait_s: float, assembly: Assembly | None) -> bytes:
        """The next bytes; none at the end. An end by failure counts where the reply is whole."""
        assert self._response is not None, "reading follows sending"
        assert self._watch is not None, "a response has its watch"
        limit_s = self._limit(wait_s)
        self._watch.expect_within(limit_s)
        try:
            chunk = await self._response.content.readany()
        except self._failures as error:
            if assembly is not None and assembly.finished:
                return b""
            if self._watch.late:
                raise self._late(f"was silent for {limit_s:g} s") from error
            raise self._down(f"dropped the connection: {_reason(error)}") from error
        self._received += len(chunk)
        if self._received > REPLY_BYTES_MAX:
            raise self._down(f"sent a reply of more than {REPLY_BYTES_MAX} bytes")
        return chunk

    async def _refuse(self, response: aiohttp.ClientResponse) -> None:
        body = await response.content.read(ERROR_BYTES_MAX)
        if self._key:
            body = body.replace(self._key.encode(), b"[key]")
        raise refusal(self._asked, response.status, body, response.headers)

    async def _drain(self, response: aiohttp.ClientResponse) -> None:
        if response.content.at_eof():
            return
        try:
            with anyio.move_on_after(_DRAIN_S):
                while not response.content.at_eof():
                    await response.content.readany()
        except self._failures:
            response.close()  # The reply is whole; only the connection is lost.

    def _limit(self, wait_s: float) -> float:
        return max(0.0, min(wait_s, self._ends_at - anyio.current_time()))

    def _late(self, said: str) -> ProviderDown | DeadlinePassed:
        if anyio.current_time() >= self._ends_at:
            return DeadlinePassed(
                f"{self._asked.provider} did not finish within {self._request.deadline_s:g} s",
                remedy="allow the model more time, or ask it for less",
            )
        return self._down(said)

    def _down(self, said: str) -> ProviderDown:
        return ProviderDown(f"{self._asked.provider} {said}", remedy="try again; check base_url and the network")


class _Watch:
    """Ends a response that is silent for too long: `late` then says that this was why.

    One timer that is moved on, since a cancel scope for every read costs as much as the read.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.late = False
        self._response = response
        self._loop = asyncio.get_running_loop()
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def expect_within(self, seconds: float) -> None:
        """Something is to come within this time from now."""
        sooner = self._loop.time() + seconds
        if self._timer is None or sooner < self._timer.when():
            self.close()
            self._timer = self._loop.call_at(sooner, self._look)
        self._deadline = sooner

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        else:
            self.late = True
            self._response.close()


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


async def _one_after_another(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
