"""One streamed request and its response, whatever wire format it speaks.

Guarantees: every wait has a deadline; a response that is abandoned closes its connection, one that
was read to its end gives it back; a broken stream is an error unless the provider had said why it
stopped; a key never stands in an error. Does not retry and knows no wire format.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import anyio

from kernel.adapters.providers.refusal import Asked, refusal
from kernel.adapters.providers.sse import EventReader
from kernel.errors import DeadlinePassed, DownKind, ProviderDown
from kernel.ports.provider import ModelEvent, ModelRequest, Reply, TimedOut, Waits

if TYPE_CHECKING:
    import aiohttp

REPLY_BYTES_MAX: Final = 32 * 1024 * 1024
ERROR_BYTES_MAX: Final = 64 * 1024
_AFTER_FINISH_S: Final = 2.0
"""What is still worth waiting for once the provider said why it stopped: the usage."""
_DRAIN_S: Final = 0.1
"""What the end of the response is worth: a connection that can be used again."""


class Assembling(Protocol):
    """Puts a reply together from the objects of a stream, or from one whole answer."""

    @property
    def finished(self) -> bool:
        """The provider said why it stopped; what may follow is not needed."""
        ...

    @property
    def ended(self) -> bool:
        """Nothing follows."""
        ...

    def take(self, chunks: list[dict[str, Any]]) -> list[ModelEvent]:
        """Raises: ProviderDown, Invalid."""
        ...

    def reply(self, id_seed: int) -> Reply:
        """`id_seed` numbers the reply within its conversation."""
        ...


class Exchange:
    """One request and its response."""

    def __init__(
        self,
        waits: Waits,
        asked: Asked,
        request: ModelRequest,
        session: aiohttp.ClientSession,
        failures: tuple[type[Exception], ...],
    ) -> None:
        self._waits = waits
        self._asked = asked
        self._request = request
        self._session = session
        self._ends_at = anyio.current_time() + request.deadline_s
        self._response: aiohttp.ClientResponse | None = None
        self._watch: _Watch | None = None
        self._failures = failures
        self._key = ""
        self._received = 0

    async def send(self, body: Sequence[bytes], key: str, headers: Mapping[str, str]) -> None:
        """`key` is what no error may show. Raises: ProviderDown (no answer), or the refusal that the answer is."""
        self._key = key
        more = dict(headers)
        data = body[0]
        if len(body) > 1:
            more["Content-Length"] = str(sum(map(len, body)))  # Else it would be sent chunked, which not all take.
            data = _one_after_another(body)
        limit_s = self._limit(self._waits.first_byte_s)
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + limit_s) as scope:
                self._response = await self._session.post(
                    self._asked.url, data=data, headers=more, allow_redirects=False
                )
                if self._response.status != HTTPStatus.OK:
                    await self._refuse(self._response)
        except self._failures as error:
            raise self._down(f"cannot be reached at {self._asked.url}: {_reason(error)}", "network") from error
        except TimeoutError as error:
            raise self._late(f"did not answer within {limit_s:g} s") from error
        if scope.cancelled_caught or self._response is None:
            raise self._late(f"did not answer within {limit_s:g} s")
        self._watch = _Watch(self._response)

    async def events(self, assembly: Assembling) -> AsyncIterator[ModelEvent]:
        """What `assembly` makes of the response; the reply is the last. Raises: ProviderDown, Invalid."""
        response = self._response
        assert response is not None, "events() follows send()"
        if response.content_type == "application/json":  # A server that does not stream.
            for event in assembly.take([await self._whole()]):
                yield event
        else:
            reader = EventReader()
            wait_s = self._waits.first_byte_s
            while not (reader.done or assembly.ended) and (chunk := await self._read(wait_s, assembly)):
                for event in assembly.take(reader.feed(chunk)):
                    yield event
                wait_s = min(self._waits.idle_s, _AFTER_FINISH_S) if assembly.finished else self._waits.idle_s
            for event in assembly.take(reader.close()):
                yield event
            if not (assembly.finished or assembly.ended or reader.done):
                raise self._down("broke off before its reply was whole", "network")
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

    async def _whole(self) -> dict[str, Any]:
        parts: list[bytes] = []
        while chunk := await self._read(self._waits.first_byte_s, None):
            parts.append(chunk)
        try:
            value: object = json.loads(b"".join(parts))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise self._down("answered 200 with a body that is no JSON object", "malformed")
        return cast("dict[str, Any]", value)

    async def _read(self, wait_s: float, assembly: Assembling | None) -> bytes:
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
            raise self._down(f"dropped the connection: {_reason(error)}", "network") from error
        self._received += len(chunk)
        if self._received > REPLY_BYTES_MAX:
            raise self._down(f"sent a reply of more than {REPLY_BYTES_MAX} bytes", "malformed")
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

    def _late(self, said: str) -> TimedOut | DeadlinePassed:
        if anyio.current_time() >= self._ends_at:
            return DeadlinePassed(
                f"{self._asked.provider} did not finish within {self._request.deadline_s:g} s",
                remedy="allow the model more time, or ask it for less",
            )
        return TimedOut(
            f"{self._asked.provider} {said}",
            remedy=f"try again; a slow model wants longer waits: see providers.{self._asked.provider}.first_byte_s",
            kind="timeout",
        )

    def _down(self, said: str, kind: DownKind) -> ProviderDown:
        remedy = "try again; check base_url and the network"
        return ProviderDown(f"{self._asked.provider} {said}", remedy=remedy, kind=kind)


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
