"""HEAD: what GET would be answered with, without it.

Guarantees: whatever can be read answers to HEAD with the status and the headers of its GET, a stream of events too,
which ends there.

Source: RFC 9110, 9.3.2.
"""

from __future__ import annotations

from typing import cast

import anyio
from litestar.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    """Around the whole application: it knows GET alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        with anyio.CancelScope() as whole:

            async def head(message: Message) -> None:
                if message["type"] == "http.response.body":
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    whole.cancel()
                else:
                    await send(message)

            await self.app(cast("Scope", {**scope, "method": "GET"}), receive, head)
