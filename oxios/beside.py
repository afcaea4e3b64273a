"""A command beside a server: the server carries it out, this process is its terminal.

Guarantees: words, order and exit code are those of the command itself. Ctrl-C stops that command and
nothing else; so does the loss of this process. Questions are asked here, by the same prompt.
"""

from __future__ import annotations

import argparse
import base64
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.abc import SocketStream, TaskGroup, UNIXSocketStream

from kernel.errors import OxiosError, Unavailable
from kernel.gate.decision import Question
from kernel.ids import ApprovalId
from oxios import __version__
from oxios.curtain import Curtain
from oxios.draft import in_editor
from oxios.exits import Exit
from oxios.frame import environment, here
from oxios.keyboard import Keys
from oxios.seat import original
from oxios.signals import let_go_of_the_terminal
from oxios.wire import Message, Reading, send

if TYPE_CHECKING:
    from kernel.gate.asker import Asker

_TOLD: Final = ("COLORTERM", "COLUMNS", "HOME", "LINES", "NO_COLOR", "OXIOS_HOME", "TERM")
"""What a server is told of the environment, beside the settings in it; none of these is a secret."""
_SETTINGS: Final = "OXIOS__"
_CHAT_SIGNALS_MAX: Final = 1_000
"""A chat obeys as many as there are turns."""


def carried(args: argparse.Namespace, server: socket.socket, home: Path, asker: Asker | None) -> int:
    """The exit code. Raises: Unavailable, where the server ends first; KeyboardInterrupt, where it is not awaited."""

    async def main() -> int:
        async with await UNIXSocketStream.from_socket(server) as stream:
            return await _Errand(args, stream, asker).run(_hello(args, home))

    return anyio.run(main)


@dataclass(slots=True)
class _Errand:
    """One command, seen from its terminal."""

    args: argparse.Namespace
    stream: SocketStream
    asker: Asker | None
    code: int | None = None
    reader_left: bool = False
    left: bool = False
    """The person did not wait for the command to end."""
    open: dict[int, anyio.CancelScope] = field(default_factory=dict[int, anyio.CancelScope])

    async def run(self, hello: Message) -> int:
        await send(self.stream, hello)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._signals, tasks.cancel_scope)
            await self._read(tasks)
            tasks.cancel_scope.cancel()
        if self.left:
            raise KeyboardInterrupt
        if self.code is None:
            raise Unavailable(
                "the server ended before this command did",
                remedy="see `oxios logs`; `oxios serve` goes on with what a crash left behind",
            )
        return Exit.READER_LEFT if self.reader_left else self.code

    async def _read(self, tasks: TaskGroup) -> None:
        reading = Reading(self.stream)
        while self.code is None:
            message = await reading.next()
            if message is None:
                return
            await self._take(message, tasks)

    async def _take(self, message: Message, tasks: TaskGroup) -> None:
        if "exit" in message:
            self.code = int(message["exit"])
        elif "out" in message:
            await self._show(sys.stdout, str(message["out"]))
        elif "err" in message:
            await self._show(sys.stderr, str(message["err"]))
        elif "withdraw" in message:
            scope = self.open.pop(int(message["withdraw"]), None)
            if scope is not None:
                scope.cancel()
        elif "ask" in message:
            scope = self.open[int(message["ask"])] = anyio.CancelScope()
            tasks.start_soon(self._answer, message, scope)

    async def _show(self, stream: Any, text: str) -> None:
        def write() -> None:
            stream.write(text)
            stream.flush()

        curtain: Curtain | None = getattr(self.args, "curtain", None)
        try:
            (curtain.show if curtain is not None else _now)(write)
        except BrokenPipeError:
            self.reader_left = self.reader_left or stream is sys.stdout
            await send(self.stream, {"closed": "out" if stream is sys.stdout else "err"})

    async def _answer(self, message: Message, scope: anyio.CancelScope) -> None:
        number = int(message["ask"])
        answers: Mapping[str, Callable[[Message], Awaitable[dict[str, Any]]]] = {
            "approve": self._approve,
            "ask": self._ask,
            "edit": self._edit,
            "type": self._type,
        }
        with scope:
            try:
                said = await answers[str(message["kind"])](message)
            except OxiosError as error:
                said = {"error": error.message, "remedy": error.remedy, "code": error.code}
            # Shielded: what was typed must arrive, even where nobody waits for it any longer.
            with anyio.CancelScope(shield=True):
                await send(self.stream, {"answer": number, **said})
        self.open.pop(number, None)

    async def _approve(self, message: Message) -> dict[str, Any]:
        told: dict[str, Any] = dict(message["question"])
        question = replace(Question(**told), keys=tuple(told["keys"]))
        asker = self._asker()
        answer = await asker.approve(ApprovalId(message["approval"]), message["run"], question, message["wait_s"])
        return {"choice": answer.choice, "reason": answer.reason}

    async def _ask(self, message: Message) -> dict[str, Any]:
        text = await self._asker().ask(message["run"], message["question"], tuple(message["choices"]))
        return {"text": text}

    async def _edit(self, message: Message) -> dict[str, Any]:
        keys = self._keys()
        keys.let_go()
        try:
            return {"text": await in_editor(message["text"], message["suffix"])}
        finally:
            keys.take_back()

    async def _type(self, _message: Message) -> dict[str, Any]:
        piece = None
        while piece is None:
            piece = await self._keys().piece()
        return {"typed": base64.b64encode(piece).decode()}

    def _keys(self) -> Keys:
        keys: Keys | None = getattr(self.args, "keys", None)
        if keys is None:
            raise Unavailable("this command takes no keys", remedy="give its flags instead")
        return keys

    def _asker(self) -> Asker:
        if self.asker is None:
            raise Unavailable("this command asks nobody", remedy="answer in the browser")
        return self.asker

    async def _signals(self, scope: anyio.CancelScope) -> None:
        """Each is the command's to obey; who sends one more than it takes does not wait for it."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
        sent = 0
        with anyio.open_signal_receiver(*heard) as received:
            async for number in received:
                sent += 1
                if sent > (_CHAT_SIGNALS_MAX if "keys" in self.args else 1):
                    self.left = True
                    scope.cancel()
                    return
                if number == signal.SIGHUP:
                    let_go_of_the_terminal()
                await send(self.stream, {"signal": int(number)})


def _hello(args: argparse.Namespace, home: Path) -> Message:
    env = environment()
    told = {name: value for name, value in env.items() if name in _TOLD or name.startswith(_SETTINGS)}
    return {
        "argv": original(args),
        "cwd": str(here()),
        "env": {**told, "OXIOS_HOME": str(home)},
        "stdin": getattr(args, "stdin_read", b"").decode("utf-8", "surrogateescape"),
        "terminals": [_is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "version": __version__,
    }


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # None, or closed
        return False


def _now(line: Callable[[], None]) -> None:
    line()
