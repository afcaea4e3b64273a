"""From the journal to browsers: one subscriber, bounded queues, frames that carry the entry's number.

Guarantees: who follows from entry N gets every entry after it that it may see, once and in order, and
live events between them. A follower that reads too slowly is let go with `Lagged`: it comes back with
its last id and misses nothing. Live text that waits is put together, so it takes one place in the queue.
Owners of streams are learnt from the journal, so that what a user may see is decided without a wait.

Source: HTML standard, 9.2 server-sent events; RFC-0015.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, TypeVar, cast

import anyio

from kernel.boot import Kernel
from kernel.ids import Principal, RunId
from kernel.journal.entry import SYSTEM_STREAM, Entry
from kernel.runtime.live import LiveEvent, LiveProgress, LiveReasoning, LiveText
from webui.asker import WebAsker
from webui.underway import Underway

FOLLOWER_FRAMES_MAX: Final = 2_000
SIGHT_S: Final = 1.0
LIVE_TEXT_CHARS_MAX: Final = 64 * 1024
_CATCH_UP_ENTRIES: Final = 500
_STREAMS_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a person came or went; what waits now is asked of `WebAsker`."""

    run: RunId


Frame: TypeAlias = Entry | LiveEvent | Asked
Sight: TypeAlias = Callable[[str], bool]
"""Whether a stream may be seen."""


class Lagged(Exception):
    """This follower read too slowly, or the server is going: it is to come back with its last id."""


@dataclass(slots=True, eq=False)
class Follower:
    """One reader's bounded queue. With `streams` it is told of these and of their runs; without, of what it wants."""

    sees: Sight
    wants: Sight
    streams: frozenset[str] | None = None
    frames: deque[Frame] = field(default_factory=deque[Frame])
    ready: anyio.Event = field(default_factory=anyio.Event)
    lost: bool = False

    def put(self, frame: Frame) -> None:
        if self.lost:
            return
        if isinstance(frame, (LiveText, LiveReasoning, LiveProgress)) and self._joined(frame):
            return
        if len(self.frames) >= FOLLOWER_FRAMES_MAX:
            self.lose()
            return
        self.frames.append(frame)
        self.ready.set()

    def lose(self) -> None:
        self.lost = True
        self.frames.clear()
        self.ready.set()

    async def next(self) -> Frame:
        """Raises: Lagged."""
        while not self.frames:
            if self.lost:
                raise Lagged
            self.ready = anyio.Event()
            await self.ready.wait()
        return self.frames.popleft()

    async def waiting(self) -> list[Frame]:
        """All that waits, at least one. Raises: Lagged."""
        first = await self.next()
        rest = list(self.frames)
        self.frames.clear()
        return [first, *rest]

    def _joined(self, frame: LiveEvent) -> bool:
        last = self.frames[-1] if self.frames else None
        if type(last) is not type(frame) or last is None:
            return False
        before = cast("LiveEvent", last)
        if _place(before) != _place(frame) or len(before.text) > LIVE_TEXT_CHARS_MAX:
            return False
        self.frames[-1] = replace(before, text=before.text + frame.text)
        return True


@dataclass(slots=True, eq=False)
class TopicFollower(Follower):
    """Hears only which regions of a page changed; however much happens, it holds each topic once."""

    topics: set[str] = field(default_factory=set[str])
    seq: int = 0

    def put(self, frame: Frame) -> None:
        if not isinstance(frame, Entry):
            return
        self.seq = frame.seq
        changed = topics_of(frame) - self.topics
        if changed:
            self.topics |= changed
            self.ready.set()

    async def changed(self) -> tuple[int, list[str]]:
        """The newest entry's number, and the topics since the last call. Raises: Lagged."""
        while not self.topics:
            if self.lost:
                raise Lagged
            self.ready = anyio.Event()
            await self.ready.wait()
        topics = sorted(self.topics)
        self.topics.clear()
        return self.seq, topics


