"""The terminal as asker: approvals by one key, questions by one line.

Guarantees: everything is drawn on stderr, so stdout stays data; without a terminal on stdin and
stderr nobody listens. Questions of parallel calls are asked one after the other. Cancelling a
question (it was answered elsewhere, its time is up, the run was stopped) ends the reading thread
and leaves the terminal as it was: settings are put back in every case. What an agent wrote is shown
with control characters escaped.

Does not wait for ever: an approval's time left is shown and counts down.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TextIO, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from kernel.clock import Clock, SystemClock
from kernel.errors import OxiosError, Stopped, Unavailable
from kernel.gate.asker import Answer, Choice
from kernel.gate.decision import Question
from kernel.gate.policy import remembered_by
from kernel.gate.question import plain
from kernel.ids import ApprovalId, RunId

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

T = TypeVar("T")

ASK_WAIT_S: Final = 600.0
REASON_WAIT_S: Final = 60.0
LINE_CHARS_MAX: Final = 4_096

_COLUMNS: Final = 80
_TICK_S: Final = 1.0
_SEQUENCE_S: Final = 0.02
_UTF8_BYTES_MAX: Final = 4
_KEYS: Final[dict[str, Choice]] = {"o": "once", "r": "run", "a": "always", "d": "deny", "y": "once", "n": "deny"}
_END: Final = frozenset({"\x04", ""})


@dataclass(slots=True)
class TerminalAsker:
    """Asks on the terminal that `stdin` and `stderr` are."""

    stdin: TextIO = field(default_factory=lambda: sys.stdin)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Clock = field(default_factory=SystemClock)
    pause: Callable[[], None] = lambda: None
    """Called before drawing, for whoever else draws on the terminal (live steps)."""
    go_on: Callable[[], None] = lambda: None
    no_color: bool = False
    _turn: anyio.Lock = field(default_factory=anyio.Lock)

    @property
    def listening(self) -> bool:
        try:
            return self.stdin.isatty() and self.stderr.isatty()
        except ValueError:  # closed
            return False

    async def approve(self, approval: ApprovalId, run: RunId | None, question: Question, wait_s: float) -> Answer:
        """One key: o once, r this run, a always, d deny (then a reason, or just Enter)."""
        ends_s = self.clock.monotonic_s() + wait_s
        async with self._turn:
            left_s = ends_s - self.clock.monotonic_s()
            if left_s <= 0:
                return Answer("deny", "its time ran out while other questions were asked")
            return await self._reading(lambda keys: self._approve(approval, run, question, keys, left_s))

    async def ask(self, run: RunId | None, question: str, choices: tuple[str, ...]) -> str:
        """Raises: Unavailable, where nobody listens or nobody answers within ASK_WAIT_S."""
        if not self.listening:
            raise Unavailable("nobody is there to answer", remedy="run it in a terminal, or put the answer in the goal")
        async with self._turn:
            return await self._reading(lambda keys: self._ask(run, question, choices, keys))

    async def _reading(self, conversation: Callable[[_Keys], T]) -> T:
        """Run a conversation in a worker thread; cancellation wakes and ends it before this returns.

        Raises: OxiosError, as the conversation does.
        """
        wake_read, wake_write = os.pipe()
        keys = _Keys(self.stdin.fileno(), wake_read)
        said: list[T | OxiosError] = []

        def talk() -> None:
            try:
                with _single_keys(keys.terminal):
                    said.append(conversation(keys))
            except OxiosError as error:
                said.append(error)

        self.pause()
        try:
            # Not abandoned on cancellation: a thread that still read would steal the person's next keys.
            async with anyio.create_task_group() as group:
                group.start_soon(_wake_when_cancelled, wake_write)
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(talk)
                group.cancel_scope.cancel()
        finally:
            os.close(wake_read)
            os.close(wake_write)
            self.go_on()
        await anyio.lowlevel.checkpoint()  # a cancelled question has no answer
        if isinstance(said[0], OxiosError):
            raise said[0]
        return said[0]

    def _approve(
        self, approval: ApprovalId, run: RunId | None, question: Question, keys: _Keys, left_s: float
    ) -> Answer:
        console = self._console()
        self._draw(console, approval, run, question)
        ends_s = self.clock.monotonic_s() + left_s
        offered = _offered(question)
        while True:
            left_s = ends_s - self.clock.monotonic_s()
            if left_s <= 0:
                console.print("\n[dim]no answer in time: denied[/dim]")
                return Answer("deny", "nobody answered in time")
            self.stderr.write(f"\r\x1b[K{_menu(offered, left_s, self._columns())}")
            self.stderr.flush()
            key = keys.key(min(_TICK_S, left_s))
            if key is None:
                continue
            if keys.woken:
                console.print("\n[dim]no longer asked[/dim]")
                return Answer("deny", "no longer asked")
            choice = _choice(key, offered)
            if choice is None:
                continue
            self.stderr.write(f"{choice}\n")
            return Answer(choice, self._reason(keys) if choice == "deny" and key not in _END else "")

    def _reason(self, keys: _Keys) -> str:
        self.stderr.write("why (Enter for no reason): ")
        self.stderr.flush()
        return keys.line(REASON_WAIT_S, self.stderr) or ""

    def _ask(self, run: RunId | None, question: str, choices: tuple[str, ...], keys: _Keys) -> str:
        console = self._console()
        console.rule(f"question{f' of {run}' if run else ''}", align="left")
        console.print(plain(question), markup=False, highlight=False)
        for number, choice in enumerate(choices, 1):
            console.print(f"  {number}. {plain(choice)}", markup=False, highlight=False)
        while True:
            self.stderr.write("number or text> " if choices else "> ")
            self.stderr.flush()
            said = keys.line(ASK_WAIT_S, self.stderr)
            if keys.woken:
                raise Stopped("the question was given up")
            if said is None:
                raise Unavailable(f"nobody answered within {ASK_WAIT_S:g} s", remedy="ask again, or go on without")
            picked = _picked(said.strip(), choices)
            if picked:
                return picked
            self.stderr.write("say something, or press Ctrl-C to stop the run\n")

    def _draw(self, console: Console, approval: ApprovalId, run: RunId | None, question: Question) -> None:
        console.rule(
            f"[bold]{plain(question.tool)}[/bold] wants to run  [dim]{approval} {run or ''}[/dim]", align="left"
        )
        rows: tuple[tuple[str, str], ...] = (
            ("target", question.target),
            ("why", question.why),
            ("enables", question.enables),
            ("undo", "can be undone (oxios undo)" if question.undoable else "cannot be undone"),
        )
        if question.keys:
            rows += (("covers", f"{', '.join(remembered_by(question.keys))}  (run, always)"),)
        console.print(_indented(rows))

    def _columns(self) -> int:
        """Of this terminal now; what one without a size is taken to have."""
        try:
            return os.get_terminal_size(self.stderr.fileno()).columns or _COLUMNS
        except (OSError, ValueError):
            return _COLUMNS

    def _console(self) -> Console:
        from rich.console import Console  # noqa: PLC0415 -- only once something is asked

        return Console(file=self.stderr, color_system=None if self.no_color else "auto")


class _Keys:
    """What is typed, read without buffering, until the thread is woken."""

    def __init__(self, terminal: int, wake: int) -> None:
        self.terminal = terminal
        self.woken = False
        self._wake = wake

    def key(self, wait_s: float) -> str | None:
        """One character; None after `wait_s`; "" at the end of input or when woken."""
        ready, _, _ = select.select([self.terminal, self._wake], [], [], max(0.0, wait_s))
        if self._wake in ready:
            self.woken = True
            return ""
        if not ready:
            return None
        typed = os.read(self.terminal, 1)
        while typed and not typed.isascii() and not _complete(typed):
            typed += os.read(self.terminal, 1)
        key = typed.decode("utf-8", "replace")
        if key == "\x1b":
            self._drop_sequence()
        return key

    def line(self, wait_s: float, echo: TextIO) -> str | None:
        """A line, with backspace; None after `wait_s` without a key, or when woken."""
        typed: list[str] = []
        while True:
            key = self.key(wait_s)
            if key is None or self.woken:
                return None
            if key in {"\r", "\n"} or key in _END:
                echo.write("\n")
                echo.flush()
                return "".join(typed)
            if key in {"\x7f", "\b"}:
                if typed:
                    typed.pop()
                    echo.write("\b \b")
            elif key.isprintable() and len(typed) < LINE_CHARS_MAX:
                typed.append(key)
                echo.write(key)
            echo.flush()

    def _drop_sequence(self) -> None:
        """An arrow or function key sends several characters: none of them is an answer."""
        introduced = self._more()
        if introduced not in {b"[", b"O"}:
            return
        while (part := self._more()) and not b"@" <= part <= b"~":
            continue

    def _more(self) -> bytes:
        """The next byte, where it comes with the one before it."""
        ready, _, _ = select.select([self.terminal], [], [], _SEQUENCE_S)
        return os.read(self.terminal, 1) if ready else b""


async def _wake_when_cancelled(wake: int) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        os.write(wake, b"x")


@contextmanager
def _single_keys(terminal: int) -> Generator[None]:
    """Keys as they are pressed, unechoed; the terminal's settings are put back in every case.

    Ctrl-C stays a signal: it cancels the run, and that wakes the reading thread.
    """
    before = termios.tcgetattr(terminal)
    try:
        # Keys typed before the question was drawn are no answer to it: TCSAFLUSH drops them.
        tty.setcbreak(terminal, termios.TCSAFLUSH)
        yield
    finally:
        with suppress(termios.error):  # The terminal is gone: nothing to put back.
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _indented(rows: tuple[tuple[str, str], ...]) -> Table:
    """A name and its text each, whose later lines begin under the text: no target draws a row of its own."""
    from rich.table import Table  # noqa: PLC0415 -- only once something is asked
    from rich.text import Text  # noqa: PLC0415 -- as above

    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(Text(f"{name:8}"), Text(plain(text)))
    return table


def _offered(question: Question) -> tuple[Choice, ...]:
    """What cannot be remembered is allowed once, or denied."""
    return ("once", "run", "always", "deny") if question.keys else ("once", "deny")


def _menu(offered: tuple[Choice, ...], left_s: float, columns: int) -> str:
    """One line, on a narrow terminal too: it is written over itself."""
    names = {"once": "[o]nce", "run": "this [r]un", "always": "[a]lways", "deny": "[d]eny"}
    whole = f"{'  '.join(names[choice] for choice in offered)}  ({left_s:.0f} s left) "
    return whole if len(whole) < columns else f"{' '.join(f'[{choice[0]}]' for choice in offered)} ({left_s:.0f} s) "


def _choice(key: str, offered: tuple[Choice, ...]) -> Choice | None:
    if key in _END:
        return "deny"
    choice = _KEYS.get(key.lower())
    return choice if choice in offered else None


def _picked(said: str, choices: tuple[str, ...]) -> str:
    if said in map(str, range(1, len(choices) + 1)):
        return choices[int(said) - 1]
    return said


def _complete(typed: bytes) -> bool:
    try:
        typed.decode()
    except UnicodeDecodeError:
        return len(typed) == _UTF8_BYTES_MAX
    return True
