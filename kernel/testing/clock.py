"""Time that a test moves.

Guarantees: it stands still but for `advance` and, where it flows, for a sleep, which takes its time at once and lets
others go first. Where it does not flow, a sleeper wakes when it is moved past their hour.
"""

from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint

_MICRO = 1_000_000


class FakeClock:
    """See `kernel.clock.Clock`. Wall and monotonic time are one."""

    def __init__(self, time_us: int = 1_000_000_000_000_000, *, flows: bool = True) -> None:
        self.time_us = time_us
        self.slept: list[float] = []
        self._flows = flows
        self._moved = anyio.Event()

    @property
    def now_s(self) -> float:
        return self.time_us / _MICRO

    def now_us(self) -> int:
        return self.time_us

    def monotonic_s(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.time_us += round(seconds * _MICRO)
        self._moved.set()
        self._moved = anyio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self._flows:
            self.advance(seconds)
            await checkpoint()
            return
        until_us = self.time_us + round(seconds * _MICRO)
        while self.time_us < until_us:
            await self._moved.wait()
