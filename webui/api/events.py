"""What happens, as server-sent events: of everything the user may see, or of one run."""

from __future__ import annotations

from typing import Any

from litestar import Request

from webui import sse
from webui.desk import Desk
from webui.rest.events import EventQuery, stream
from webui.rest.operation import STREAM, operation
from webui.rest.shapes import Id
from webui.stream import everything


@operation("GET", "/api/events", "events_all", media=STREAM)
async def events_all(desk: Desk, request: Request[Any, Any, Any], query: EventQuery) -> sse.EventAnswer:
    """Entries as they are committed, and what is written meanwhile.

    An entry's event is named by its kind and has its number as id: come back with `Last-Event-ID` and none is
    missed or repeated. Events named `live.…` have no id: they are ahead of the record, and replaced by it.
    """
    return stream(desk, query, request.headers.get("last-event-id"), everything)


@operation("GET", "/api/runs/{run}/events", "events_run", media=STREAM)
async def events_run(desk: Desk, request: Request[Any, Any, Any], run: Id, query: EventQuery) -> sse.EventAnswer:
    """The same of one run. With `after=0` it begins at the run's first entry."""
    await desk.run(run)
    return stream(desk, query, request.headers.get("last-event-id"), lambda name: name == run)


ROUTES = [events_all, events_run]
