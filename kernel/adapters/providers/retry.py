"""Asking again, where a provider was down before anything was seen of its answer.

Guarantees: at most `ATTEMPTS_MAX` attempts; never after the first event; waits as long as the
provider said, else a jittered, doubling time. A wait longer than `WAIT_S_MAX` or than the request's
deadline is not begun: the error goes to the caller. Knows no breaker, no other key and no other
model: that is the engine's.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

from kernel.clock import Clock
from kernel.errors import ProviderDown
from kernel.ports.provider import ModelEvent, ModelRequest, Provider

ATTEMPTS_MAX: Final = 3
WAIT_S_MAX: Final = 30.0
_FIRST_WAIT_S: Final = 0.5


class Retrying:
    """`inner`, asked again. `jitter` gives a number in [0, 1)."""

    def __init__(self, inner: Provider, clock: Clock, jitter: Callable[[], float] = random.random) -> None:
        self._inner = inner
        self._clock = clock
        self._jitter = jitter

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def endpoint(self) -> str:
        return self._inner.endpoint

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Raises: what the last attempt raised."""
        ends_at_s = self._clock.monotonic_s() + request.deadline_s
        for attempt in range(1, ATTEMPTS_MAX + 1):
            seen = False
            try:
                async for event in self._inner.stream(request):
                    seen = True
                    yield event
            except ProviderDown as error:
                wait_s = self._wait_s(attempt, error)
                left_s = ends_at_s - self._clock.monotonic_s()
                if seen or attempt == ATTEMPTS_MAX or wait_s > WAIT_S_MAX or wait_s >= left_s:
                    raise
            else:
                return
            await self._clock.sleep(wait_s)
            request = replace(request, deadline_s=ends_at_s - self._clock.monotonic_s())

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _wait_s(self, attempt: int, error: ProviderDown) -> float:
        if error.retry_after_s is not None:
            return error.retry_after_s
        return _FIRST_WAIT_S * 2.0 ** (attempt - 1) * (0.5 + self._jitter())
