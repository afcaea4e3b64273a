"""Who answers: the terminal of the command or the page, whichever is first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import anyio
import anyio.lowlevel
import pytest

from kernel.errors import Unavailable
from kernel.gate.asker import Answer
from kernel.gate.decision import Question
from kernel.ids import ApprovalId, RunId
from oxios.seat import Seat, seated
from oxios.server.asker import HouseAsker
from webui.asker import WebAsker

QUESTION = Question("exec", "ls", "why", "nothing", undoable=False, keys=())
RUN = RunId("r1")


@dataclass
class Terminal:
    """Says what it is given once it is let."""

    listening: bool = True
    says: str = ""
    cancelled: bool = False
    let: anyio.Event = field(default_factory=anyio.Event)

    async def approve(self, approval: ApprovalId, run: RunId | None, question: Question, wait_s: float) -> Answer:
        await self._wait()
        return Answer("once", self.says)

    async def ask(self, run: RunId | None, question: str, choices: tuple[str, ...]) -> str:
        if not self.listening:
            raise Unavailable("nobody")
        await self._wait()
        return self.says

    async def _wait(self) -> None:
        try:
            await self.let.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled = True
            raise


@dataclass
class Place:
    asker: Terminal


def _seat(terminal: Terminal) -> Seat:
    return cast("Seat", Place(terminal))


@pytest.mark.anyio
async def test_the_terminal_s_answer_ends_the_question_on_the_page() -> None:
    """Both are asked; once the terminal answered, the page waits for nothing."""
    page, terminal = WebAsker(), Terminal(says="blue")
    terminal.let.set()
    with seated(_seat(terminal)):
        assert await HouseAsker(page).ask(RUN, "which?", ()) == "blue"
    assert page.waiting(RUN) is None


@pytest.mark.anyio
async def test_the_page_s_answer_ends_the_question_at_the_terminal() -> None:
    """The terminal's question is taken back."""
    page, terminal, told = WebAsker(), Terminal(), list[str]()

    async def ask() -> None:
        with seated(_seat(terminal)):
            told.append(await HouseAsker(page).ask(RUN, "which?", ()))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        while page.waiting(RUN) is None:
            await anyio.lowlevel.checkpoint()
        page.answer(RUN, "red")
    assert (told, terminal.cancelled) == (["red"], True)


@pytest.mark.anyio
async def test_a_command_without_a_terminal_is_nobody_to_ask() -> None:
    """As without a server: it does not listen, and its questions fail; the page is not asked in its place."""
    page, asker = WebAsker(), None
    with seated(_seat(Terminal(listening=False))):
        asker = HouseAsker(page)
        assert not asker.listening
        with pytest.raises(Unavailable):
            await asker.ask(RUN, "which?", ())
    assert asker.listening
    assert page.waiting(RUN) is None
