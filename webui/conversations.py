"""Sessions that are being carried out: one task a session, whoever looks at it.

Guarantees: a session has one turn under way at most. What is said meanwhile goes to the agent before
its next step, or waits its turn; whatever was taken stands in the journal before its sender is told so, and a restart
goes on with it; what cannot be taken is refused to the sender. A message with a key is taken once, however often it
is sent. Closing a page changes nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import TaskGroup

from kernel.errors import Conflict, JournalDown, NotFound, OxiosError
from kernel.ids import KERNEL, Principal, RunId
from kernel.log import get_logger
from kernel.runtime.attached import check_together
from ouroboros import session as words
from ouroboros.cycle import Cycle, check_message
from ouroboros.session import OPEN, Session
from ouroboros.sessionbook import SessionBook, record
from ouroboros.sessiondesk import SessionDesk
from webui.queued import QUEUED_MAX, Begun, Said, Uploads, record_dropped, record_queued, restored

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from ouroboros.seed import SeedSpec

IDLE_MAX: Final = 64
"""Conversations that are kept though nothing happens in them and nobody looks."""
IDLE_TURNS_MAX: Final = 20_000
"""Of all these together."""
_log = get_logger("conversations")


@dataclass(slots=True)
class Draft:
    """A draft that waits for a person. Implements `ouroboros.phases.Person`."""

    changed: Callable[[], None]
    spec: SeedSpec | None = None
    answered: anyio.Event = field(default_factory=anyio.Event)
    answer: SeedSpec | None = None

    async def confirm(self, draft: SeedSpec) -> SeedSpec | None:
        self.spec, self.answered = draft, anyio.Event()
        self.changed()
        try:
            await self.answered.wait()
        finally:
            self.spec = None
        return self.answer


@dataclass(slots=True)
class _Elsewhere:
    """A turn that a command carries: it is stopped by asking the command."""

    stop: Callable[[], None]
    cancel_called: bool = False

    def cancel(self) -> None:
        self.cancel_called = True
        self.stop()


class Conversation:
    """One session while it is open here."""

    def __init__(
        self, kernel: Kernel, session: Session, tasks: TaskGroup, watchers: list[Callable[[], None]] | None = None
    ) -> None:
        self.session = session
        self.draft = Draft(self._changed)
        self.queue = restored(session)
        self.uploads = Uploads()
        self.watchers: list[Callable[[], None]] = [] if watchers is None else watchers
        """Called when a turn begins or ends, a message waits or is taken, a draft waits."""
        self.editing = anyio.Lock()
        """Held from the look at what is there to the record of what it is to be."""
        self._kernel = kernel
        self._tasks = tasks
        self._cycle = Cycle(kernel, session, self.draft)
        self._scope: anyio.CancelScope | _Elsewhere | None = None
        self._ended = anyio.Event()
        self._keys: set[str] = set()
        """Taken, and perhaps not on record yet."""

    @property
    def busy(self) -> bool:
        return self._scope is not None

    @property
    def idle(self) -> bool:
        """Nothing is here that is not on record."""
        return not (self.busy or self.queue or self.uploads or self.draft.spec)

    @property
    def asks(self) -> bool:
        """Whether it waits for a person: with a draft, or with questions before it begins."""
        turn = self.session.turn
        return self.draft.spec is not None or (turn is not None and turn.status == "waiting")

    @property
    def reply(self) -> str:
        """The newest turn's; whole, where it was given here and its record is cut."""
        return self._cycle.result().response if self.session.turns else ""

    async def say(self, said: Said, *, queue: bool = False, attach: Sequence[str] = ()) -> str:
        """What became of it, once it is on record: `begun`, `steered` or `queued`; or `known`, where its key is.

        `attach` names `uploads` that go along with it, and are none any more once it is taken.

        Raises: Invalid, Conflict (too many wait), NotFound (an upload; the session was deleted), JournalDown.
        """
        if self._knows(said.key):
            return "known"
        check_message(said.text)
        said.attached += self.uploads.find(attach)
        check_together(said.attached)
        with self._taking(said.key):
            became = await self._take(said, queue=queue)
        self.uploads.drop(attach)
        return became

    def _knows(self, key: str) -> bool:
        """Whether a message with this key was taken."""
        return bool(key) and (key in self._keys or key in self.session.keys)

    @contextmanager
    def _taking(self, key: str) -> Generator[None]:
        """Inside, the key is taken; where that fails, it is free again."""
        if key:
            self._keys.add(key)
        try:
            yield
        except OxiosError:
            self._keys.discard(key)
            raise

    async def wait(self) -> None:
        """Until no turn is under way."""
        while self.busy:
            await self._ended.wait()

    def resume(self) -> bool:
        """Go on with a turn that was interrupted, else with what waits; whether there was either."""
        turn = self.session.turn
        if self.busy:
            return False
        if turn is not None and turn.status in OPEN:
            self._begin(None)
            return True
        return self._begin_next()

    async def stop(self) -> None:
        """End the turn under way, with its agent and what that started. Raises: JournalDown."""
        if self._scope is None:
            raise Conflict("nothing is under way", remedy="send a message to begin")
        dropped = tuple(self.queue)
        self.queue.clear()
        self._scope.cancel()
        await self._ended.wait()
        await self._cycle.stop("stopped by the person")
        await record_dropped(self._kernel.journal, self.session, dropped)

    def confirm(self, spec: SeedSpec | None) -> None:
        """Accept the draft as given, or decline it. Raises: Conflict, where none waits."""
        if self.draft.spec is None:
            raise Conflict("no draft waits for an answer", remedy="somebody may have answered already")
        self.draft.answer = spec
        self.draft.answered.set()

    async def rewind(self, turn: int) -> None:
        """Leave what came after a turn out of the conversation. Raises: NotFound, Conflict, JournalDown."""
        if self.busy:
            await self.stop()
        await SessionDesk(self._kernel, self.session.owner).rewind(self.session, turn)

    async def edit(self, turn: int, said: Said) -> str:
        """Say a turn anew: it and what came after it leave the conversation; `begun`, or `known` as by `say`.

        Raises: Invalid, NotFound, JournalDown.
        """
        if self._knows(said.key):
            return "known"
        check_message(said.text)
        found = next((one for one in self.session.turns if one.number == turn), None)
        if found is None:
            raise NotFound(f"there is no turn {turn}", remedy="it may have been rewound already")
        with self._taking(said.key):
            await self.rewind(turn - 1)
            said.context = said.context or found.context
            await self._begin(said).taken()
        return "begun"

    async def _take(self, said: Said, *, queue: bool) -> str:
        if not self.busy:
            await self._begin(said).taken()
            return "begun"
        run = None if queue or said.attached else await self._run()
        if run is not None:
            await self._steer(run, said)
            return "steered"
        if len(self.queue) >= QUEUED_MAX:
            raise Conflict(f"{QUEUED_MAX} messages wait already", remedy="wait, or stop what is under way")
        self.queue.append(said)
        self._changed()
        try:
            await record_queued(self._kernel.journal, self.session, said)
        except OxiosError:
            if said in self.queue:
                self.queue.remove(said)
                self._changed()
            raise
        if said not in self.queue:  # It was begun with, or dropped, before its entry stood.
            await record_dropped(self._kernel.journal, self.session, [said])
        return "queued"

    @contextmanager
    def carried(self, stop: Callable[[], None]) -> Generator[None]:
        """Inside, a command carries a turn of the session, which `stop` ends; what is said meanwhile waits, or steers.

        Raises: Conflict, where a turn is under way.
        """
        if self.busy:
            raise Conflict("a turn of this session is under way", remedy="wait for it, or stop it in the browser")
        self._ended = anyio.Event()
        self._scope = elsewhere = _Elsewhere(stop)
        self._changed()
        try:
            yield
        finally:
            self._scope = None
            self._ended.set()
            self._changed()
            if not elsewhere.cancel_called:
                self._begin_next()

    async def unqueue(self, number: int) -> Said:
        """Take a waiting message back. Raises: NotFound, JournalDown."""
        if not 0 <= number < len(self.queue):
            raise NotFound("that message does not wait any more", remedy="it was taken up, or taken back")
        said = self.queue.pop(number)
        self._changed()
        await record_dropped(self._kernel.journal, self.session, [said])
        return said

    def _begin_next(self) -> bool:
        """Begin a turn with what waited longest; whether anything did."""
        if not self.queue:
            return False
        self._begin(self.queue.pop(0))
        return True

    def _begin(self, said: Said | None) -> Begun:
        self._ended = anyio.Event()
        self._scope = scope = anyio.CancelScope()
        begun = Begun()
        self._tasks.start_soon(self._turn, scope, said, begun)
        self._changed()
        return begun

    def _changed(self) -> None:
        for watcher in tuple(self.watchers):
            watcher()

    async def _turn(self, scope: anyio.CancelScope, said: Said | None, begun: Begun) -> None:
        try:
            with scope:
                if said is not None:
                    files = await said.bytes_of(self._kernel.journal)
                    await self._cycle.take(said.text, said.context, key=said.key, attached=files, queued=said.seq)
                begun.take()
                await self._cycle.resume()
        except JournalDown as error:
            begun.refuse(error)
            _log.error("turn_not_recorded", session=self.session.id, why=error.message)
        except OxiosError as error:
            begun.refuse(error)
            _log.warning("turn_refused", session=self.session.id, why=error.explain())
        finally:
            self._scope = None
            begun.refuse(Conflict("the turn was stopped before it began", remedy="send it again"))
            self._ended.set()
            self._changed()
        if not scope.cancel_called:
            self._begin_next()

    async def _run(self) -> RunId | None:
        """The live run of the turn under way."""
        turn = self.session.turn
        if turn is None or turn.current is None:
            return None
        rows = await self._kernel.journal.rows("runs", {"seed": turn.current.seed.id, "status": "running"})
        runs = (RunId(str(row["id"])) for row in rows)
        return next((run for run in runs if self._kernel.runs.live(run)), None)

    async def _steer(self, run: RunId, said: Said) -> None:
        await self._kernel.handle(self.session.owner).call("runs.steer", {"run": run, "text": said.text})
        number, key = len(self.session.turns), said.key
        told = {"turn": number, "as": "steer", "role": "user", "text": said.text, "run": run, "key": key}
        await record(self._kernel.journal, self.session, words.MESSAGE, told)


