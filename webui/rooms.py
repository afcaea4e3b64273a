"""A session that somebody looks at: one transcript, drawn once, sent to every browser that is open on it.

Guarantees: a room holds its transcript only while somebody is in it (and LINGER_S longer). An element
is drawn once an entry, however many look. A browser that comes back with the id of its newest entry is
given what changed since, and nothing that it has; one that reads too slowly is let go and comes back.

Source: RFC-0015.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.abc import TaskGroup

from kernel.boot import Kernel
from kernel.journal.entry import Entry
from kernel.log import get_logger
from kernel.runtime.live import LiveEvent, LiveProgress, LiveReasoning, LiveText
from ouroboros.ahead import ReplyAhead
from ouroboros.session import REWOUND, Session
from ouroboros.sessionglance import Glance
from webui import sse
from webui.asker import WebAsker
from webui.conversations import Conversations
from webui.drawing import Drawing
from webui.items import CallItem, Item, MessageItem, PhaseItem, StepItem
from webui.markdown import draft_html
from webui.record import of_session
from webui.stream import Asked, Follower, Frame, Hub, Lagged, everything
from webui.templates import Views
from webui.transcript import Transcript
from webui.underway import Underway
from webui.viewer import Viewer
from webui.writing import Writing

TURNS_SHOWN: Final = 20
TURNS_KEPT: Final = 2 * TURNS_SHOWN
"""However long a room is open; of what is older a browser hears no more until it loads the page again."""
LINGER_S: Final = 20.0
TITLE_CHARS_MAX: Final = 80
_log = get_logger("rooms")


class Room:
    """One session's page, alive."""

    def __init__(self, rooms: Rooms, seen: Glance) -> None:
        self.id = seen.session.id
        self.page = Transcript()
        self.viewers: set[Viewer] = set()
        self.drawing = Drawing(rooms.kernel, rooms.asker, rooms.views, seen.session)
        self._seen = seen
        self._rooms = rooms
        self._ahead = ""
        self._underway = Underway()
        self._writing = Writing(rooms.kernel.clock)
        self.loaded = anyio.Event()

    @property
    def session(self) -> Session:
        """As its conversation has it, where that is open; else with its newest turn alone."""
        return self._rooms.talks.session(self.id) or self._seen.session

    async def live(self) -> None:
        """Load, then follow the kernel until nobody has looked for LINGER_S."""
        rooms = self._rooms
        try:
            with rooms.talks.watching(self.id, self._state_changed):
                async with rooms.hub.following(everything, (self.id,)) as follower:
                    # With no wait since then: what is said from here on comes to the follower.
                    heard, known = rooms.hub.underway, rooms.hub.account
                    ours = [run for run in heard.runs() if self.id in {run, known(run)}]
                    self._underway.take_over(heard, ours)
                    loaded = await of_session(rooms.kernel.journal, self.id, turns=TURNS_SHOWN)
                    self.page = loaded.page
                    self._underway.take_over(heard, [run for run in loaded.runs if known(run) != self.id])
                    rooms.hub.watch_too(follower, loaded.runs)
                    self.drawing.names.update(loaded.names)
                    self.loaded.set()
                    while await self._next(follower):
                        self._write()
        except Lagged:
            _log.info("room_lagged", session=self.id)  # or the server ends; viewers come back
        finally:
            rooms.leave(self)
            self.loaded.set()
            for viewer in self.viewers:
                viewer.lose()

    async def _next(self, follower: Follower) -> bool:
        """Take what comes, or wait until something is to be drawn; False where nobody has looked for LINGER_S."""
        wait_s = self._writing.wait_s()
        with anyio.move_on_after(LINGER_S if wait_s is None else wait_s) as idle:
            self._take(await follower.waiting())
        return bool(self.viewers) or wait_s is not None or not idle.cancelled_caught

    @asynccontextmanager
    async def viewing(self, after: int) -> AsyncGenerator[Viewer]:
        """A browser that has seen entries up to `after`."""
        await self.loaded.wait()
        viewer = Viewer()
        self.viewers.add(viewer)
        missed = self.page.since(after)
        if missed:
            viewer.put(sse.encode("item", self._drawn(missed), self.page.seq))
        saying = [item for item in self.page.items.values() if item.seq <= after and self._is_saying(item)]
        if saying:
            viewer.put(sse.encode("item", self._drawn(saying)))
        viewer.put(self._state())
        try:
            yield viewer
        finally:
            self.viewers.discard(viewer)

    def _take(self, frames: Sequence[Frame]) -> None:
        """What came together: an element that several entries changed is drawn once."""
        changed: dict[str, Item] = {}
        said = False
        for frame in frames:
            if isinstance(frame, Entry) and frame.kind != REWOUND:
                changed.update((item.id, item) for item in self._entry(frame))
                said = said or frame.stream == self.id
                continue
            self._flush(changed)
            self._other(frame)
        self._flush(changed)
        if said:
            self._state_changed()

    def _flush(self, changed: dict[str, Item]) -> None:
        self._show(changed.values(), self.page.seq)
        changed.clear()

    def _other(self, frame: Frame) -> None:
        match frame:
            case Entry():
                self._entry(frame)
                self._send(sse.encode("redraw", "", frame.seq))
                self._state_changed()
            case Asked():
                asking = [item for item in self.page.items.values() if isinstance(item, CallItem)]
                self._show([item for item in asking if item.run == frame.run and item.tool == "ask_user"][-1:])
            case LiveText() | LiveReasoning() | LiveProgress():
                self._underway.hear(frame)
                self._live(frame)

    def _live(self, event: LiveEvent) -> None:
        match event:
            case LiveText() if event.run == self.id:
                if phase := self._assessing():
                    self._writing.changed(phase.id, self.id)
            case LiveText():
                self._writing.changed(self._speaking(event), event.run)
            case LiveReasoning():
                if event.run != self.id:
                    self._say("reasoning", {"id": self._speaking(event), "text": event.text})
            case LiveProgress():
                call = self.page.call(event.call)
                if call is not None:
                    self._say("progress", {"id": call.id, "text": event.text})

    def _write(self) -> None:
        """Replies as they read now, in the elements where they are written."""
        taken = self._writing.take()
        for element, stream in taken.items():
            if self.viewers and (text := self._written(stream)):
                self._say("prose", {"id": element, "html": draft_html(text)})
        if taken:
            self._writing.drawn()

    def _written(self, stream: str) -> str:
        """What of a reply is there before its entry; nothing where that came."""
        text, _ = self._underway.reply(stream)
        return text if stream != self.id else ReplyAhead().feed(text)

    def _assessing(self) -> PhaseItem | None:
        """The phase whose answer may be the reply itself; with files, the message will be a task whatever it says."""
        phase = self.page.phase(self.id)
        if phase is None or phase.phase != "assess" or phase.state != "running":
            return None
        newest = reversed(self.page.items.values())
        goal = next((item for item in newest if isinstance(item, MessageItem) and item.said == "goal"), None)
        return None if goal is not None and goal.attachments else phase

    def _speaking(self, event: LiveText | LiveReasoning) -> str:
        """The element of the reply that is being written; shown ahead of its entry, which may be on its way."""
        run, step = event.run, self.page.step(event.run)
        if step is not None and not step.replied and event.round <= step.round:
            return step.id
        number = step.number + 1 if step is not None else 1
        ahead = StepItem(f"step-{run}-{number}", self.page.seq + 1, 0, 0, run=run, number=number)
        if self._ahead != ahead.id:
            self._ahead = ahead.id
            self._show([ahead])
        return ahead.id

    def _entry(self, entry: Entry) -> list[Item]:
        if entry.stream == self.id and self._seen.session is not self._rooms.talks.session(self.id):
            self._seen.session.apply_entry(entry)
        self._underway.settle(entry)
        if entry.kind == "model.reply" and not self._underway.reply(entry.stream)[0]:
            self._writing.over(entry.stream)
        if entry.seq <= self.page.seq:
            return []
        turn = self.page.turn
        changed = self.page.apply(entry)
        if self.page.turn > turn:
            self.page.forget(self.page.turn - TURNS_KEPT)
        return changed

    def _show(self, items: Iterable[Item], seq: int | None = None) -> None:
        shown = list(items)
        if shown and self.viewers:
            self._send(sse.encode("item", self._drawn(shown), seq))

    def _drawn(self, items: Iterable[Item]) -> str:
        """Elements with what was said ahead of their entries."""
        shown = list(items)
        for item in shown:
            self._is_saying(item)
        return self.drawing.draw(shown)

    def _is_saying(self, item: Item) -> bool:
        """Whether something was said for it ahead of its entry, which it then has."""
        match item:
            case StepItem(replied=False):
                item.text, item.reasoning = self._underway.reply(item.run)
                return bool(item.text or item.reasoning)
            case PhaseItem(phase="assess", state="running") if item is self._assessing():
                item.reply = self._written(self.id)
                return bool(item.reply)
            case CallItem(state="running"):
                item.text = self._underway.output(item.run, item.call)
                return bool(item.text)
            case _:
                return False

    def _say(self, event: str, data: dict[str, str]) -> None:
        if self.viewers:
            self._send(sse.encode(event, json.dumps(data, ensure_ascii=False)))

    def _state_changed(self) -> None:
        if self.viewers:
            self._send(self._state())

    def _state(self) -> bytes:
        """What the composer needs: is a turn under way, what waits."""
        turn, talk = self.session.turn, self._rooms.talks.find(self.id)
        state = {
            "busy": talk is not None and talk.busy,
            "waiting": turn.status if turn is not None else "",
            "queued": [said.text for said in talk.queue] if talk is not None else [],
            "title": self._title(),
        }
        return sse.encode("state", json.dumps(state, ensure_ascii=False))

    def _title(self) -> str:
        """A session that begins here gets its title from its first message."""
        opening = self._seen.opening or (self.session.turns[0].message if self.session.turns else "")
        return title_from(self.session.name, opening)

    def _send(self, event: bytes) -> None:
        for viewer in self.viewers:
            viewer.put(event)


def title_of(session: Session) -> str:
    """Its name, else the beginning of its first message."""
    return title_from(session.name, session.turns[0].message if session.turns else "")


def title_from(name: str, opening: str) -> str:
    return name or " ".join(opening.split())[:TITLE_CHARS_MAX] or "New session"


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
        self.talks = talks
        self._rooms: dict[str, Room] = {}

    async def enter(self, seen: Glance) -> Room:
        """The session's room, loaded."""
        room = self._rooms.get(seen.session.id)
        if room is None:
            room = self._rooms[seen.session.id] = Room(self, seen)
            self._tasks.start_soon(room.live)
        await room.loaded.wait()
        return room

    def page(self, session: str) -> Transcript | None:
        """What of the session is shown where somebody is in its room, with nothing read for it."""
        room = self._rooms.get(session)
        return room.page if room is not None and room.loaded.is_set() else None

    def leave(self, room: Room) -> None:
        if self._rooms.get(room.id) is room:
            del self._rooms[room.id]
