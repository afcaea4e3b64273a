"""Server-sent events on the wire.

Guarantees: the headers go out at once; a silent stream says something every HEARTBEAT_S, so that both
sides notice a dead connection; when the browser goes, the writer is cancelled. A writer whose follower
lagged, or whose browser takes nothing for STALLED_S, ends, and the browser comes back by itself with the id of
the last event it got. It ends at once when its reader may not stay (`webui.security.stays`): removed, revoked, signed
out, in another role; and within HEARTBEAT_S when what they came in with has run out.

Source: HTML standard, 9.2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, cast

import anyio
from litestar.connection import ASGIConnection
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from webui.security.doors import Doors
from webui.security.visitor import Visitor
from webui.stream import Lagged

HEARTBEAT_S: Final = 15.0
STALLED_S: Final = 20.0
"""A browser that takes nothing for so long is let go."""
RETRY_MS: Final = 1_000
_GOODBYE_S: Final = 1.0
_HELLO: Final = f"retry: {RETRY_MS}\n: connected\n\n".encode()
_BEAT: Final = b": alive\n\n"
_ID_DIGITS_MAX: Final = 18

Put: TypeAlias = Callable[[bytes], Awaitable[None]]
Writer: TypeAlias = Callable[[Put], Awaitable[None]]


def encode(event: str, data: str, seq: int | None = None) -> bytes:
    """One event; every line of the data is one of its lines."""
    head = f"id: {seq}\nevent: {event}\n" if seq is not None else f"event: {event}\n"
    lines = "".join(f"data: {line}\n" for line in data.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    return f"{head}{lines}\n".encode()


def last_id(text: str | None) -> int | None:
    """Of `Last-Event-ID`; None where there is none, or none of ours."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX else None


class EventAnswer(ASGIResponse):
    """Runs `write` until it ends, raises Lagged, the browser goes, or who it is for may not stay."""

    _should_set_content_length = False

    def __init__(self, write: Writer, hello: bytes = _HELLO) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(media_type="text/event-stream", headers=headers, status_code=200)
        self._write = write
        self._hello = hello
        self._reader: tuple[Doors, Visitor]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        self._reader = connection.app.state.house.doors, cast("Visitor", connection.state["visitor"])
        await super().__call__(scope, receive, send)

    async def send_body(self, send: Send, receive: Receive) -> None:
        async def put(chunk: bytes) -> None:
            with anyio.move_on_after(STALLED_S) as stalled:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if stalled.cancelled_caught:
                raise Lagged

        doors, visitor = self._reader
        async with anyio.create_task_group() as group:
            group.start_soon(_gone, receive, group.cancel_scope)
            group.start_soon(_beat, put, lambda: doors.stays.still(visitor), group.cancel_scope)
            with doors.stays.staying(visitor, group.cancel_scope):
                try:
                    await put(self._hello)
                    await self._write(put)
                except Lagged:
                    pass
                finally:
                    group.cancel_scope.cancel()
        with anyio.move_on_after(_GOODBYE_S):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    scope.cancel()


async def _beat(put: Put, still: Callable[[], bool], scope: anyio.CancelScope) -> None:
    """Until nobody takes it, or the reader may not stay."""
    try:
        await anyio.sleep(HEARTBEAT_S)
        while still():
            await put(_BEAT)
            await anyio.sleep(HEARTBEAT_S)
    except Lagged:
        pass
    scope.cancel()
