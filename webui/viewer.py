"""One browser's bounded queue of encoded events.

Guarantees: what waits for a browser that does not read is bounded; the events themselves are shared by all whom
they go to. Who is let go comes back by itself, with the number of the newest entry that it got.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import anyio

from webui.stream import Lagged

VIEWER_BYTES_MAX: Final = 1024 * 1024
"""That wait for one browser; a single event may be larger."""


@dataclass(slots=True, eq=False)
class Viewer:
    """One browser's bounded queue of encoded events."""

    events: deque[bytes] = field(default_factory=deque[bytes])
    waiting_bytes: int = 0
    ready: anyio.Event = field(default_factory=anyio.Event)
    lost: bool = False

    def put(self, event: bytes) -> None:
        if self.lost:
            return
        if self.events and self.waiting_bytes + len(event) > VIEWER_BYTES_MAX:
            self.lose()
            return
        self.waiting_bytes += len(event)
        self.events.append(event)
        self.ready.set()

    def lose(self) -> None:
        """Let the browser go: it comes back with the number of the newest entry that it got."""
        self.lost = True
        self.events.clear()
        self.waiting_bytes = 0
        self.ready.set()

    async def next(self) -> bytes:
        """Everything that waits, at once. Raises: Lagged."""
        while not self.events:
            if self.lost:
                raise Lagged
            self.ready = anyio.Event()
            await self.ready.wait()
        waiting = b"".join(self.events)
        self.events.clear()
        self.waiting_bytes = 0
        return waiting
