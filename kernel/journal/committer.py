"""The one thread that writes: it runs the jobs it is given, in order, one at a time.

Guarantees: a job's outcome reaches the event loop in one call; `stop` returns after the last job.
Does not protect against a job that never returns: the store's deadlines see to that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]


class Committer:
    """Belongs to the event loop that made it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # A daemon, so that a process whose loop died in an error still ends.
        self._thread = Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        """Run `job` on the thread, then `done(result, error)` on the loop."""
        self._jobs.put((job, done))

    async def call(self, job: Callable[[], T]) -> T:
        """Run `job` on the thread and wait for it; what it raises is raised here."""
        outcome: asyncio.Future[T] = self._loop.create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if outcome.done():
                return
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(result)

        self.submit(job, done)
        return await outcome

    def stop(self) -> None:
        """No job may be submitted after this. Blocks until those before it are over."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            result: Any = None
            error: BaseException | None = None
            try:
                result = job()
            except BaseException as raised:  # noqa: BLE001 -- the waiter on the loop raises it
                error = raised
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(done, result, error)
