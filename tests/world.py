"""A whole kernel in a temporary home, with a model that plays a script."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

from kernel.boot import Kernel, open_kernel
from kernel.directive import Budget, Directive, ExecEnv, Mount
from kernel.gate.asker import Asker
from kernel.ids import RunId, user
from kernel.journal.entry import Entry
from kernel.runtime.state import RunState
from kernel.settings import load_settings
from kernel.testing.provider import ScriptedProvider, Turn

OWNER: Final = user("tester")
MODEL: Final = "scripted/model"


@dataclass(frozen=True, slots=True)
class World:
    """A kernel and the directory its agents work in."""

    kernel: Kernel
    workspace: Path

    async def start(
        self,
        goal: str = "do it",
        *,
        budget: Budget | None = None,
        approve: str = "",
        hint: str = "",
        model: str = MODEL,
    ) -> RunId:
        mounts = (Mount(str(self.workspace)),)
        env = ExecEnv(mounts=mounts, budget=budget or Budget(), cspace_hint=hint, model=model)
        return await self.kernel.runs.start(Directive(goal), env, owner=OWNER, approve=approve)

    async def run(
        self, goal: str = "do it", *, budget: Budget | None = None, approve: str = "", hint: str = ""
    ) -> RunState:
        return await self.kernel.runs.wait(await self.start(goal, budget=budget, approve=approve, hint=hint))

    async def entries(self, run: RunId, kind: str = "") -> list[Entry]:
        await self.kernel.journal.flush()
        found = await self.kernel.journal.read(stream=run)
        return [entry for entry in found if not kind or entry.kind == kind]


@asynccontextmanager
async def open_world(
    root: Path,
    script: Sequence[Turn] = (),
    *,
    asker: Asker | None = None,
    settings: Mapping[str, str] | None = None,
    provider: ScriptedProvider | None = None,
) -> AsyncGenerator[World]:
    """The kernel of `root/home`, its agents in `root/work`, their model the script's."""
    workspace = root / "work"
    workspace.mkdir(exist_ok=True)
    loaded = load_settings(home=root / "home", cwd=root, overrides=dict(settings or {}), env={})
    scripted = {"scripted": provider or ScriptedProvider(script)}
    async with open_kernel(loaded, operator=OWNER, asker=asker, more_providers=scripted) as kernel:
        yield World(kernel, workspace.resolve())


async def until(path: Path) -> None:
    """Wait for a sign that a program of the agent makes."""
    with anyio.fail_after(20):
        while not await anyio.Path(path).exists():  # noqa: ASYNC110 -- another process makes it
            await anyio.sleep(0.01)
