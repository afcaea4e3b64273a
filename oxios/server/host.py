"""The server's side of its socket: each connection is one command, carried out here as its own.

Guarantees: a command's streams, folder, environment, questions and end are its terminal's; a terminal
that goes stops its command. At most COMMANDS_MAX run at once, others wait. Closing stops every command
as Ctrl-C does, and lets it say its last words.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from anyio import to_thread
from anyio.abc import SocketListener, SocketStream, TaskGroup

from kernel.ids import RunId
from kernel.log import get_logger
from oxios import __version__
from oxios.exits import Exit
from oxios.seat import current, seated
from oxios.server.guest import Guest, Hello
from oxios.server.outbox import Outbox, Sent
from oxios.server.terminal import Terminal
from oxios.wire import Message, Reading, same_user

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.settings import Settings
    from webui.conversations import Conversations

COMMANDS_MAX: Final = 32
HELLO_S: Final = 10.0
LAST_WORDS_S: Final = 5.0
PARTING_S: Final = 1.0
"""For a command to go once it has heard how it ended."""
_log = get_logger("host")


class Host:
    """Carries commands out with one kernel. `main` is the program: words in, exit code out."""

    def __init__(
        self,
        kernel: Kernel,
        tasks: TaskGroup,
        *,
        main: Callable[[list[str]], int],
        settings_now: Callable[[], Settings],
        talks: Conversations,
    ) -> None:
        self.kernel = kernel
        self._tasks = tasks
        self._settings_now = settings_now
        self._main = main
        self.talks = talks
        self._guests: set[Guest] = set()
        self._limiter = anyio.CapacityLimiter(COMMANDS_MAX)
        self._idle = anyio.Event()
        kernel.supervisor.listeners.append(_belongs)

    def settings_now(self) -> Settings:
        return self._settings_now()

    async def serve(self, listening: socket.socket) -> None:
        """Until cancelled: then no command comes in any more, and those under way go on."""
        async with await SocketListener.from_socket(listening) as listener:
            await listener.serve(self._welcome, self._tasks)

    async def close(self) -> None:
        """Stop every command, and wait until each has said its last words, LAST_WORDS_S at most."""
        for guest in self._guests:
            guest.stop()
        with anyio.move_on_after(LAST_WORDS_S):
            while self._guests:
                self._idle = anyio.Event()
                await self._idle.wait()

    async def _welcome(self, stream: SocketStream) -> None:
        async with stream:
            connection = stream.extra(anyio.abc.SocketAttribute.raw_socket)  # noqa: S610 -- no Django here
            if not same_user(connection):
                _log.warning("command_refused", why="another user's process")
                return
            reading = Reading(stream)
            said: Message | None = None
            with anyio.move_on_after(HELLO_S):
                said = await reading.next()
            try:
                hello = Hello.read(said or {})
            except (KeyError, TypeError, ValueError):
                return  # No command of ours.
            await self._carry(stream, reading, hello)

    async def _carry(self, stream: SocketStream, reading: Reading, hello: Hello) -> None:
        async with anyio.create_task_group() as tasks:
            outbox = Outbox(lambda: guest.gone())  # noqa: PLW0108 -- there is no guest yet
            out, err = (Sent(outbox, name, terminal=hello.terminals[at]) for at, name in ((1, "out"), (2, "err")))
            guest = Guest(self, hello, outbox, Terminal(outbox), out, err)
            self._guests.add(guest)
            sent, parted = anyio.Event(), anyio.Event()
            tasks.start_soon(self._send, stream, outbox, sent)
            tasks.start_soon(self._listen, reading, guest, parted)
            try:
                code = await self._run(guest)
                outbox.put({"exit": code})
                outbox.finish()
                await sent.wait()
                # It goes now, and reading ends by that: cancelled in the same moment, anyio's socket tells an error.
                with anyio.move_on_after(PARTING_S):
                    await parted.wait()
            finally:
                self._guests.discard(guest)
                self._idle.set()
                tasks.cancel_scope.cancel()

    async def _run(self, guest: Guest) -> int:
        if guest.hello.version != __version__:
            guest.err.write(
                f"error: the server of this home is Oxios {__version__}, this command {guest.hello.version}\n"
                "try: oxios stop, and start it anew\n"
            )
            return Exit.UNAVAILABLE
        with seated(guest):
            return await to_thread.run_sync(partial(self._main, list(guest.hello.argv)), limiter=self._limiter)

    async def _send(self, stream: SocketStream, outbox: Outbox, sent: anyio.Event) -> None:
        try:
            while (lines := await outbox.next()) is not None:
                await stream.send(lines)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            outbox.close()
        finally:
            sent.set()

    async def _listen(self, reading: Reading, guest: Guest, parted: anyio.Event) -> None:
        while (message := await reading.next()) is not None:
            if "signal" in message:
                guest.hear_signal(int(message["signal"]))
            elif "answer" in message:
                guest.terminal.hear(message)
            elif "closed" in message:
                (guest.sent_out if message["closed"] == "out" else guest.sent_err).broken = True
        guest.outbox.close()
        guest.gone()
        parted.set()


def _belongs(run: RunId) -> None:
    """A run that a command started, or that its run started, is that command's."""
    seat = current()
    if isinstance(seat, Guest):
        seat.runs.add(run)
