"""The terminal's asker, over a real pseudo-terminal."""

from __future__ import annotations

import io
import os
import pty
import termios
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

import anyio
import pytest

from kernel.errors import Unavailable
from kernel.gate.asker import Answer
from kernel.gate.decision import Question
from kernel.ids import ApprovalId, RunId
from oxios.prompt import TerminalAsker

QUESTION = Question(
    tool="exec",
    target="git push",
    why="agent:r1 calls exec for: publish",
    enables="it can send anything it reads",
    undoable=False,
    keys=("exec:git", "exec"),
)
ID, RUN = ApprovalId("p1"), RunId("r1")


@dataclass
class Terminal:
    """A pseudo-terminal: what is shown is collected, what is typed is written by the test."""

    outer: int
    asker: TerminalAsker
    shown: str = ""
    settings: list[object] = field(default_factory=list[object])

    async def see(self, text: str) -> None:
        """Read until the terminal shows `text`."""
        with anyio.fail_after(10):
            while text not in self.shown:
                await anyio.wait_readable(self.outer)
                self.shown += os.read(self.outer, 65536).decode()

    def type(self, text: str) -> None:
        os.write(self.outer, text.encode())

    def now(self) -> list[object]:
        return termios.tcgetattr(self.asker.stdin.fileno())


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    outer, inner = pty.openpty()
    with open(inner, closefd=False) as stdin, open(inner, "w", closefd=False) as stderr:
        made = Terminal(outer, TerminalAsker(stdin, stderr, no_color=True))
        made.settings = made.now()
        yield made
    os.close(inner)
    os.close(outer)


def approve(
    terminal: Terminal, typing: Callable[[], Awaitable[None]], question: Question = QUESTION, wait_s: float = 30
) -> Answer:
    """Put the question and type meanwhile; the terminal must be as before afterwards."""
    answers: list[Answer] = []

    async def put() -> None:
        answers.append(await terminal.asker.approve(ID, RUN, question, wait_s))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(put)
            await typing()

    anyio.run(main)
    assert terminal.now() == terminal.settings
    return answers[0]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("o", Answer("once")),
        ("r", Answer("run")),
        ("a", Answer("always")),
        ("A", Answer("always")),
        ("xq\x1b[Ao", Answer("once")),
        ("d\n", Answer("deny")),
        ("dtoo ear\x7f\x7farly, später\n", Answer("deny", "too early, später")),
        ("\x04", Answer("deny")),
    ],
)
def test_a_key_answers(terminal: Terminal, typed: str, answer: Answer) -> None:
    """Each key means its choice, others (arrows too) mean nothing, and deny takes a reason."""

    async def typing() -> None:
        await terminal.see("s left)")
        terminal.type(typed)

    assert approve(terminal, typing) == answer


def test_the_choices_stay_on_their_line_in_a_narrow_terminal(terminal: Terminal) -> None:
    """The line is written over itself each second: it is shorter than the terminal is wide."""
    termios.tcsetwinsize(terminal.outer, (20, 40))

    async def typing() -> None:
        await terminal.see("[d] (")
        terminal.type("o")

    assert approve(terminal, typing) == Answer("once")
    assert max(map(len, terminal.shown.rpartition("\r\x1b[K")[2].splitlines())) < 40


def test_the_question_shows_what_it_is_about(terminal: Terminal) -> None:
    """Target, why, what it enables, whether it can be undone, the keys and the time left are all there."""

    async def typing() -> None:
        await terminal.see("s left)")
        terminal.type("o")

    approve(terminal, typing)
    for text in ("git push", "for: publish", "send anything", "cannot be undone", "exec:git", "(30 s left)", "p1"):
        assert text in terminal.shown
    assert "[a]lways" in terminal.shown


def test_what_cannot_be_remembered_is_not_offered(terminal: Terminal) -> None:
    """A dangerous command is allowed once or denied: r and a do nothing."""

    async def typing() -> None:
        await terminal.see("s left)")
        terminal.type("rao")

    assert approve(terminal, typing, replace(QUESTION, keys=())) == Answer("once")
    assert "lways" not in terminal.shown


def test_an_agent_cannot_draw_on_the_terminal(terminal: Terminal) -> None:
    """Escape sequences and direction marks in a target are shown as text."""

    async def typing() -> None:
        await terminal.see("s left)")
        terminal.type("d\n")

    approve(terminal, typing, replace(QUESTION, target="ls \x1b[2J\r\u202egnp.exe [bold]x"))
    assert "\\x1b[2J" in terminal.shown
    assert "\\u202egnp" in terminal.shown
    assert "[bold]x" in terminal.shown
    assert "\x1b[2J" not in terminal.shown


