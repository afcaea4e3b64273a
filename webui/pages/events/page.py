"""`/events`: which topics changed, so that a page's regions ask for themselves again.

Guarantees: after a reconnect with a `Last-Event-ID` that is not the newest, every topic is told once:
a region that is drawn again loses nothing. However much happens, a topic is told once each TICK_S.
"""

from __future__ import annotations

from typing import Any, Final

import anyio
from litestar import Request, get

from webui import sse
from webui.desk import Desk
from webui.stream import TOPICS

NAV = None
TICK_S: Final = 0.3


@get("/events", include_in_schema=False)
async def events(desk: Desk, request: Request[Any, Any, Any]) -> sse.EventAnswer:
    desk.user  # noqa: B018 -- refuses strangers
    after = sse.last_id(request.headers.get("last-event-id"))
    hub = desk.house.hub

    async def write(put: sse.Put) -> None:
        async with hub.topics(desk.sees) as follower:
            if after is not None and after < hub.seq:
                for topic in TOPICS:
                    await put(sse.encode(topic, "", hub.seq))
            while True:
                seq, topics = await follower.changed()
                for topic in topics:
                    await put(sse.encode(topic, "", seq))
                await anyio.sleep(TICK_S)

    return sse.EventAnswer(write)


ROUTES = [events]
