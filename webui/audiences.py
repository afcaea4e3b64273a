"""Browsers that hear which regions of a page changed: those of one user together.

Guarantees: what a tick tells is decided, put together and encoded once a user, however many browsers; each of
them gets the same bytes. The more browsers, the longer a tick, and they are told a few at a time, so that
hundreds of them hold up nothing else. Who comes back without the newest entry is told every topic.

Source: RFC-0015.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import TaskGroup

from kernel.ids import Principal
from webui import sse
from webui.stream import TOPICS, Hub, Lagged, Sight
from webui.viewer import Viewer

TICK_S: Final = 0.3
EACH_S: Final = 0.002
"""Of a tick, for each browser: a thousand are told every two seconds."""
AT_ONCE: Final = 25
_PAUSE_S: Final = 0.005


@dataclass(slots=True, eq=False)
class Audience:
    """The browsers of one user."""

    sees: Sight
    since: int
    """What was the newest entry when the first came."""
    viewers: set[Viewer] = field(default_factory=set[Viewer])

    def lose(self) -> None:
        for viewer in self.viewers:
            viewer.lose()


class Audiences:
    """By user; one task each while anybody listens."""

    def __init__(self, hub: Hub, tasks: TaskGroup) -> None:
        self._hub = hub
        self._tasks = tasks
        self._audiences: dict[Principal, Audience] = {}

    @asynccontextmanager
    async def joined(self, who: Principal, sees: Sight, after: int | None = None) -> AsyncGenerator[Viewer]:
        """A browser's queue; `after` is the newest entry that it heard of, None for one that is new."""
        viewer = Viewer()
        if after is not None and after < self._hub.seq:
            viewer.put(told(self._hub.seq, TOPICS))
        audience = self._audiences.get(who)
        if audience is None:
            audience = self._audiences[who] = Audience(sees, self._hub.seq)
            self._tasks.start_soon(self._tell, who, audience)
        audience.viewers.add(viewer)
        try:
            yield viewer
        finally:
            audience.viewers.discard(viewer)

    @property
    def listeners(self) -> int:
        return sum(len(one.viewers) for one in self._audiences.values())

    def tick_s(self) -> float:
        return max(TICK_S, EACH_S * self.listeners)

    async def _tell(self, who: Principal, audience: Audience) -> None:
        try:
            async with self._hub.topics(audience.sees) as follower:
                seq, topics = self._hub.seq, list(TOPICS if self._hub.seq > audience.since else ())
                while audience.viewers:
                    if not topics:
                        seq, topics = await follower.changed()
                    chunk = told(seq, topics)
                    for place, viewer in enumerate(tuple(audience.viewers), start=1):
                        viewer.put(chunk)
                        if place % AT_ONCE == 0:
                            await anyio.sleep(_PAUSE_S)
                    topics = []
                    await anyio.sleep(self.tick_s())
        except Lagged:
            pass  # The server ends.
        finally:
            if self._audiences.get(who) is audience:
                del self._audiences[who]
            audience.lose()


def told(seq: int, topics: tuple[str, ...] | list[str]) -> bytes:
    """Topics as events; each carries the number of the newest entry."""
    return b"".join(sse.encode(topic, "", seq) for topic in topics)
