"""Entries and live events as a stream of JSON.

Guarantees: an entry is one event whose id is its number, so who comes back with `Last-Event-ID` misses none and
sees none twice; what is not on record (text as it is written) has no id. Each frame is of what the user may
see, decided as it is sent. A client that reads too slowly is let go and comes back by itself. A stream ends
after STREAM_S, so that one which nobody reads any more behind a proxy is not kept for good.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import aclosing
from typing import Annotated, Any, Final

import anyio
from pydantic import Field

from kernel.journal.entry import Entry
from kernel.runtime.live import LiveProgress, LiveReasoning, LiveText
from webui import sse
from webui.desk import Desk
from webui.rest.shapes import SEQ_MAX, Asked
from webui.stream import Frame, Sight

STREAM_S: Final = 900.0
KINDS_MAX: Final = 40


class EventQuery(Asked):
    kinds: Annotated[
        str,
        Field(
            max_length=2_000,
            pattern=r"^[a-z_.*,]*$",
            description="Only these, with commas between: `run.finished`, `call.*`, `live.text`, `live.*`.",
            examples=["run.*,call.outcome"],
        ),
    ] = ""
    after: Annotated[
        int | None,
        Field(
            ge=0, le=SEQ_MAX, description="Begin after this entry; left out: with what comes. `Last-Event-ID` beats it."
        ),
    ] = None


def stream(desk: Desk, query: EventQuery, last_event_id: str | None, wants: Sight) -> sse.EventAnswer:
    """What happens in the streams that `wants` takes."""
    since = sse.last_id(last_event_id)
    after = query.after if since is None else since
    chosen = _chooser(query.kinds)

    async def write(put: sse.Put) -> None:
        with anyio.move_on_after(STREAM_S):
            async with aclosing(desk.house.hub.follow(desk.seeing, wants, after)) as frames:
                async for frame in frames:
                    kind, data, seq = told(frame)
                    if chosen(kind):
                        await put(sse.encode(kind, json.dumps(data, ensure_ascii=False), seq))

    return sse.EventAnswer(write)


def told(frame: Frame) -> tuple[str, dict[str, Any], int | None]:
    """Its kind, what it says, and its number where it is an entry."""
    match frame:
        case Entry():
            return frame.kind, frame.json(), frame.seq
        case LiveText():
            return "live.text", {"run": frame.run, "text": frame.text}, None
        case LiveReasoning():
            return "live.reasoning", {"run": frame.run, "text": frame.text}, None
        case LiveProgress():
            return "live.progress", {"run": frame.run, "call": frame.call, "text": frame.text}, None
        case _:
            return "live.asked", {"run": frame.run}, None


def _chooser(kinds: str) -> Callable[[str], bool]:
    words = [word for word in kinds.split(",") if word][:KINDS_MAX]
    exact = {word for word in words if not word.endswith("*")}
    starts = tuple(word.rstrip("*") for word in words if word.endswith("*"))
    return lambda kind: not words or kind in exact or (bool(starts) and kind.startswith(starts))
