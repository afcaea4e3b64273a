"""What lives as long as the server: the kernel and what the pages stand on.

Guarantees: when `open_house` is left, no task of the pages is left and no browser holds the server up.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from kernel.boot import Kernel
from kernel.errors import NotFound
from kernel.observe.metrics import Metrics
from webui.asker import WebAsker
from webui.audiences import Audiences
from webui.conversations import Conversations
from webui.figures import Figures
from webui.options import WebOptions
from webui.readiness import Readiness
from webui.rooms import Rooms
from webui.samples import Samples, figures_of
from webui.security.doors import Doors, open_doors
from webui.stream import Hub, open_hub
from webui.templates import Views
from webui.user import User


@dataclass(frozen=True, slots=True)
class House:
    kernel: Kernel
    asker: WebAsker
    tasks: TaskGroup
    hub: Hub
    conversations: Conversations
    rooms: Rooms
    audiences: Audiences
    doors: Doors
    views: Views
    options: WebOptions
    metrics: Metrics
    readiness: Readiness
    figures: Figures
    samples: Samples
    opened_us: int

    def workspace(self, user: User) -> Path:
        """Where a user's agents work: the place that the user holds. Raises: NotFound, for one who has none."""
        if user.principal == self.kernel.operator:
            return self.options.workspace
        place = self.kernel.users.find(user.name).workspace
        if not place:
            raise NotFound(f"{user.name} has no workspace", remedy="a viewer works with no agents")
        return Path(place)


@asynccontextmanager
async def open_house(kernel: Kernel, asker: WebAsker, options: WebOptions | None = None) -> AsyncGenerator[House]:
    """`asker` is the one that the kernel was opened with. Raises: JournalDown."""
    options = options or WebOptions()
    async with anyio.create_task_group() as tasks, open_hub(kernel, asker) as hub:
        doors = await open_doors(kernel, options)
        talks = Conversations(kernel, tasks)
        views = Views()
        tasks.start_soon(views.warm)
        rooms = Rooms(kernel, asker=asker, tasks=tasks, hub=hub, talks=talks, views=views)
        audiences = Audiences(hub, tasks)
        metrics, readiness = Metrics(), Readiness(kernel)
        end_metrics = kernel.journal.subscribe(metrics.observe)

        def measured() -> dict[str, float]:
            live = {"running": float(len(kernel.supervisor.live)), "clients": float(audiences.listeners)}
            return {**live, **figures_of(metrics)}

        samples = Samples(kernel.clock, measured)
        tasks.start_soon(samples.run)
        figures = Figures(kernel.journal)
        yield House(
            kernel=kernel,
            asker=asker,
            tasks=tasks,
            hub=hub,
            conversations=talks,
            rooms=rooms,
            audiences=audiences,
            doors=doors,
            views=views,
            options=options,
            metrics=metrics,
            readiness=readiness,
            figures=figures,
            samples=samples,
            opened_us=kernel.clock.now_us(),
        )
        end_metrics()
        doors.close()
        hub.close()
        tasks.cancel_scope.cancel()
