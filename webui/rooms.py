"""A session that somebody looks at: one transcript, drawn once, sent to every browser that is open on it.

Guarantees: a room holds its transcript only while somebody is in it (and LINGER_S longer). An element
is drawn once an entry, however many look. A browser that comes back with the id of its newest entry is
given what changed since, and nothing that it has; one that reads too slowly is let go and comes back.

Source: RFC-0015.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import TaskGroup

from kernel.boot import Kernel
from kernel.journal.entry import SYSTEM_STREAM, Entry
from kernel.log import get_logger
from kernel.runtime.live import LiveProgress, LiveReasoning, LiveText
from ouroboros.session import REWOUND, Session
from webui import sse
from webui.asker import WebAsker
from webui.conversations import Conversation, Conversations
from webui.drawing import Drawing
from webui.items import CallItem, Item, StepItem
from webui.record import of_session
from webui.stream import Asked, Frame, Hub, Lagged, everything
from webui.templates import Views
from webui.transcript import Transcript

TURNS_SHOWN: Final = 20
VIEWER_BYTES_MAX: Final = 8 * 1024 * 1024
LINGER_S: Final = 20.0
TITLE_CHARS_MAX: Final = 80
_log = get_logger("rooms")


@dataclass(slots=True, eq=False)
class Viewer:
    """One browser's bounded queue of encoded events."""

    events: deque[bytes] = field(default_factory=deque[bytes])
    waiting_bytes: int = 0
    ready: anyio.Event = field(default_factory=anyio.Event)
    lost: bool = False

    def put(self, event: bytes) -> None:
        self.waiting_bytes += len(event)
        if self.waiting_bytes > VIEWER_BYTES_MAX:
            self.lost = True
            self.events.clear()
        elif not self.lost:
            self.events.append(event)
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


class Room:
    """One session's page, alive."""

    def __init__(self, rooms: Rooms, session: Session, talk: Conversation) -> None:
        self.session = session
        self.talk = talk
        self.page = Transcript()
        self.viewers: set[Viewer] = set()
        self.drawing = Drawing(rooms.kernel, rooms.asker, rooms.views, session)
        self._rooms = rooms
        self._runs: set[str] = set()
        self._ahead = ""
        self.loaded = anyio.Event()

    async def live(self) -> None:
        """Load, then follow the kernel until nobody has looked for LINGER_S."""
        rooms = self._rooms
        self.talk.watchers.append(self._state_changed)
        try:
            async with rooms.hub.following(everything, self._wants) as follower:
                loaded = await of_session(rooms.kernel.journal, self.session, turns=TURNS_SHOWN)
                self.page, self._runs = loaded.page, {*self._runs, *loaded.runs}
                self.drawing.names.update(loaded.names)
                self.loaded.set()
                while True:
                    with anyio.move_on_after(LINGER_S) as idle:
                        self._take(await follower.next())
                    if idle.cancelled_caught and not self.viewers:
                        return
        except Lagged:
            _log.info("room_lagged", session=self.session.id)  # or the server ends; viewers come back
        finally:
            self.talk.watchers.remove(self._state_changed)
            rooms.leave(self)
            for viewer in self.viewers:
                viewer.put(b"")
                viewer.lost = True

    @asynccontextmanager
    async def viewing(self, after: int) -> AsyncGenerator[Viewer]:
        """A browser that has seen entries up to `after`."""
        await self.loaded.wait()
        viewer = Viewer()
        self.viewers.add(viewer)
        missed = self.page.since(after)
        if missed:
            viewer.put(sse.encode("item", self.drawing.draw(missed), self.page.seq))
        viewer.put(self._state())
        try:
            yield viewer
        finally:
            self.viewers.discard(viewer)

    def _wants(self, stream: str) -> bool:
        return (
            stream in (self.session.id, SYSTEM_STREAM)
            or stream in self._runs
            or self._rooms.hub.account(stream) == self.session.id
        )

    def _take(self, frame: Frame) -> None:
        match frame:
            case Entry():
                self._entry(frame)
            case LiveText() | LiveReasoning():
                kind = "text" if isinstance(frame, LiveText) else "reasoning"
                if frame.run != self.session.id:
                    self._say(kind, {"id": self._speaking(frame.run), "text": frame.text})
            case LiveProgress():
                call = self.page.call(frame.call)
                if call is not None:
                    self._say("progress", {"id": call.id, "text": frame.text})
            case Asked():
                asking = [item for item in self.page.items.values() if isinstance(item, CallItem)]
                self._show([item for item in asking if item.run == frame.run and item.tool == "ask_user"][-1:])

    def _speaking(self, run: str) -> str:
        """The element of the reply that is being written; shown ahead of its entry, which may be on its way."""
        step = self.page.step(run)
        if step is not None and not step.replied:
            return step.id
        number = step.number + 1 if step is not None else 1
        ahead = StepItem(f"step-{run}-{number}", self.page.seq + 1, 0, 0, run=run, number=number)
        if self._ahead != ahead.id:
            self._ahead = ahead.id
            self._show([ahead])
        return ahead.id

    def _entry(self, entry: Entry) -> None:
        if entry.seq <= self.page.seq or (entry.stream == SYSTEM_STREAM and entry.kind != "call.undone"):
            return
        changed = self.page.apply(entry)
        if entry.kind == REWOUND:
            self._send(sse.encode("redraw", "", entry.seq))
        self._show(changed, entry.seq)
        if entry.stream == self.session.id:
            self._state_changed()

    def _show(self, items: Iterable[Item], seq: int | None = None) -> None:
        shown = list(items)
        if shown and self.viewers:
            self._send(sse.encode("item", self.drawing.draw(shown), seq))

    def _say(self, event: str, data: dict[str, str]) -> None:
        if self.viewers:
            self._send(sse.encode(event, json.dumps(data, ensure_ascii=False)))

    def _state_changed(self) -> None:
        if self.viewers:
            self._send(self._state())

    def _state(self) -> bytes:
        """What the composer needs: is a turn under way, what waits."""
        turn = self.session.turn
        state = {
            "busy": self.talk.busy,
            "waiting": turn.status if turn is not None else "",
            "queued": [said.text for said in self.talk.queue],
            "title": title_of(self.session),
        }
        return sse.encode("state", json.dumps(state, ensure_ascii=False))

    def _send(self, event: bytes) -> None:
        for viewer in self.viewers:
            viewer.put(event)


def title_of(session: Session) -> str:
    """Its name, else the beginning of its first message."""
    opening = session.turns[0].message if session.turns else ""
    return session.name or " ".join(opening.split())[:TITLE_CHARS_MAX] or "New session"


class Rooms:
    """The rooms that somebody is in."""

    def __init__(
        self, kernel: Kernel, *, asker: WebAsker, tasks: TaskGroup, hub: Hub, talks: Conversations, views: Views
    ) -> None:
        self.kernel = kernel
        self.asker = asker
        self.hub = hub
        self.views = views
        self._tasks = tasks
        self._talks = talks
        self._rooms: dict[str, Room] = {}

    async def enter(self, session: Session) -> Room:
        """The session's room, loaded."""
        room = self._rooms.get(session.id)
        if room is None:
            talk = self._talks.of(session)
            room = self._rooms[session.id] = Room(self, talk.session, talk)
            self._tasks.start_soon(room.live)
        await room.loaded.wait()
        return room

    def leave(self, room: Room) -> None:
        if self._rooms.get(room.session.id) is room:
            del self._rooms[room.session.id]
