"""What happens right now and is not journalled: streamed text, reasoning, tool progress.

Guarantees: an event reaches every listener of its run, in order. Listeners are plain calls on the
event loop that must neither wait nor raise. Loses: everything, to whoever was not
listening; the journal is the record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from kernel.ids import CallId, RunId


@dataclass(frozen=True, slots=True)
class LiveText:
    """`round` is that of the run's request (`model.request`), by which one reply's text is told from the next's."""

    run: RunId
    text: str
    round: int = 0


@dataclass(frozen=True, slots=True)
class LiveReasoning:
    run: RunId
    text: str
    round: int = 0


@dataclass(frozen=True, slots=True)
class LiveProgress:
    run: RunId
    call: CallId
    text: str


LiveEvent: TypeAlias = LiveText | LiveReasoning | LiveProgress
Listener: TypeAlias = Callable[[LiveEvent], None]


class LiveBus:
    """Fan-out of live events, by run or of all runs."""

    def __init__(self) -> None:
        self._listeners: dict[RunId | None, list[Listener]] = {}

    def subscribe(self, run: RunId | None, listener: Listener) -> Callable[[], None]:
        """Hear of `run`, or of all runs where it is None; the returned call ends it."""
        self._listeners.setdefault(run, []).append(listener)
        return lambda: self._drop(run, listener)

    def heard(self, run: RunId) -> bool:
        """Whether anyone listens: nobody pays for deltas that nobody sees."""
        return bool(self._listeners) and (run in self._listeners or None in self._listeners)

    def publish(self, event: LiveEvent) -> None:
        for key in (event.run, None):
            for listener in tuple(self._listeners.get(key, ())):
                listener(event)

    def _drop(self, run: RunId | None, listener: Listener) -> None:
        listeners = self._listeners.get(run, [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners:
            self._listeners.pop(run, None)
