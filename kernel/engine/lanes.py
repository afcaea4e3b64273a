"""How much one provider is asked at once and in a minute; who comes first is served first.

Guarantees: never more than `concurrent` requests under way; over any minute at most twice the limit
(a full bucket and its refill), over a long time the limit; waiting is in the order of arrival, and a
cancelled waiter leaves nothing behind. A request larger than a minute's tokens waits for a full
bucket and is then let through: refusing it would be for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import anyio

from kernel.clock import Clock
from kernel.settings.tree import ProviderSettings

_MINUTE_S: Final = 60.0
_ROUNDING: Final = 1e-6
"""Of a request or token: less is not worth a sleep, which a clock might not even show."""


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """None is no limit."""

    concurrent: int
    requests_per_min: int | None = None
    tokens_per_min: int | None = None

    @classmethod
    def of(cls, settings: ProviderSettings) -> LaneLimits:
        return cls(settings.concurrent, settings.requests_per_min, settings.tokens_per_min)


@dataclass(slots=True)
class Bucket:
    """A token bucket; pure. Full at first."""

    per_min: int
    level: float
    at_s: float

    def wait_s(self, amount: int, now_s: float) -> float:
        """Seconds until `amount` may be taken, 0 where at once."""
        self._refill(now_s)
        short = min(amount, self.per_min) - self.level
        return short * _MINUTE_S / self.per_min if short > _ROUNDING else 0.0

    def take(self, amount: int, now_s: float) -> None:
        self._refill(now_s)
        self.level -= min(amount, self.per_min)

    def _refill(self, now_s: float) -> None:
        self.level = min(float(self.per_min), self.level + (now_s - self.at_s) * self.per_min / _MINUTE_S)
        self.at_s = now_s


class Lane:
    """The way to one provider."""

    def __init__(self, limits: LaneLimits, clock: Clock) -> None:
        self.limits = limits
        self._clock = clock
        self._places = anyio.CapacityLimiter(limits.concurrent)
        self._turn = anyio.Lock()
        now_s = clock.monotonic_s()
        self._buckets = (
            (Bucket(limits.requests_per_min, limits.requests_per_min, now_s) if limits.requests_per_min else None),
            (Bucket(limits.tokens_per_min, limits.tokens_per_min, now_s) if limits.tokens_per_min else None),
        )

    @property
    def under_way(self) -> int:
        return int(self._places.borrowed_tokens)

    @property
    def waiting(self) -> int:
        return self._places.statistics().tasks_waiting + self._turn.statistics().tasks_waiting

    def slot(self, tokens: int) -> Slot:
        """A place for one request of about this many tokens, inside a block; waits for it."""
        return Slot(self, tokens)

    async def take(self, borrower: object, tokens: int) -> None:
        """For `Slot` alone, as `leave` is."""
        try:
            self._places.acquire_on_behalf_of_nowait(borrower)
        except anyio.WouldBlock:
            await self._places.acquire_on_behalf_of(borrower)
        try:
            await self._afford(tokens)
        except BaseException:
            self.leave(borrower)
            raise

    def leave(self, borrower: object) -> None:
        self._places.release_on_behalf_of(borrower)

    async def _afford(self, tokens: int) -> None:
        requests, volume = self._buckets
        if requests is None and volume is None:
            return
        async with self._turn:  # One at a time, so that a small request does not overtake a large one.
            wants = ((requests, 1), (volume, tokens))
            while True:
                now_s = self._clock.monotonic_s()
                wait_s = max(bucket.wait_s(amount, now_s) for bucket, amount in wants if bucket is not None)
                if wait_s <= 0:
                    break
                await self._clock.sleep(wait_s)
            for bucket, amount in wants:
                if bucket is not None:
                    bucket.take(amount, now_s)


class Slot:
    """A place in a lane. No generator: one costs more than all else that a lane without limits does."""

    __slots__ = ("_lane", "_tokens")

    def __init__(self, lane: Lane, tokens: int) -> None:
        self._lane = lane
        self._tokens = tokens

    async def __aenter__(self) -> None:
        await self._lane.take(self, self._tokens)

    async def __aexit__(self, *_raised: object) -> None:
        self._lane.leave(self)
