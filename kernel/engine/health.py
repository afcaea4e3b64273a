"""What is known of keys and models from the requests that went before: who must be left alone now.

Guarantees: `gate` asks and changes nothing; only `begin`, `succeeded`, `failed` and `abandoned` do.
Shared by all plans of an engine and kept over a change of the settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from kernel.engine.breaker import Breaker, BreakerState
from kernel.engine.failures import Failure, FailureClass
from kernel.engine.keys import Cooldown, Cooldowns
from kernel.engine.routes import Gate
from kernel.engine.sources import Key

BREAKERS_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class BreakerReport:
    """One breaker that is not plainly closed, or has failures counted. `key` is the key's source."""

    model: str
    key: str
    state: BreakerState
    failures: int
    free_in_s: float


@dataclass(frozen=True, slots=True)
class CooldownReport:
    provider: str
    key: str
    why: FailureClass
    free_in_s: float


@dataclass(slots=True)
class Health:
    """Cooldowns of keys, and a breaker for each (model, key)."""

    cooldowns: Cooldowns = field(default_factory=Cooldowns)
    _breakers: dict[tuple[str, str], Breaker] = field(default_factory=dict[tuple[str, str], Breaker])
    _keys: dict[str, Key] = field(default_factory=dict[str, Key])

    def gate(self, model: str, key: Key, now_s: float) -> Gate:
        """When this key may be used for this model, and what holds it back."""
        cooldown = self.cooldowns.of(key, now_s)
        breaker = self._breakers.get((model, key.id))
        free_at_s = now_s if breaker is None else breaker.free_at_s(now_s)
        if cooldown is not None and cooldown.until_s >= free_at_s:
            return Gate(key.id, cooldown.until_s, f"its key {key.source} cools ({cooldown.why})", cooldown.passes)
        passes = cooldown is None or cooldown.passes
        return Gate(key.id, free_at_s, "its breaker is open" if free_at_s > now_s else "", passes)

    def begin(self, model: str, key: Key, now_s: float) -> None:
        self._keys[key.id] = key
        breaker = self._breakers.get((model, key.id))
        if breaker is not None:
            breaker.begin(now_s)

    def succeeded(self, model: str, key: Key) -> None:
        """The provider answered. A key that cools goes on cooling: the answer may be of an older request."""
        self._breakers.pop((model, key.id), None)

    def failed(self, model: str, key: Key, failure: Failure, now_s: float) -> None:
        """Count the failure on the breaker; `cool` rests the key."""
        rule = failure.rule
        if rule.breaker == "failure":
            self._breaker(model, key).failed(now_s)
        elif rule.breaker == "alive":
            self._breakers.pop((model, key.id), None)
        else:
            self.abandoned(model, key)

    def cool(self, key: Key, failure: Failure, now_s: float, seconds: float | None = None) -> None:
        """Rest the key for `seconds`, or as its class and the provider's Retry-After say, the longer of both."""
        if seconds is None:
            seconds = max(failure.rule.key_cools_s, failure.retry_after_s or 0.0)
        if seconds <= 0:
            return
        self.cooldowns.cool(key, Cooldown(now_s + seconds, failure.kind, failure.rule.passes))

    def abandoned(self, model: str, key: Key) -> None:
        breaker = self._breakers.get((model, key.id))
        if breaker is not None:
            breaker.abandoned()

    def forget(self, provider: str) -> None:
        """The provider is another one now: nothing that was known of it counts."""
        for model, key in [at for at in self._breakers if at[0].partition("/")[0] == provider]:
            del self._breakers[model, key]
        for key in [key for key in self._keys.values() if key.provider == provider]:
            self.cooldowns.clear(key)

    def breakers(self, now_s: float) -> Iterator[BreakerReport]:
        for (model, key), breaker in self._breakers.items():
            source = self._keys[key].source if key in self._keys else ""
            free_in_s = breaker.free_at_s(now_s) - now_s
            yield BreakerReport(model, source, breaker.state(now_s), breaker.failures, free_in_s)

    def cooling(self, now_s: float) -> Iterator[CooldownReport]:
        for key in self._keys.values():
            cooldown = self.cooldowns.of(key, now_s)
            if cooldown is not None:
                yield CooldownReport(key.provider, key.source, cooldown.why, cooldown.until_s - now_s)

    def _breaker(self, model: str, key: Key) -> Breaker:
        """A run names its model, so their number is bounded: the oldest is forgotten."""
        found = self._breakers.get((model, key.id))
        if found is None:
            if len(self._breakers) >= BREAKERS_MAX:
                del self._breakers[next(iter(self._breakers))]
            found = self._breakers[model, key.id] = Breaker()
        return found
