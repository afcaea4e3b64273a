"""`ask_user`: a question reaches whoever listens."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from kernel.errors import Unavailable
from kernel.gate.asker import Asker, Nobody
from kernel.ids import RunId
from kernel.syscalls.declare import Services
from kernel.tools.ask import AskUserArgs, ask_user
from tests.unit.tool_world import ToolWorld

pytestmark = pytest.mark.anyio


class Somebody(Nobody):
    """Answers `blue`, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[RunId | None, str, tuple[str, ...]]] = []

    async def ask(self, run: RunId | None, question: str, choices: tuple[str, ...]) -> str:
        self.asked.append((run, question, choices))
        return "blue"


async def test_the_question_reaches_the_person_and_the_answer_the_agent(tmp_path: Path) -> None:
    """With the run that asks, and the choices it offers."""
    person = Somebody()
    result = await ToolWorld(tmp_path, Services((Asker, person))).call(
        ask_user, question="Which?", choices=["red", "blue"]
    )
    assert person.asked == [(RunId("r1"), "Which?", ("red", "blue"))]
    assert (result.text, result.data) == ("blue", {"chosen": True})


async def test_where_nobody_listens_it_fails_at_once(tmp_path: Path) -> None:
    """The agent reads that nobody is there, and what could be done."""
    with pytest.raises(Unavailable, match="nobody is there"):
        await ToolWorld(tmp_path, Services((Asker, Nobody()))).call(ask_user, question="Anyone?")


@pytest.mark.parametrize("choices", [["a", "a"], [""], ["x" * 201], [str(n) for n in range(11)]])
def test_choices_that_mean_nothing_are_refused(choices: list[str]) -> None:
    """The same twice, empty, too long, too many."""
    with pytest.raises(ValidationError):
        AskUserArgs.model_validate({"question": "q", "choices": choices})
