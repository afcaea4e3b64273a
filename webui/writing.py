"""Replies while they are written, as the Markdown they will be: drawn anew often, and never for more than it is worth.

Guarantees: a text that changed is drawn within WITHIN_S, or later by twenty times what drawing took, so that all of it
together takes a twentieth of the event loop at most, however long the texts are.
"""

from __future__ import annotations

from typing import Final

from kernel.clock import Clock

WITHIN_S: Final = 0.1
_TIMES: Final = 20


class Writing:
    """Which elements of a page changed since they were drawn, each with the stream that writes it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed: dict[str, str] = {}
        self._due_s = self._started_s = 0.0

    def changed(self, element: str, stream: str) -> None:
        if not self._changed:
            self._due_s = max(self._due_s, self._clock.monotonic_s() + WITHIN_S)
        self._changed[element] = stream

    def over(self, stream: str) -> None:
        """What the stream was writing stands in an entry: what it writes next is another element's."""
        self._changed = {element: other for element, other in self._changed.items() if other != stream}

    def wait_s(self) -> float | None:
        """How long until something is to be drawn; None where nothing is."""
        return max(0.0, self._due_s - self._clock.monotonic_s()) if self._changed else None

    def take(self) -> dict[str, str]:
        """What is to be drawn now; say `drawn` after it."""
        if self.wait_s() != 0.0:
            return {}
        self._started_s = self._clock.monotonic_s()
        taken, self._changed = self._changed, {}
        return taken

    def drawn(self) -> None:
        now_s = self._clock.monotonic_s()
        self._due_s = now_s + _TIMES * (now_s - self._started_s)
