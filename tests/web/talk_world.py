"""A kernel with what stands between it and the pages, without a server: hub, conversations, rooms."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from kernel.boot import Kernel, open_kernel
from kernel.directive import Budget, Mount
from kernel.settings import load_settings
from kernel.testing.provider import ScriptedProvider, Turn
from ouroboros.projection import PROJECTORS
from ouroboros.session import Session
from ouroboros.sessionbook import Making, create
from tests.world import MODEL, OWNER
from webui.asker import WebAsker
from webui.conversations import Conversation, Conversations
from webui.rooms import Rooms
from webui.stream import Hub, open_hub
from webui.templates import Views


@dataclass(frozen=True, slots=True)
class TalkWorld:
    kernel: Kernel
    asker: WebAsker
    hub: Hub
    talks: Conversations
    rooms: Rooms
    provider: ScriptedProvider
    workspace: Path

    async def session(self, model: str = MODEL) -> Session:
        mounts = (Mount(str(self.workspace)),)
        making = Making(OWNER, mounts, model=model, budget=Budget())
        return await create(self.kernel.journal, making, self.kernel.clock.now_us())

    async def talk(self, model: str = MODEL) -> Conversation:
        return self.talks.of(await self.session(model))


@asynccontextmanager
async def open_talks(
    root: Path, script: Sequence[Turn] = (), *, settings: Mapping[str, str] | None = None
) -> AsyncGenerator[TalkWorld]:
    """The kernel of `root/home`, its agents in `root/work`, their model the script's."""
    workspace = root / "work"
    workspace.mkdir(exist_ok=True)
    loaded = load_settings(home=root / "home", cwd=root, overrides=dict(settings or {}), env={})
    asker, provider = WebAsker(), ScriptedProvider(script)
    async with (
        open_kernel(
            loaded, operator=OWNER, asker=asker, more_projectors=PROJECTORS, more_providers={"scripted": provider}
        ) as kernel,
        anyio.create_task_group() as tasks,
        open_hub(kernel, asker) as hub,
    ):
        talks = Conversations(kernel, tasks)
        rooms = Rooms(kernel, asker=asker, tasks=tasks, hub=hub, talks=talks, views=Views())
        yield TalkWorld(kernel, asker, hub, talks, rooms, provider, workspace.resolve())
        tasks.cancel_scope.cancel()
