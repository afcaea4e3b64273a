"""A few connections for reading, so that a long read keeps no other waiting.

Guarantees: a connection is used by one thread at a time; at most READERS_MAX are open, the others only once
they are needed; after `close` none is left, also where a read was under way.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread

from kernel.ports.store import Store, StoreReader

READERS_MAX: Final = 4

T = TypeVar("T")


class Readers:
    """`first` is open already: whoever has it knows that the store can be read."""

    def __init__(self, store: Store, first: StoreReader) -> None:
        self._store = store
        self._idle = [first]
        self._limiter = CapacityLimiter(READERS_MAX)
        self._lock = Lock()
        self._closed = False
        self._last = first

    async def do(self, job: Callable[[StoreReader], T]) -> T:
        """Run `job` in a thread. Raises: JournalDown, whatever it raises."""
        return await to_thread.run_sync(self._work, job, limiter=self._limiter)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()

    def _work(self, job: Callable[[StoreReader], T]) -> T:
        reader = self._take()
        try:
            return job(reader)
        finally:
            self._give(reader)

    def _take(self) -> StoreReader:
        with self._lock:
            if self._closed:
                return self._last  # It says itself that the journal is closed.
            if self._idle:
                return self._idle.pop()
        return self._store.reader()

    def _give(self, reader: StoreReader) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(reader)
                return
        reader.close()
