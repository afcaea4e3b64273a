"""Going on with runs: what a crash left behind, what was paused, what was forked.

Guarantees: a run of a seed that finishes is reviewed, however often it was interrupted before. A run
that a crash left behind goes on by itself at the next start, RESUMES_MAX times at most: one that
takes Oxios down each time must not do so for ever.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import TaskGroup

from kernel.errors import NotFound, OxiosError
from kernel.ids import RunId
from kernel.log import get_logger
from kernel.runtime.state import RunState
from ouroboros.execute import asks_for_review, review_finished
from ouroboros.review import VERDICT
from oxios.frame import say
from oxios.seat import current

if TYPE_CHECKING:
    from kernel.boot import Kernel

RESUMES_MAX: Final = 5
UNREVIEWED_MAX: Final = 8
"""How many of the newest finished runs are looked at for a missing review."""
_log = get_logger("recover")


async def finish(kernel: Kernel, run: RunId) -> RunState:
    """Wait for a run, and review what its seed asks for. Raises: NotFound, JournalDown."""
    state = await kernel.runs.wait(run)
    if state.status != "finished":
        return state  # It says how the run ended even where the journal could not take that down.
    try:
        await review_finished(kernel, run)
    except NotFound as error:
        _log.warning("not_reviewed", run=run, why=error.message)  # Its seed was erased: nothing to review against.
    return await kernel.runs.state(run)


async def unreviewed(kernel: Kernel) -> list[RunId]:
    """Of the newest runs, those that finished and whose review a crash prevented."""
    if current() is not None:
        return []  # A server reviews what a crash left when it starts; what has no verdict now is about to get one.
    rows = await kernel.journal.rows(
        "runs", {"status": "finished"}, order="updated_us", descending=True, limit=UNREVIEWED_MAX
    )
    bare = [
        run
        for run in (RunId(str(row["id"])) for row in rows if row["seed"])
        if not await kernel.journal.read(stream=run, kind=VERDICT, limit=1)
    ]
    return [run for run in bare if await asks_for_review(kernel, run)]


@asynccontextmanager
async def recovering(kernel: Kernel, args: argparse.Namespace) -> AsyncGenerator[None]:
    """Resume what a crash left behind, and review what it left unreviewed, beside the block; wait for it after.

    In a server there is nothing to do: it did so when it started.
    """
    if current() is not None:
        yield
        return
    async with anyio.create_task_group() as group:
        await go_on(kernel, args, group)
        yield


async def go_on(
    kernel: Kernel, args: argparse.Namespace, tasks: TaskGroup, *, but: Collection[RunId] = ()
) -> list[RunId]:
    """Begin to carry on, in `tasks`, the runs that a crash left behind, `but` those; which they are."""
    left = [run for run in await kernel.supervisor.interrupted() if run not in but]
    runs = [run for run in left if await _resume(kernel, run, args)]
    runs += [run for run in await unreviewed(kernel) if run not in but]
    for run in runs:
        tasks.start_soon(_carry, kernel, run, args)
    return runs


async def _resume(kernel: Kernel, run: RunId, args: argparse.Namespace) -> bool:
    try:
        if (await kernel.runs.state(run)).resumes >= RESUMES_MAX:
            say(f"run {run} was interrupted again and again; resume it by hand: oxios runs resume {run}", args)
            return False
        await kernel.handle(kernel.operator).call("runs.resume", {"run": run})
    except OxiosError as error:
        say(f"run {run} was interrupted and cannot go on: {error.explain()}", args)
        return False
    say(f"run {run} was interrupted by a crash; it goes on", args)
    return True


async def _carry(kernel: Kernel, run: RunId, args: argparse.Namespace) -> None:
    try:
        state = await finish(kernel, run)
    except OxiosError as error:
        say(f"run {run}: {error.explain()}", args)
    else:
        say(f"run {run}, which was interrupted, is {state.status}{f': {state.note}' if state.note else ''}", args)
