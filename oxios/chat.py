"""`oxios chat`: a conversation in the terminal, turn after turn, in sessions that outlive it.

Guarantees: what is typed while an agent works is said to it before its next reply, and what is typed
behind /next becomes a message of its own when the turn has ended; Ctrl-C stops the turn, and only
where none is under way the chat; however it ends, an unfinished turn goes on when the session is
opened again. Approvals are asked in the flow, and nothing is typed past them.
What is pasted is one message, however many lines it has. With input from a pipe each line is one,
carried out before the next is read.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import TaskGroup

from kernel.errors import Conflict, JournalDown, OxiosError, QueueFull
from kernel.ids import RunId
from kernel.ports.provider import Attachment
from kernel.runtime.attached import check_together
from ouroboros import session as words
from ouroboros.cycle import Cycle, TurnResult
from ouroboros.phases import Accepting
from ouroboros.session import OPEN, Session
from ouroboros.sessionbook import record
from ouroboros.sessiondesk import SessionDesk
from oxios.attach import read_named
from oxios.chatwords import Chatting, obey
from oxios.draft import TerminalPerson
from oxios.exits import Exit
from oxios.frame import say
from oxios.keyboard import KeysCurtain, Lines, typed_here
from oxios.paint import one_line
from oxios.seat import heard_here, shared, turn_of
from oxios.session import run_kernel
from oxios.signals import let_go_of_the_terminal, received_signals
from oxios.talk import Talk
from oxios.turns import new_session, open_session

if TYPE_CHECKING:
    from kernel.boot import Kernel

QUEUED_MAX: Final = 32
_SHOWN_CHARS: Final = 60
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


def chat(args: argparse.Namespace) -> int:
    """Raises: OxiosError: the flags are wrong, the session is not there, the kernel cannot be opened."""
    args.keys, lines = typed_here()
    args.curtain = curtain = KeysCurtain(args.keys)

    async def body(kernel: Kernel) -> int:
        session = await open_session(kernel, args)
        talk = Talk(args, curtain)
        async with anyio.create_task_group() as tasks:
            room = Chat(kernel, args, lines, talk, tasks)
            async with room.open(session):
                await room.converse()
            tasks.cancel_scope.cancel()
        return Exit.OK

    with args.keys.marking():
        return run_kernel(args, body, listen=True)


class Chat(Chatting):
    """One chat. Implements what the `/words` need of it."""

    def __init__(self, kernel: Kernel, args: argparse.Namespace, lines: Lines, talk: Talk, tasks: TaskGroup) -> None:
        self.kernel = kernel
        self._args = args
        self._lines = lines
        self._talk = talk
        self._tasks = tasks
        self._over = False
        self._turn: anyio.CancelScope | None = None
        self._turn_ended = anyio.Event()
        self._asking: anyio.Event | None = None
        self._answer: str | None = None
        self._queue: deque[str] = deque()
        self._files: tuple[Attachment, ...] = ()
        self._loop = anyio.CancelScope()

    @asynccontextmanager
    async def open(self, session: Session) -> AsyncGenerator[None]:
        """Listen to the kernel and to signals while the block runs."""
        ends = (
            self.kernel.journal.subscribe(heard_here(self._talk.hear)),
            self.kernel.bus.subscribe(None, heard_here(self._talk.event)),
        )
        self._tasks.start_soon(self._signals)
        try:
            await self.enter(session)
            yield
        finally:
            for end in ends:
                end()

    async def converse(self) -> None:
        """Until the input ends or somebody says so."""
        with self._loop:
            while not self._over:
                self._prompt()
                line = await self._lines.next()
                if line is None:
                    break
                await self._take(line)
        if self._turn is not None and self.session.turn is not None:
            say(f"turn {self.session.turn.number} is not finished: it goes on when the session is opened again")
        if self._queue:
            say(f"not sent: {'; '.join(one_line(message, _SHOWN_CHARS) for message in self._queue)}")

    # What the words do

    @property
    def busy(self) -> bool:
        return self._turn is not None

    async def enter(self, session: Session) -> None:
        """Talk in this session from now on, and go on with a turn that was interrupted in it."""
        self.refuse_while_busy("another session can be entered")
        self.session = session = shared(session)
        self._talk.enter(session.id)
        interactive = self._lines.interactive
        person = TerminalPerson(self._lines, self._next_answer) if interactive else Accepting()
        self.cycle = Cycle(self.kernel, session, person)
        name = session.name or session.id
        say(f"session {name} ({len(session.turns)} turns) in {session.workspace}; /help tells more", self._args)
        turn = session.turn
        if turn is not None and turn.status in OPEN:
            say(f"turn {turn.number} was interrupted; it goes on", self._args)
            if turn.current is not None and turn.current.run:
                self._talk.view.follow(turn.current.run)
            await self._begin(None)

    async def begin_new(self, name: str) -> None:
        self.refuse_while_busy("another session can be begun")
        self._args.session = ""
        await self.enter(await new_session(self.kernel, self._args, name=name))

    @property
    def desk(self) -> SessionDesk:
        return SessionDesk(self.kernel, self.kernel.operator)

    def attach(self, name: str) -> None:
        """Show a file with the next message; `none` drops those that wait. Raises: as `read_named`."""
        if name == "none":
            self._files = ()
        elif name:
            (found,) = read_named([name], self.kernel.settings.home)
            check_together((*self._files, found))
            self._files = (*self._files, found)
        shown = ", ".join(f"{one.name} ({one.media_type})" for one in self._files)
        say(f"with your next message: {shown or 'no files'}")

    async def later(self, message: str) -> None:
        """Send it when the turn under way has ended; at once where none is. Raises: QueueFull."""
        if not message and (self.busy or not self._queue):
            say("\n".join(self._queue) or "nothing waits; /next MESSAGE sends one when the turn has ended")
        elif not self.busy:
            self._queue.extend([message] if message else [])
            await self._begin(self._queue.popleft())
        elif len(self._queue) >= QUEUED_MAX:
            raise QueueFull(f"{QUEUED_MAX} messages wait already", remedy="wait for the turn, or /stop it")
        else:
            self._queue.append(message)
            say(f"waits for the end of this turn ({len(self._queue)})", self._args)

    async def stop(self) -> None:
        """End the turn under way, with its agent. What waits for its end stays, and is not begun by it."""
        if self._turn is None:
            say("nothing is under way")
            return
        self._turn.cancel()
        await self._turn_ended.wait()
        await self.cycle.stop("stopped by the person")
        say("stopped")

    def leave(self) -> None:
        self._over = True
        self._loop.cancel()

    # Lines and turns

    async def _take(self, line: str) -> None:
        if self._asking is not None:
            asking, self._asking = self._asking, None
            self._answer = line
            asking.set()
            return
        try:
            if line.startswith("/") and "\n" not in line:
                await obey(self, line)
            elif line.strip():
                await (self._steer(line) if self.busy else self._begin(line))
        except JournalDown:
            raise
        except OxiosError as error:
            _say_error(error)

    async def _begin(self, message: str | None) -> None:
        if message is None:
            await self.carry(self.cycle.resume)
        else:
            files, self._files = self._files, ()
            await self.carry(partial(self.cycle.run, message, attached=files))

    async def carry(self, going: Callable[[], Awaitable[TurnResult | None]]) -> None:
        """Carry a turn out beside what is typed. Raises: Conflict, while one is under way."""
        self.refuse_while_busy("this can be done")
        self._turn_ended = anyio.Event()
        self._turn = anyio.CancelScope()
        self._tasks.start_soon(self._run_turn, self._turn, going)
        if not self._lines.interactive:
            await self._turn_ended.wait()

    async def _run_turn(self, scope: anyio.CancelScope, going: Callable[[], Awaitable[TurnResult | None]]) -> None:
        try:
            with scope, turn_of(self.session):
                result = await going()
                if result is not None:
                    self._tell(result)
        except JournalDown:
            raise
        except OxiosError as error:
            _say_error(error)
        finally:
            self._turn, self._asking = None, None
            self._turn_ended.set()
            if not scope.cancel_called:
                self._prompt()
        if not scope.cancel_called and not self._over:
            await self._deliver()

    async def _deliver(self) -> None:
        """The next message that waited for the end of a turn; not as an answer to what that turn asks."""
        turn = self.session.turn
        if not self._queue or turn is None:
            return
        if turn.status in {*OPEN, "waiting"}:
            say(f"({len(self._queue)} messages wait; /next sends the first)", self._args)
        else:
            await self._begin(self._queue.popleft())

    def _tell(self, result: TurnResult) -> None:
        self._talk.result(result)
        if result.status == "waiting" and self._lines.interactive:
            say("(your next message answers)", self._args)

    async def _steer(self, text: str) -> None:
        """Say it to the agent at work. Raises: Conflict, where none is at work yet."""
        turn = self.session.turn
        seed = turn.current.seed.id if turn is not None and turn.current is not None else ""
        rows = await self.kernel.journal.rows("runs", {"seed": seed, "status": "running"}) if seed else []
        if turn is None or not rows:
            raise Conflict("no agent is at work yet to hear this", remedy="say it with /next, or wait, or /stop")
        run = RunId(str(rows[0]["id"]))
        await self.kernel.handle(self.kernel.operator).call("runs.steer", {"run": run, "text": text})
        said = {"turn": turn.number, "as": "steer", "role": "user", "text": text, "run": run}
        await record(self.kernel.journal, self.session, words.MESSAGE, said)

    async def _next_answer(self) -> str | None:
        """The next line, for whoever asks within a turn."""
        self._asking = asking = anyio.Event()
        self._prompt()
        await asking.wait()
        return self._answer

    def _prompt(self) -> None:
        if self._lines.interactive and not self._over and (not self.busy or self._asking is not None):
            sys.stderr.write("> ")
            sys.stderr.flush()

    def refuse_while_busy(self, what: str) -> None:
        """Raises: Conflict."""
        if self.busy:
            raise Conflict(f"a turn is under way; {what} after it", remedy="/stop ends it")

    async def _signals(self) -> None:
        """Ctrl-C stops the turn, else the chat; other ways to end a process end the chat."""
        with received_signals(signal.SIGINT, *_ENDING) as received:
            async for number in received:
                if number == signal.SIGHUP:
                    let_go_of_the_terminal()
                if number in _ENDING or not self.busy:
                    self.leave()
                else:
                    await self.stop()
                    self._prompt()


def _say_error(error: OxiosError) -> None:
    say(f"error: {error.message}" + (f"\ntry: {error.remedy}" if error.remedy else ""))
