"""What waits while a question stands on the terminal.

Guarantees: lines given here never appear between a question and its answer; they follow it in order,
the newest HELD_LINES_MAX of them, and how many fell out is said.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Final

HELD_LINES_MAX: Final = 1_000


class Curtain:
    """Drawn by whoever asks, opened by the answer. For one thread: the event loop's."""

    def __init__(self) -> None:
        self._drawn = False
        self._held: deque[Callable[[], None]] = deque(maxlen=HELD_LINES_MAX)
        self._lost = 0

    def show(self, line: Callable[[], None]) -> None:
        """Show a line now, or once the curtain is open again."""
        if not self._drawn:
            line()
            return
        self._lost += len(self._held) == HELD_LINES_MAX
        self._held.append(line)

    def draw(self) -> None:
        self._drawn = True

    def open(self) -> None:
        """Show what was held back, in order."""
        self._drawn = False
        held, lost = tuple(self._held), self._lost
        self._held.clear()
        self._lost = 0
        if lost:
            sys.stderr.write(f"  … {lost} lines are left out here\n")
        for line in held:
            line()
