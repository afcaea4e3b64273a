"""When the same model and key are asked again.

Guarantees: at most `ATTEMPTS_MAX` tries; the wait is what the provider said, else a jittered,
doubling time; a wait longer than `WAIT_S_MAX`, or that the request's deadline does not leave, is not
begun. Nothing is asked again after the first visible token: the plan sees to that.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

ATTEMPTS_MAX: Final = 3
WAIT_S_MAX: Final = 30.0
FIRST_WAIT_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Backoff:
    """`jitter` gives a number in [0, 1)."""

    jitter: Callable[[], float] = random.random

    def wait_s(self, attempt: int, retry_after_s: float | None, left_s: float) -> float | None:
        """Seconds before the next try, after `attempt` tries; None where there is to be none."""
        if attempt >= ATTEMPTS_MAX:
            return None
        wait_s = retry_after_s
        if wait_s is None:
            wait_s = FIRST_WAIT_S * 2.0 ** (attempt - 1) * (0.5 + self.jitter())
        return wait_s if wait_s <= WAIT_S_MAX and wait_s < left_s else None
