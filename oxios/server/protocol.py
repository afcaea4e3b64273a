"""One connection of HTTP, whose other end may not keep us waiting.

Guarantees: a connection that is open and asks for nothing is let go after HEAD_S; so is one whose request's head
is not whole by then, or grows beyond HEAD_BYTES_MAX, and one whose body comes slower than BODY_BYTES_MIN in each
BODY_S, while somebody waits for it. At most `room()` connections are open, so that descriptors are left for the
journal and for agents; one more is closed at once.
Does not bound how long an answer is read: `http` does, and streams of events do it themselves.

Source: RFC 9110, 15.5.9 (408); RFC 6585, 5 (431).
"""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import httptools

HEAD_S: Final = 10.0
HEAD_BYTES_MAX: Final = 64 * 1024
BODY_S: Final = 20.0
BODY_BYTES_MIN: Final = 16 * 1024
CONNECTIONS_MAX: Final = 4_096
SPARED: Final = 256
"""Descriptors that connections leave for everything else."""
_LATE: Final = b"408 Request Timeout"
_LARGE: Final = b"431 Request Header Fields Too Large"


WANTED: Final = 16_384
"""Descriptors: for all connections, and for a thousand commands of agents at once."""


def widen() -> None:
    """Take as many descriptors as are wanted and the system allows: many systems give a process 1,024 to begin with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def room() -> int:
    """How many connections may be open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(CONNECTIONS_MAX, max(1, soft - SPARED)) if soft != resource.RLIM_INFINITY else CONNECTIONS_MAX


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's, with bounds."""

    parser: httptools.HttpRequestParser

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._pace: asyncio.TimerHandle | None = None
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > room():
            transport.abort()
        else:
            self._head = self.loop.call_later(HEAD_S, self._let_go, _LATE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head is None and not self._under_way():
            self._head = self.loop.call_later(HEAD_S, self._let_go, _LATE)
        self._head_bytes += len(data)
        super().data_received(data)
        if self._pace is None and self._head_bytes > HEAD_BYTES_MAX:
            self._let_go(_LARGE)

    def on_headers_complete(self) -> None:
        self._stop_timers()
        super().on_headers_complete()
        self._head_bytes = self._body_bytes = 0
        self._pace = self.loop.call_later(BODY_S, self._look_at_body)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_timers()
        self._head_bytes = 0
        super().on_message_complete()

    def _under_way(self) -> bool:
        """Whether a request is carried out, or its body comes."""
        return self._pace is not None or not self._answered()

    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison] -- it is None before the first request

    def _look_at_body(self) -> None:
        """What we do not read ourselves is nobody's delay."""
        if self._body_bytes < BODY_BYTES_MIN and not self.flow.read_paused:
            self._let_go(_LATE)
            return
        self._body_bytes = 0
        self._pace = self.loop.call_later(BODY_S, self._look_at_body)

    def _let_go(self, status: bytes) -> None:
        self._stop_timers()
        if self.transport.is_closing():
            return
        if self._answered() or not self.cycle.response_started:
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()

    def _stop_timers(self) -> None:
        for timer in (self._head, self._pace):
            if timer is not None:
                timer.cancel()
        self._head = self._pace = None
