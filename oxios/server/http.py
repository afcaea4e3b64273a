"""uvicorn as one task of ours: our socket, our signals, our end.

Guarantees: `end` lets answers under way finish for GRACE_S, then cuts them off; what fails ends the task group. Who
asks too slowly is let go (`protocol`), and so is who takes nothing of an answer for UNREAD_S.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Generator
from typing import TYPE_CHECKING, Final, cast

import anyio
import uvicorn

from kernel.errors import Unavailable
from oxios.server.protocol import BoundedProtocol
from webui.heads import Heads

if TYPE_CHECKING:
    from litestar import Litestar
    from uvicorn._types import ASGIApplication

GRACE_S: Final = 2
KEEP_ALIVE_S: Final = 60
BACKLOG: Final = 512
UNREAD_S: Final = 60


class HttpServer(uvicorn.Server):
    """Serves an application on a bound socket until `end`."""

    def __init__(self, app: Litestar, bound: socket.socket) -> None:
        config = uvicorn.Config(
            cast("ASGIApplication", Heads(app)),
            http=BoundedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            log_level="error",  # What strangers send that is no HTTP is answered 400, and no news.
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        logging.getLogger("asyncio").setLevel(logging.ERROR)  # A line for each write to who is gone, else.
        unread_ms = round(UNREAD_S * 1_000)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread_ms)  # each connection has it too
        self._bound = bound
        self.up = anyio.Event()
        self.ended = anyio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals are not uvicorn's: whoever owns the kernel hears them."""
        yield

    async def run_until_ended(self) -> None:
        """Raises: Unavailable, where it cannot start or stops by itself."""
        try:
            await self.serve([self._bound])
            self.ended.set()
        except SystemExit as error:
            raise Unavailable("the web server could not start", remedy="see what it logged before this") from error
        if not self.should_exit:
            raise Unavailable("the web server stopped by itself", remedy="see what it logged before this")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    def end(self) -> None:
        self.should_exit = True
