"""The engine: one place to ask which model and key come next, what a request costs, and who is well.

Guarantees: a change of the settings holds from the next request on, and replaces providers, keys,
routes, limits and prices together; a request under way keeps what it began with, and a provider
object that is no longer configured is closed after its last request. It sends nothing itself:
whoever asks gets a permit and a reservation for each attempt.

Source: RFC-0011.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernel.clock import Clock
from kernel.engine.catalog import Catalog, ModelFacts
from kernel.engine.health import BreakerReport, CooldownReport, Health
from kernel.engine.keys import KeyRing
from kernel.engine.lanes import Lane, LaneLimits, Slot
from kernel.engine.plan import Bounds, Plan, Try
from kernel.engine.retry import Backoff
from kernel.engine.routes import Phase, candidates
from kernel.engine.sources import sources_of, variables_of
from kernel.errors import NotFound
from kernel.ports.provider import Price, Provider, ProviderConfig
from kernel.settings import Settings
from kernel.settings.tree import ProviderSettings

Configure = Callable[[str, ProviderSettings], ProviderConfig]
MakeProvider = Callable[[ProviderConfig], Provider]


@dataclass(slots=True)
class _Wiring:
    """Everything that one state of the settings decides."""

    settings: Settings
    providers: Mapping[str, Provider]
    keys: KeyRing
    catalog: Catalog
    lanes: Mapping[str, Lane]
    plans: int = 0
    """Under way with this wiring."""


@dataclass(slots=True)
class _Owned:
    """A provider that the engine made, and the wirings that may still use it."""

    provider: Provider
    config: ProviderConfig
    users: list[_Wiring] = field(default_factory=list[_Wiring])


class Engine:
    """`configure` and `make` build a provider; `more` stand beside the configured ones and are not closed here."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        configure: Configure,
        make: MakeProvider,
        environ: Mapping[str, str],
        *,
        more: Mapping[str, Provider] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._configure = configure
        self._make = make
        self._environ = environ
        self._more = dict(more or {})
        self._backoff = Backoff(jitter)
        self._owned: list[_Owned] = []
        self.health = Health()
        self._wiring = self._wire(settings)

    @property
    def settings(self) -> Settings:
        return self._wiring.settings

    @property
    def providers(self) -> Mapping[str, Provider]:
        """Those of the settings in force, by name."""
        return self._wiring.providers

    @property
    def catalog(self) -> Catalog:
        return self._wiring.catalog

    def asking(self, model: str, phase: Phase = "turn", *, persona: str = "", fallbacks: Sequence[str] = ()) -> Asking:
        """The attempts of one request, inside a block: there nothing it may use is closed or replaced."""
        wiring = self._wiring
        plan = self._plan(wiring, candidates(model, phase, wiring.settings.routing, persona, fallbacks))
        return Asking(Attempts(plan, wiring.providers, wiring.lanes), wiring, self._asked)

    async def _asked(self, wiring: _Wiring) -> None:
        """A plan of this wiring is over. What the settings in force use is closed by no plan's end."""
        if wiring is not self._wiring:
            await self._close_unused()

    def plan(self, model: str, phase: Phase = "turn", *, persona: str = "", fallbacks: Sequence[str] = ()) -> Plan:
        """As `asking`, for who needs no provider: whoever sends something uses `asking`."""
        wiring = self._wiring
        return self._plan(wiring, candidates(model, phase, wiring.settings.routing, persona, fallbacks))

    def route(
        self, model: str, phase: Phase = "turn", *, persona: str = "", fallbacks: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """The models that a request would be put to, in order: each of them needs its permit."""
        return candidates(model, phase, self._wiring.settings.routing, persona, fallbacks)

    def facts(self, model: str) -> ModelFacts:
        return self._wiring.catalog.facts(model)

    def price_of(self, model: str) -> Price | None:
        """None where it is not known; zero for the embedded planner."""
        return self._wiring.catalog.price_of(model)

    def breakers(self) -> tuple[BreakerReport, ...]:
        return tuple(self.health.breakers(self._clock.monotonic_s()))

    def cooling(self) -> tuple[CooldownReport, ...]:
        return tuple(self.health.cooling(self._clock.monotonic_s()))

    def key_sources(self, provider: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Where its keys come from, never a key; and the variables that the settings name and that are empty.

        Raises: NotFound (no such provider), Invalid (the home's key file is damaged).
        """
        found = self._wiring.keys.found(provider)
        return tuple(key.source for key in found.keys), found.missing

    def secret_values(self) -> tuple[str, ...]:
        """Every key's value, for the scrubber alone. Raises: Invalid, where the home's key file is damaged."""
        keys = self._wiring.keys
        return tuple(key.value for name in self._wiring.settings.providers for key in keys.keys(name) if key.value)

    async def reload(self, settings: Settings) -> tuple[str, ...]:
        """Put these settings in force; the names of the providers that are others now.

        Raises: Invalid, where a provider cannot be made of them; then nothing has changed.
        """
        before = self._wiring
        self._wiring = self._wire(settings)
        known = {*before.providers, *self._wiring.providers}
        changed = sorted(name for name in known if before.providers.get(name) is not self._wiring.providers.get(name))
        for name in changed:
            self.health.forget(name)
        await self._close_unused()
        return tuple(changed)

    async def aclose(self) -> None:
        """Close every provider that the engine made."""
        owned, self._owned = self._owned, []
        for one in owned:
            await one.provider.aclose()

    def _plan(self, wiring: _Wiring, models: Sequence[str]) -> Plan:
        routing = wiring.settings.routing
        bounds = Bounds(routing.deadline_s, routing.wait_s)
        return Plan(models, wiring.keys, self.health, wiring.catalog.facts, bounds, self._backoff)

    def _wire(self, settings: Settings) -> _Wiring:
        """All or nothing: what was made before an error is closed by the next `_close_unused`."""
        before = getattr(self, "_wiring", None)
        owned = {name: self._provider(name, one) for name, one in settings.providers.items() if name not in self._more}
        lanes = {name: self._lane(name, one, before) for name, one in settings.providers.items()}
        lanes |= {name: Lane(LaneLimits.of(ProviderSettings()), self._clock) for name in self._more.keys() - lanes}
        wiring = _Wiring(
            settings,
            {**{name: one.provider for name, one in owned.items()}, **self._more},
            KeyRing(
                settings.providers, sources_of(settings, self._environ), self.health.cooldowns, frozenset(self._more)
            ),
            Catalog(settings, self._clock.now_us),
            lanes,
        )
        for one in owned.values():
            one.users.append(wiring)
        return wiring

    def _provider(self, name: str, settings: ProviderSettings) -> _Owned:
        config = self._configure(name, settings)
        found = next((one for one in self._owned if one.config == config), None)
        if found is None:
            found = _Owned(self._make(config), config)
            self._owned.append(found)
        return found

    def _lane(self, name: str, settings: ProviderSettings, before: _Wiring | None) -> Lane:
        limits = LaneLimits.of(settings)
        have = before.lanes.get(name) if before is not None else None
        return have if have is not None and have.limits == limits else Lane(limits, self._clock)

    async def _close_unused(self) -> None:
        """Close what neither the settings in force nor a plan under way uses."""
        kept: list[_Owned] = []
        closing: list[_Owned] = []
        for one in self._owned:
            one.users = [wiring for wiring in one.users if wiring is self._wiring or wiring.plans]
            (kept if one.users else closing).append(one)
        self._owned = kept
        for one in closing:
            await one.provider.aclose()


@dataclass(frozen=True, slots=True)
class Attempts:
    """One request's plan, and the providers it may use."""

    plan: Plan
    _providers: Mapping[str, Provider]
    _lanes: Mapping[str, Lane]

    def provider_of(self, step: Try) -> Provider:
        """Raises: NotFound."""
        found = self._providers.get(step.provider)
        if found is None or not step.name:
            raise no_model(step.model, self._providers)
        return found

    def slot(self, step: Try, tokens: int) -> Slot:
        """A place in the provider's lane: taken before the permit, held until the reply is whole."""
        return self.lane(step).slot(tokens)

    def lane(self, step: Try) -> Lane:
        return self._lanes[step.provider]


@dataclass(slots=True)
class Asking:
    """Around one request. No generator: it is on the way of every request, and costs five times as much."""

    _attempts: Attempts
    _wiring: _Wiring
    _over: Callable[[_Wiring], Awaitable[None]]

    async def __aenter__(self) -> Attempts:
        self._wiring.plans += 1
        return self._attempts

    async def __aexit__(self, *_raised: object) -> None:
        self._attempts.plan.close()
        self._wiring.plans -= 1
        await self._over(self._wiring)


def no_model(model: str, providers: Mapping[str, Provider]) -> NotFound:
    return NotFound(
        f"{model!r} names no configured model",
        remedy=f"write PROVIDER/MODEL, PROVIDER one of {', '.join(sorted(providers))}; "
        "`oxios onboard` and `oxios config set providers.NAME.base_url URL` add one",
    )


def key_variables(settings: Settings) -> tuple[str, ...]:
    """Every environment variable that may hold a provider's key: their values are secrets."""
    names = (variable for name, one in settings.providers.items() for variable in variables_of(name, one))
    return tuple(dict.fromkeys(names))


def settings_changed(stamps: Mapping[Path, tuple[int, int]]) -> dict[Path, tuple[int, int]] | None:
    """The files' new stamps where one of them changed, appeared or went; else None. One stat each."""
    now = {path: stamp_of(path) for path in stamps}
    return now if now != dict(stamps) else None


def stamp_of(path: Path) -> tuple[int, int]:
    """Time of change in ns, and size; (0, 0) where there is no such file."""
    try:
        found = os.stat(path)  # noqa: PTH116 -- before every request; pathlib's takes three times as long
    except OSError:
        return (0, 0)
    return found.st_mtime_ns, found.st_size