class Conversations:
    """Those that are at work, and of the others the IDLE_MAX that were last asked for."""

    def __init__(self, kernel: Kernel, tasks: TaskGroup) -> None:
        self._kernel = kernel
        self._tasks = tasks
        self._open: dict[str, Conversation] = {}
        """The one that was asked for last stands last."""
        self._opening: dict[str, anyio.Event] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = {}

    def session(self, session: str) -> Session | None:
        found = self._open.get(session)
        return found.session if found else None

    def find(self, session: str) -> Conversation | None:
        """The session's, where it is open."""
        return self._open.get(session)

    def of(self, session: Session) -> Conversation:
        """The one conversation of a session; opened where it is not yet."""
        found = self._open.pop(session.id, None)
        if found is None:
            self._drop_idle()
            watchers = self._watchers.get(session.id)
            found = Conversation(self._kernel, session, self._tasks, watchers)
        self._open[session.id] = found
        return found

    async def open(self, session: str) -> Conversation:
        """The same by its id; where it is not open it is read, once however many ask. Raises: JournalDown."""
        while (found := self._open.get(session)) is None:
            if waiting := self._opening.get(session):
                await waiting.wait()
                continue
            self._opening[session] = anyio.Event()
            try:
                whole = await SessionBook(self._kernel.journal, KERNEL).read(RunId(session))
            finally:
                self._opening.pop(session).set()
            self.of(whole)
        return self.of(found.session)

    @contextmanager
    def watching(self, session: str, watcher: Callable[[], None]) -> Generator[None]:
        """Call `watcher` when a turn of the session begins or ends, or what waits there changes, open or not."""
        found = self._open.get(session)
        watchers = self._watchers.setdefault(session, found.watchers if found else [])
        watchers.append(watcher)
        try:
            yield
        finally:
            watchers.remove(watcher)
            if not watchers:
                self._watchers.pop(session, None)

    def _drop_idle(self) -> None:
        idle = [one for one in self._open.values() if one.idle and not one.watchers]
        turns = sum(len(one.session.turns) for one in idle)
        for left, one in zip(range(len(idle), 0, -1), idle, strict=True):
            if left < IDLE_MAX and turns <= IDLE_TURNS_MAX:
                return
            turns -= len(one.session.turns)
            del self._open[one.session.id]

    def busy(self, session: str) -> bool:
        found = self._open.get(session)
        return found is not None and found.busy

    def asking_ids(self, owner: Principal) -> list[str]:
        """Open sessions of somebody that wait for them."""
        return [one.session.id for one in self._open.values() if one.asks and one.session.owner == owner]

    def busy_ids(self, owner: Principal | None = None) -> list[str]:
        """Sessions with a turn under way."""
        talks = self._open.values()
        return [one.session.id for one in talks if one.busy and (owner is None or one.session.owner == owner)]
