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

from kernel.adapters.providers.form import EVENTS, form_of
from kernel.adapters.providers.network import Faults, base_url_of, unreachable
from kernel.adapters.providers.refusal import Asked, refusal, shown
from kernel.adapters.providers.sse import EventReader
from kernel.errors import DeadlinePassed, DownKind, ProviderDown
from kernel.ports.provider import ModelEvent, ModelRequest, NoModelServer, Reply, TimedOut, Waits

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

    begun: bool
    """Something of this format came."""

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
        faults: Faults,
        *,
        proxy: str | None = None,
    ) -> None:
        self._waits = waits
        self._asked = asked
        self._request = request
        self._session = session
        self._now = asyncio.get_running_loop().time  # anyio's own looks for its loop each time.
        self._ends_at = self._now() + request.deadline_s
        self._response: aiohttp.ClientResponse | None = None
        self._watch: _Watch | None = None
        self._faults = faults
        self._proxy = proxy
        self._key = ""
        self._received = 0

    async def send(self, body: Sequence[bytes], key: str, headers: Mapping[str, str]) -> None:
        """`key` is what no error may show.

        Raises: Unreachable (nothing was sent), ProviderDown, or the refusal that the answer is.
        """
        self._key = key
        more = dict(headers)
        data = body[0]
        if len(body) > 1:
            more["Content-Length"] = str(sum(map(len, body)))  # Else it would be sent chunked, which not all take.
            data = _one_after_another(body)
        limit_s = self._limit(self._waits.first_byte_s)
        try:
            with anyio.CancelScope(deadline=self._now() + limit_s) as scope:
                self._response = await self._session.post(
                    self._asked.url, data=data, headers=more, allow_redirects=False, proxy=self._proxy
                )
                if self._response.status != HTTPStatus.OK:
                    await self._refuse(self._response)
        except self._faults.unreached as error:
            raise unreachable(self._asked.provider, self._asked.url, error) from error
        except self._faults.lost as error:
            raise self._down(f"did not answer as a server does: {_reason(error)}", "network") from error
        except TimeoutError as error:
            raise self._late(f"did not answer within {limit_s:g} s") from error
        if scope.cancelled_caught or self._response is None:
            raise self._late(f"did not answer within {limit_s:g} s")
        self._watch = _Watch(self._response)

    async def events(self, assembly: Assembling) -> AsyncIterator[ModelEvent]:
        """What `assembly` makes of the response; the reply is the last. Raises: ProviderDown, Invalid."""
        response = self._response
        assert response is not None, "events() follows send()"
        chunk = await self._read(self._waits.first_byte_s, assembly)
        form = form_of(response.content_type, chunk)
        if form == "page":
            raise self._no_server(chunk, page=True)
        whole = form == "object"  # A server that does not stream, or an error that came without its event.
        first, reader = chunk, EventReader()
        if whole:
            first = await self._whole(chunk)
            for event in assembly.take([self._object(first)]):
                yield event
        else:
            while chunk:
                for event in assembly.take(reader.feed(chunk)):
                    yield event
                if reader.done or assembly.ended:
                    break
                wait_s = min(self._waits.idle_s, _AFTER_FINISH_S) if assembly.finished else self._waits.idle_s
                chunk = await self._read(wait_s, assembly)
            for event in assembly.take(reader.close()):
                yield event
        spoke = whole or reader.heard
        if not assembly.begun and (spoke or (first and response.content_type != EVENTS)):
            raise self._no_server(first, page=not spoke)
        if not (whole or assembly.finished or assembly.ended or reader.done):
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

    async def _whole(self, first: bytes) -> bytes:
        parts = [first]
        while chunk := await self._read(self._waits.first_byte_s, None):
            parts.append(chunk)
        return b"".join(parts)

    def _object(self, body: bytes) -> dict[str, Any]:
        try:
            value: object = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise self._down(f"answered 200 with a body that is no JSON object: {shown(body)!r}", "malformed")
        return cast("dict[str, Any]", value)

    async def _read(self, wait_s: float, assembly: Assembling | None) -> bytes:
        """The next bytes; none at the end. An end by failure counts where the reply is whole."""
        assert self._response is not None, "reading follows sending"
        assert self._watch is not None, "a response has its watch"
        limit_s = self._limit(wait_s)
        self._watch.expect_within(limit_s)
        try:
            chunk = await self._response.content.readany()
        except self._faults.lost as error:
            if assembly is not None and assembly.finished:
                return b""
            if self._watch.late:
                raise self._late(f"was silent for {limit_s:g} s") from error
            raise self._down(f"dropped the connection: {_reason(error.__cause__ or error)}", "network") from error
        self._received += len(chunk)
        if self._received > REPLY_BYTES_MAX:
            raise self._down(f"sent a reply of more than {REPLY_BYTES_MAX} bytes", "malformed")
        return chunk

    def _no_server(self, body: bytes, *, page: bool) -> NoModelServer:
        assert self._response is not None, "an answer was read"
        name, sort = self._asked.provider, self._response.content_type
        said = f"{name} answered 200 with {sort} that is no model's reply: {shown(body)!r}"
        remedy = f"check {base_url_of(name)} and its kind: who answers at {self._asked.url} is no such model server"
        return NoModelServer(said, remedy=remedy, page=page)

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
        except self._faults.lost:
            response.close()  # The reply is whole; only the connection is lost.

    def _limit(self, wait_s: float) -> float:
        return max(0.0, min(wait_s, self._ends_at - self._now()))

    def _late(self, said: str) -> TimedOut | DeadlinePassed:
        if self._now() >= self._ends_at:
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
        remedy = f"try again; check {base_url_of(self._asked.provider)} and the network"
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


def _reason(error: BaseException) -> str:
    said = getattr(error, "message", "")
    words = said if said and isinstance(said, str) else str(error) or type(error).__name__
    return " ".join(words.split()).rstrip(".")


async def _one_after_another(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
