"""A kernel with a scripted model and a session in it; and a model of its own for one phase alone."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kernel.boot import Kernel, open_kernel
from kernel.directive import Budget, Mount
from kernel.ids import user
from kernel.journal.entry import Entry
from kernel.settings import load_settings
from kernel.testing.provider import ScriptedProvider, Turn, say
from ouroboros.cycle import Cycle
from ouroboros.nodes import Answer, Question
from ouroboros.phases import Accepting, Person
from ouroboros.projection import PROJECTORS
from ouroboros.seedbook import read_stream
from ouroboros.session import Session
from ouroboros.sessionbook import Making, SessionBook, create

OWNER: Final = user("tester")
MODEL: Final = "scripted/model"
TRIVIAL: Final = {"kind": "task", "scope": "trivial", "clarity": {"goal": 1, "constraints": 1, "success": 1}}
SUBSTANTIAL: Final = {**TRIVIAL, "scope": "substantial"}


@dataclass(slots=True)
class FakeModel:
    """Gives its answers in order, texts or values as JSON; `asked` keeps the questions."""

    answers: list[object]
    speaks: bool = True
    calls: tuple[str, ...] = ()
    asked: list[Question] = field(default_factory=list[Question])

    async def reply(self, question: Question) -> Answer:
        self.asked.append(question)
        answer = self.answers.pop(0)
        return Answer(answer if isinstance(answer, str) else json.dumps(answer), self.calls)


@dataclass(slots=True)
class CycleWorld:
    """One session of a kernel; `provider` is what both its phases and its agents ask."""

    kernel: Kernel
    cycle: Cycle
    provider: ScriptedProvider
    workspace: Path

    @property
    def session(self) -> Session:
        return self.cycle.session

    @property
    def book(self) -> SessionBook:
        return SessionBook(self.kernel.journal, OWNER)

    async def entries(self, kind: str = "") -> list[Entry]:
        await self.kernel.journal.flush()
        return [one for one in await read_stream(self.kernel.journal, self.session.id) if not kind or one.kind == kind]

    async def phases(self) -> list[tuple[str, bool]]:
        """Each phase that ended, and whether it ended well."""
        ended = [one.payload or {} for one in await self.entries("phase.finished")]
        return [(str(one["phase"]), bool(one["ok"])) for one in ended]


def told(value: object) -> Turn:
    """A turn of the script that answers with JSON."""
    return say(json.dumps(value))


@asynccontextmanager
async def open_cycle(
    root: Path,
    script: Sequence[Turn] = (),
    *,
    settings: Mapping[str, str] | None = None,
    person: Person | None = None,
    model: str = MODEL,
    budget: Budget | None = None,
    session: str = "",
    **making: Any,
) -> AsyncGenerator[CycleWorld]:
    """The kernel of `root/home`; `session` goes on in one that is there, else a new one is made in `root/work`."""
    workspace = root / "work"
    workspace.mkdir(exist_ok=True)
    loaded = load_settings(home=root / "home", cwd=root, overrides=dict(settings or {}), env={})
    provider = ScriptedProvider(script)
    async with open_kernel(
        loaded, operator=OWNER, more_projectors=PROJECTORS, more_providers={"scripted": provider}
    ) as kernel:
        if session:
            found = await SessionBook(kernel.journal, OWNER).find(session)
        else:
            mounts = (Mount(str(workspace.resolve())),)
            made = Making(OWNER, mounts, model=model, budget=budget or Budget(), **making)
            found = await create(kernel.journal, made, kernel.clock.now_us())
        yield CycleWorld(kernel, Cycle(kernel, found, person or Accepting()), provider, workspace.resolve())
