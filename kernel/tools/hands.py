"""Threads for short acts on files: each is handed one job and hands back what came of it.

Guarantees: a job that was handed over runs, whoever stops waiting for it; what it raises is raised to
whoever waits; jobs run side by side, up to `HANDS_MAX`, the others in the order they came. What a
thread of anyio's would cost (a limiter, a scope, a context) is half of what a small file's change takes.
Does not bound how long a job takes: a file system that hangs keeps a thread, as it would anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, TypeVar

T = TypeVar("T")

HANDS_MAX: Final = 16

_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Hands:
    """Threads are started when they are first needed and end with the process."""

    def __init__(self, hands_max: int = HANDS_MAX) -> None:
        self._hands_max = hands_max
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._hands = 0
        self._busy = 0

    async def do(self, job: Callable[[], T]) -> T:
        """Run `job` on a thread and wait for it; what it raises is raised here."""
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._busy += 1
        if self._busy > self._hands < self._hands_max:
            self._hands += 1
            Thread(target=self._work, name=f"hand-{self._hands}", daemon=True).start()
        self._jobs.put((job, outcome))
        return await outcome

    def _work(self) -> None:
        while True:
            job, outcome = self._jobs.get()
            result: Any = None
            error: BaseException | None = None
            try:
                result = job()
            except BaseException as raised:  # noqa: BLE001 -- whoever waits raises it
                error = raised
            # Where the loop is gone, nobody waits any more.
            with suppress(RuntimeError):
                outcome.get_loop().call_soon_threadsafe(self._tell, outcome, result, error)
            del job, outcome, result, error  # Nothing of a job is kept until the next one comes.

    def _tell(self, outcome: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self._busy -= 1
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)
