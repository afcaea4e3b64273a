"""One command of a terminal, while the server carries it. Implements `oxios.seat.Seat`.

Guarantees: the command does what it would do by itself: in its terminal's folder, under its settings
or not at all, stopped by its terminal's signals, and what it started has ended or is recorded as
interrupted when it ends.
"""

from __future__ import annotations

import io
import signal
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO, cast

import anyio
import anyio.from_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from kernel.errors import InstanceLocked
from kernel.ids import RunId
from oxios.server.outbox import Outbox, Sent
from oxios.server.terminal import Terminal
from oxios.wire import Message

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.gate.asker import Asker
    from kernel.settings import Settings
    from ouroboros.session import Session
    from oxios.seat import Body
    from webui.conversations import Conversations

OWN_SECTIONS: Final = ("cycle", "log", "persona", "server")
"""Sections of the settings that a command reads itself; those of the others are the kernel's."""
SIGNALS_MAX: Final = 16


class Carrier(Protocol):
    """What of the server a command needs: `oxios.server.host.Host` is the one."""

    @property
    def kernel(self) -> Kernel: ...
    @property
    def talks(self) -> Conversations: ...

    def settings_now(self) -> Settings:
        """Those that a command would have which changes none."""
        ...


@dataclass(frozen=True, slots=True)
class Hello:
    """What a command says of itself."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    stdin: str
    terminals: tuple[bool, bool, bool]
    """Whether stdin, stdout, stderr are one."""
    version: str

    @classmethod
    def read(cls, said: Message) -> Hello:
        """Raises: KeyError, TypeError, ValueError."""
        env = cast("dict[str, Any]", said["env"])
        first, second, third = (bool(one) for one in said["terminals"])
        return cls(
            tuple(str(word) for word in said["argv"]),
            Path(str(said["cwd"])),
            {str(name): str(value) for name, value in env.items()},
            str(said["stdin"]),
            (first, second, third),
            str(said["version"]),
        )


class _Input(io.TextIOWrapper):
    """What the command had read of its stdin before it came here."""

    def __init__(self, hello: Hello) -> None:
        super().__init__(io.BytesIO(hello.stdin.encode("utf-8", "surrogateescape")), "utf-8", "replace")
        self._terminal = hello.terminals[0]

    def isatty(self) -> bool:
        return self._terminal


def _with_own(settings: Settings, in_force: Settings) -> Settings:
    return replace(in_force, **{name: getattr(settings, name) for name in OWN_SECTIONS})


@dataclass(slots=True, eq=False)
class Guest:
    """See `oxios.seat.Seat`."""

    host: Carrier
    hello: Hello
    outbox: Outbox
    terminal: Terminal
    sent_out: Sent
    sent_err: Sent
    runs: set[RunId] = field(default_factory=set[RunId])
    """Those it started or resumed."""
    input: TextIO | None = None
    stopped: bool = False
    _scope: anyio.CancelScope | None = None
    _heard: MemoryObjectSendStream[int] | None = None

    @property
    def cwd(self) -> Path:
        return self.hello.cwd

    @property
    def env(self) -> Mapping[str, str]:
        return self.hello.env

    @property
    def stdin(self) -> TextIO:
        if self.input is None:
            self.input = _Input(self.hello)
        return self.input

    @property
    def out(self) -> TextIO:
        return cast("TextIO", self.sent_out)

    @property
    def err(self) -> TextIO:
        return cast("TextIO", self.sent_err)

    @property
    def asker(self) -> Asker:
        return self.terminal

    async def edit(self, text: str, suffix: str) -> str:
        return await self.terminal.edit(text, suffix)

    async def typed(self) -> bytes:
        return await self.terminal.typed()

    # In the command's thread

    def carry(self, settings: Settings, body: Body, *, listen: bool) -> int:
        self.terminal.listening = listen and self.hello.terminals[0] and self.hello.terminals[2]
        code = anyio.from_thread.run(self._carry, settings, body)
        if code is None:
            raise KeyboardInterrupt
        return code

    # On the event loop

    async def _carry(self, settings: Settings, body: Body) -> int | None:
        kernel = self.host.kernel
        self._require_same(settings)
        seen = replace(kernel, seen=partial(_with_own, settings))
        try:
            with anyio.CancelScope() as self._scope:
                if self.stopped:
                    self._scope.cancel()
                return await body(seen)
        finally:
            self._scope = None
            with anyio.CancelScope(shield=True):
                for run in self.runs:
                    await kernel.supervisor.interrupt(run)
        return None

    def stop(self) -> None:
        """End the command as Ctrl-C ends one."""
        self.stopped = True
        if self._scope is not None:
            self._scope.cancel()

    def hear_signal(self, number: int) -> None:
        if self._heard is None:
            self.stop()
            return
        try:
            self._heard.send_nowait(number)
        except anyio.WouldBlock:
            self.stop()  # Nobody listens to what was to stop it.

    @contextmanager
    def signals(self) -> Generator[AsyncIterator[int]]:
        made: tuple[MemoryObjectSendStream[int], MemoryObjectReceiveStream[int]]
        made = anyio.create_memory_object_stream[int](SIGNALS_MAX)
        self._heard, received = made
        try:
            yield received
        finally:
            self._heard.close()
            self._heard = None
            received.close()

    def owns(self, run: str) -> bool:
        return run in self.runs

    def share(self, session: Session) -> Session:
        return self.host.talks.of(session).session

    def turn(self, session: Session) -> AbstractContextManager[None]:
        return self.host.talks.of(session).carried(lambda: self.hear_signal(signal.SIGINT))

    def gone(self) -> None:
        """The terminal is gone: as when it hangs up."""
        self.sent_out.broken = self.sent_err.broken = True
        if self._heard is not None:
            self.hear_signal(signal.SIGHUP)
        else:
            self.stop()

    def _require_same(self, settings: Settings) -> None:
        """Raises: InstanceLocked."""
        ours = self.host.settings_now()
        names = (name for name in type(ours).__dataclass_fields__ if name not in OWN_SECTIONS)
        other = [name for name in names if getattr(ours, name) != getattr(settings, name)]
        if other:
            raise InstanceLocked(
                f"a server works in {ours.home}, and it has other settings than this command: [{'], ['.join(other)}]",
                remedy="leave out what sets them (--set, OXIOS__…, a project file here), or stop it: oxios stop",
            )