@pytest.mark.parametrize("gap", ["\n", " " * 71])
def test_a_target_cannot_draw_a_row_of_its_own(terminal: Terminal, gap: str) -> None:
    """Lines after a target's first, written or wrapped, begin under it, so none of them passes for another field."""
    termios.tcsetwinsize(terminal.outer, (40, 80))

    async def typing() -> None:
        await terminal.see("s left)")
        terminal.type("o")

    approve(terminal, typing, replace(QUESTION, target=f"git push{gap}undo     can be undone"))
    lines = [line.rstrip() for line in terminal.shown.splitlines()]
    assert " " * 9 + "undo     can be undone" in lines
    assert [line for line in lines if line.startswith("undo")] == ["undo     cannot be undone"]


def test_keys_typed_before_the_question_are_no_answer(terminal: Terminal) -> None:
    """What was typed ahead is dropped, so nobody allows what they have not seen."""
    terminal.type("ooo")
    anyio.run(terminal.see, "ooo")  # Echoed: the keys have arrived and wait to be read.

    async def typing() -> None:
        await terminal.see("s left)")
        terminal.type("d\n")

    assert approve(terminal, typing).choice == "deny"


def test_time_runs_out_at_the_terminal_too(terminal: Terminal) -> None:
    """Without a key the question ends by itself, as a denial."""

    async def nothing() -> None:
        await terminal.see("denied")

    assert approve(terminal, nothing, wait_s=0.05).choice == "deny"


def test_cancelling_ends_the_reading_and_leaves_the_next_key_alone(terminal: Terminal) -> None:
    """A question answered elsewhere goes away at once; the next question gets the next key."""

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(terminal.asker.approve, ID, RUN, QUESTION, 30.0)
            await terminal.see("s left)")
            group.cancel_scope.cancel()
        assert terminal.now() == terminal.settings
        terminal.shown = ""

        async def typing() -> None:
            await terminal.see("s left)")
            terminal.type("o")

        async with anyio.create_task_group() as group:
            group.start_soon(typing)
            assert await terminal.asker.approve(ID, RUN, QUESTION, 30.0) == Answer("once")

    anyio.run(main)
    assert terminal.now() == terminal.settings


def test_questions_at_once_are_asked_one_after_the_other(terminal: Terminal) -> None:
    """Two parallel calls do not share a key."""
    answers: dict[str, Answer] = {}

    async def put(target: str) -> None:
        answers[target] = await terminal.asker.approve(ID, RUN, replace(QUESTION, target=target), 30.0)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(put, "first thing")
            await anyio.wait_all_tasks_blocked()
            group.start_soon(put, "second thing")
            await terminal.see("s left)")
            assert "second thing" not in terminal.shown
            terminal.shown = ""
            terminal.type("o")
            await terminal.see("second thing")
            await terminal.see("s left)")
            terminal.type("d\n")

    anyio.run(main)
    assert answers == {"first thing": Answer("once"), "second thing": Answer("deny")}


@pytest.mark.parametrize(
    ("choices", "typed", "said"),
    [
        ((), "blue\n", "blue"),
        (("red", "blue"), "2\n", "blue"),
        (("red", "blue"), "\ngreen\n", "green"),
        ((), "3\n", "3"),
    ],
)
def test_a_question_takes_a_line_or_a_number(
    terminal: Terminal, choices: tuple[str, ...], typed: str, said: str
) -> None:
    """`ask_user` gets the text, or the choice of that number; nothing is no answer."""
    answers: list[str] = []

    async def put() -> None:
        answers.append(await terminal.asker.ask(RUN, "which colour?", choices))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(put)
            await terminal.see("> ")
            terminal.type(typed)

    anyio.run(main)
    assert answers == [said]
    assert "which colour?" in terminal.shown
    assert terminal.now() == terminal.settings


def test_without_a_terminal_nobody_listens() -> None:
    """Pipes, files and a closed stdin are nobody: approvals are denied, questions say so."""
    read, write = os.pipe()
    closed = io.StringIO()
    closed.close()
    with os.fdopen(read) as stdin, os.fdopen(write, "w") as stderr:
        for asker in (TerminalAsker(stdin, stderr), TerminalAsker(io.StringIO(), io.StringIO()), TerminalAsker(closed)):
            assert asker.listening is False
        with pytest.raises(Unavailable):
            anyio.run(TerminalAsker(stdin, stderr).ask, None, "who?", ())


def test_with_a_terminal_somebody_listens(terminal: Terminal) -> None:
    """Both stdin and stderr must be terminals."""
    assert terminal.asker.listening is True
    assert replace(terminal.asker, stderr=io.StringIO()).listening is False
