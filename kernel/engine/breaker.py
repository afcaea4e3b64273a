"""A circuit breaker for one (provider, model, key): it gates, it does not only count.

Guarantees: after `FAILURES_MAX` failures in a row nothing passes for `OPEN_S` seconds; then exactly
one probe passes, and its outcome closes or opens again. A probe nobody reports on gives its place
back after `PROBE_S`. Time is an argument, in seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

FAILURES_MAX: Final = 5
OPEN_S: Final = 30.0
PROBE_S: Final = 300.0

BreakerState: TypeAlias = Literal["closed", "open", "half-open"]


@dataclass(slots=True)
class Breaker:
    """Closed until FAILURES_MAX failures in a row."""

    failures: int = 0
    """In a row."""
    opened: int = 0
    """How often it opened."""
    _open_until_s: float | None = None
    _probe_until_s: float | None = None

    def state(self, now_s: float) -> BreakerState:
        if self._open_until_s is None:
            return "closed"
        return "open" if now_s < self._open_until_s else "half-open"

    def allows(self, now_s: float) -> bool:
        """Whether a request may begin now; asking changes nothing."""
        return self.free_at_s(now_s) <= now_s

    def free_at_s(self, now_s: float) -> float:
        """When the next request may begin, `now_s` where it may at once."""
        if self._open_until_s is None:
            return now_s
        probed = self._probe_until_s if self._probe_until_s is not None else now_s
        return max(now_s, self._open_until_s, probed)

    def begin(self, now_s: float) -> None:
        """A request begins; where the breaker is half open, it is the probe."""
        assert self.allows(now_s), "a breaker is asked before a request begins"
        if self._open_until_s is not None:
            self._probe_until_s = now_s + PROBE_S

    def succeeded(self) -> None:
        """The provider answered."""
        self.failures, self._open_until_s, self._probe_until_s = 0, None, None

    def failed(self, now_s: float) -> None:
        """One more failure; a failed probe opens at once."""
        self.failures += 1
        if self._open_until_s is not None or self.failures >= FAILURES_MAX:
            self.opened += self.state(now_s) != "open"
            self._open_until_s, self._probe_until_s = now_s + OPEN_S, None

    def abandoned(self) -> None:
        """The request ended without saying anything about the provider: the probe's place is free."""
        self._probe_until_s = None
