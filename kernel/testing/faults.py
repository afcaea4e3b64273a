"""Faults on demand: what fails, at which named point, how often; and a store that obeys.

A plan is shared between the test and the code under test, across threads: `fail` arms a point,
`heal` clears it, and the code calls `hit` where the world could fail.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from kernel.errors import JournalDown
from kernel.ports.store import Batch, Store, StoreReader, StoreWriter, TreeRow


@dataclass(slots=True)
class FaultPlan:
    """Points that fail; `hits` counts how often each point was passed."""

    hits: dict[str, int] = field(default_factory=dict[str, int])
    _armed: dict[str, tuple[BaseException, int]] = field(default_factory=dict[str, tuple[BaseException, int]])
    _lock: Lock = field(default_factory=Lock)

    def fail(self, point: str, error: BaseException, times: int = 1_000_000) -> None:
        """Raise `error` at the next `times` hits of `point`."""
        with self._lock:
            self._armed[point] = (error, times)

    def heal(self, point: str) -> None:
        with self._lock:
            self._armed.pop(point, None)

    @contextmanager
    def failing(self, point: str, error: BaseException) -> Generator[None]:
        self.fail(point, error)
        try:
            yield
        finally:
            self.heal(point)

    def hit(self, point: str) -> None:
        with self._lock:
            self.hits[point] = self.hits.get(point, 0) + 1
            error, times = self._armed.pop(point, (None, 0))
            if error is not None and times > 1:
                self._armed[point] = (error, times - 1)
        if error is not None:
            raise error


def disk_full() -> JournalDown:
    """What a store raises when the disk is full."""
    return JournalDown("could not write the journal: the disk is full", remedy="free disk space", retry_after_s=1.0)


class FaultyStore:
    """Any store, failing as its plan says.

    Points: `writer` (connecting), `commit.before` (nothing was written), `commit.after` (all was
    written, and the answer was lost), `probe`, `read`.
    """

    def __init__(self, store: Store, plan: FaultPlan) -> None:
        self._store = store
        self._plan = plan

    @property
    def address(self) -> str:
        return self._store.address

    def prepare(self) -> None:
        self._store.prepare()

    def writer(self) -> StoreWriter:
        self._plan.hit("writer")
        return _FaultyWriter(self._store.writer(), self._plan)

    def reader(self) -> StoreReader:
        self._plan.hit("read")
        return self._store.reader()


class _FaultyWriter:
    def __init__(self, writer: StoreWriter, plan: FaultPlan) -> None:
        self._writer = writer
        self._plan = plan

    def commit(self, batch: Batch) -> None:
        self._plan.hit("commit.before")
        self._writer.commit(batch)
        self._plan.hit("commit.after")

    def tree(self) -> TreeRow:
        return self._writer.tree()

    def probe(self) -> None:
        self._plan.hit("probe")
        self._writer.probe()

    def close(self) -> None:
        self._writer.close()