_NOBODY: set[Follower] = set()
AnyFollower = TypeVar("AnyFollower", bound=Follower)


class Hub:
    """The server's one listener of the kernel."""

    def __init__(self, kernel: Kernel, owners: dict[str, Principal]) -> None:
        self._kernel = kernel
        self._owners = owners
        self._accounts: dict[str, str] = {}
        self._followers: set[Follower] = set()
        self._of_all: set[Follower] = set()
        self._by_stream: dict[str, set[Follower]] = {}
        self._ends: list[Callable[[], None]] = []
        self.seq = kernel.journal.size
        """The newest entry that was heard of."""
        self.underway = Underway()
        """What is said of every run ahead of the record."""
        self.rights = 0
        """Changes with the capabilities of anybody."""

    @property
    def followers(self) -> int:
        return len(self._followers)

    def owner(self, stream: str) -> Principal | None:
        """Whose stream it is; None for the kernel's own and for unknown ones."""
        return self._owners.get(stream)

    def account(self, run: str) -> str:
        """The session that a run was begun for, of runs begun since the server started."""
        return self._accounts.get(run, "")

    @asynccontextmanager
    async def following(self, sees: Sight, streams: Iterable[str]) -> AsyncGenerator[Follower]:
        """A queue of what comes from now on in these streams, in runs begun for them, and of calls there that are
        undone. `watch_too` adds streams.
        """
        with self._joined(Follower(sees, everything, frozenset(streams))) as follower:
            yield follower

    def watch_too(self, follower: Follower, streams: Iterable[str]) -> None:
        more = frozenset(streams) - (follower.streams or frozenset())
        follower.streams = (follower.streams or frozenset()) | more
        for stream in more:
            self._by_stream.setdefault(stream, set()).add(follower)

    @asynccontextmanager
    async def topics(self, sees: Sight) -> AsyncGenerator[TopicFollower]:
        """Which regions change from now on."""
        with self._joined(TopicFollower(sees, everything)) as follower:
            yield follower

    @contextmanager
    def _joined(self, follower: AnyFollower) -> Generator[AnyFollower]:
        self._followers.add(follower)
        if follower.streams is None:
            self._of_all.add(follower)
        for stream in follower.streams or ():
            self._by_stream.setdefault(stream, set()).add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)
            self._of_all.discard(follower)
            for stream in follower.streams or ():
                self._drop(stream, follower)

    async def follow(self, sees: Sight, wants: Sight, after: int | None = None) -> AsyncGenerator[Frame]:
        """Entries after `after` (None: from now on), then what happens, until `Lagged`. Close it (`aclosing`)."""
        with self._joined(Follower(sees, wants)) as follower:
            newest = self.seq
            if after is not None:
                async for entry in self._past(after, newest, follower):
                    yield entry
            while True:
                frame = await follower.next()
                if not isinstance(frame, Entry) or frame.seq > newest:
                    yield frame

    def start(self, asker: WebAsker) -> None:
        self._ends = [
            self._kernel.journal.subscribe(self._hear),
            self._kernel.bus.subscribe(None, self._live),
            asker.subscribe(lambda run: self._tell(run, Asked(run))),
        ]

    def close(self) -> None:
        """Let everybody go."""
        for end in self._ends:
            end()
        self._ends.clear()
        for follower in self._followers:
            follower.lose()

    async def _past(self, after: int, newest: int, follower: Follower) -> AsyncIterator[Entry]:
        while after < newest:
            entries = await self._kernel.journal.read(after=after, limit=_CATCH_UP_ENTRIES)
            if not entries:
                return
            for entry in entries:
                if entry.seq > newest:
                    return
                if follower.wants(entry.stream) and follower.sees(entry.stream):
                    yield entry
            after = entries[-1].seq

    def _hear(self, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            if entry.kind in {"run.started", "session.created"} and entry.payload is not None:
                self._owners.setdefault(entry.stream, Principal(str(entry.payload["owner"])))
                if account := str(entry.payload.get("account", "")):
                    self._accounts[entry.stream] = account
            if entry.kind.startswith("capability."):
                self.rights += 1
            self.underway.settle(entry)
            self._tell(entry.stream, entry)
        self.seq = entries[-1].seq

    def _live(self, event: LiveEvent) -> None:
        self.underway.hear(event)
        self._tell(event.run, event)

    def _tell(self, stream: str, frame: Frame) -> None:
        for follower in self._followers_of(_run_undone(frame) or stream):
            if follower.sees(stream):
                follower.put(frame)
        for follower in self._of_all:
            if follower.wants(stream) and follower.sees(stream):
                follower.put(frame)

    def _followers_of(self, stream: str) -> tuple[Follower, ...]:
        own = self._by_stream.get(stream, _NOBODY)
        account = self._by_stream.get(self._accounts.get(stream, ""), _NOBODY)
        return tuple(own | account) if own and account else tuple(own or account)

    def _drop(self, stream: str, follower: Follower) -> None:
        followers = self._by_stream.get(stream, _NOBODY)
        followers.discard(follower)
        if not followers:
            self._by_stream.pop(stream, None)


@asynccontextmanager
async def open_hub(kernel: Kernel, asker: WebAsker) -> AsyncGenerator[Hub]:
    """Raises: JournalDown."""
    owners: dict[str, Principal] = {}
    for table in ("runs", "sessions"):
        for row in await kernel.journal.rows(table, limit=_STREAMS_MAX):
            owners[str(row["id"])] = Principal(str(row["owner"]))
    hub = Hub(kernel, owners)
    hub.start(asker)
    try:
        yield hub
    finally:
        hub.close()


class Seeing:
    """What one user may see. What was decided holds until anybody's capabilities change, at most SIGHT_S."""

    def __init__(
        self, hub: Hub, principal: Principal, sees_all: Callable[[], bool], now_s: Callable[[], float]
    ) -> None:
        self._hub = hub
        self._principal = principal
        self._sees_all = sees_all
        self._now_s = now_s
        self._decided: tuple[int, float, bool] = (-1, 0.0, False)

    def __call__(self, stream: str) -> bool:
        rights, until_s, everywhere = self._decided
        now_s = self._now_s()
        if rights != self._hub.rights or now_s >= until_s:
            everywhere = self._sees_all()
            self._decided = (self._hub.rights, now_s + SIGHT_S, everywhere)
        return everywhere or self._hub.owner(stream) == self._principal


def everything(_stream: str) -> bool:
    return True


def _run_undone(frame: Frame) -> str:
    """The run whose call an entry of the kernel's stream says was undone."""
    if not isinstance(frame, Entry) or frame.kind != "call.undone" or frame.payload is None:
        return ""
    return str(frame.payload["call"]).rpartition(".")[0]


def topics_of(entry: Entry) -> frozenset[str]:
    """What regions of pages an entry changes."""
    noun = entry.kind.partition(".")[0]
    if entry.stream == SYSTEM_STREAM and noun == "call" and entry.kind != "call.undone":
        return frozenset()
    return _TOPICS.get(noun, frozenset())


_TOPIC: Final = {
    "run": "runs",
    "call": "runs",
    "review": "runs",
    "context": "runs",
    "approval": "approvals",
    "session": "sessions",
    "phase": "sessions",
    "seed": "seeds",
    "capability": "caps",
    "config": "config",
    "persona": "personas",
    "user": "users",
    "token": "users",
    "key": "audit",
    "kernel": "audit",
    "blob": "audit",
}


_TOPICS: Final = {noun: frozenset({topic}) for noun, topic in _TOPIC.items()} | {"model": frozenset({"runs", "models"})}
TOPICS: Final = tuple(sorted(frozenset[str]().union(*_TOPICS.values())))


def _place(event: LiveEvent) -> tuple[str, str | int]:
    return event.run, event.call if isinstance(event, LiveProgress) else event.round
