"""`/events`: which topics changed, so that a page's regions ask for themselves again.

Guarantees: after a reconnect with a `Last-Event-ID` that is not the newest, every topic is told once:
a region that is drawn again loses nothing. However much happens, a topic is told once a tick.
"""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.params import FromQuery

from webui import sse
from webui.desk import Desk

NAV = None


@get("/events", include_in_schema=False)
async def events(desk: Desk, request: Request[Any, Any, Any], after: FromQuery[int | None] = None) -> sse.EventAnswer:
    """From entry `after`, up to which the page was drawn; a browser that comes back says itself what it had."""
    audiences, who, sees = desk.house.audiences, desk.user.principal, desk.seeing
    since = sse.last_id(request.headers.get("last-event-id"))

    async def write(put: sse.Put) -> None:
        async with audiences.joined(who, sees, after if since is None else since) as listener:
            while True:
                await put(await listener.next())

    return sse.EventAnswer(write)


ROUTES = [events]
