"""The keys of every provider, and which of them rest after a failure.

Guarantees: a key that cools is not picked; a cooldown is never shortened by a later, milder failure;
a new value under an old name starts fresh. Keys are found when they are first needed, and again
after `forget`. No output of this module holds a key's value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kernel.engine.failures import FailureClass
from kernel.engine.sources import Found, Key, Sources, no_key
from kernel.errors import NotFound
from kernel.settings.tree import ProviderSettings


@dataclass(frozen=True, slots=True)
class Cooldown:
    """Until when, in monotonic seconds, and why. `passes` False: waiting alone will not mend it."""

    until_s: float
    why: FailureClass
    passes: bool


@dataclass(slots=True)
class Cooldowns:
    """By key id; shared by every plan, and kept over a change of the settings."""

    _by_key: dict[str, Cooldown] = field(default_factory=dict[str, Cooldown])

    def cool(self, key: Key, cooldown: Cooldown) -> None:
        have = self._by_key.get(key.id)
        if have is None or have.until_s < cooldown.until_s:
            self._by_key[key.id] = cooldown

    def of(self, key: Key, now_s: float) -> Cooldown | None:
        """The cooldown in force; None where the key may be used."""
        have = self._by_key.get(key.id)
        if have is not None and have.until_s <= now_s:
            del self._by_key[key.id]
            return None
        return have

    def clear(self, key: Key) -> None:
        """The key is for another provider now."""
        self._by_key.pop(key.id, None)


@dataclass(slots=True)
class KeyRing:
    """Keys by provider, in the order they are tried."""

    providers: Mapping[str, ProviderSettings]
    sources: Sources
    cooldowns: Cooldowns
    keyless: frozenset[str] = frozenset()
    """Providers that stand beside the configured ones and want no key."""
    _found: dict[str, Found] = field(default_factory=dict[str, Found])
    _stamp: tuple[int, int] = (0, 0)

    def found(self, provider: str) -> Found:
        """Raises: NotFound (no such provider), Invalid (the home's key file is damaged)."""
        if provider in self.keyless:
            return Found((no_key(provider),))
        stamp = self.sources.vault.stamp
        if stamp != self._stamp:
            self._stamp = stamp
            self._found.clear()
        known = self._found.get(provider)
        if known is None:
            settings = self.providers.get(provider)
            if settings is None:
                raise NotFound(f"no provider {provider!r} is configured", remedy="see `oxios models list`")
            known = self._found[provider] = self.sources.find(provider, settings)
        return known

    def keys(self, provider: str) -> tuple[Key, ...]:
        """Raises: as `found`."""
        return self.found(provider).keys

    def pick(self, provider: str, now_s: float) -> Key | None:
        """The first key that does not cool. Raises: as `found`."""
        return next((key for key in self.keys(provider) if self.cooldowns.of(key, now_s) is None), None)
