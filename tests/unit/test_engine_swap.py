"""The engine as a whole: settings in force, hot swap, prices, and who is closed when."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest

from kernel.engine.engine import Engine, key_variables, settings_changed, stamp_of
from kernel.engine.failures import classify
from kernel.engine.plan import GiveUp, Try
from kernel.errors import Invalid, NotFound, ProviderDown
from kernel.ports.provider import KeyRefused, Price, ProviderConfig
from kernel.settings import Settings, load_settings
from kernel.settings.tree import ProviderSettings
from kernel.testing.clock import FakeClock
from kernel.testing.provider import ScriptedProvider

ONE = """
[providers.one]
base_url = "https://one.test/v1"
key_env = "ONE"
concurrent = 3
"""
TWO = """
[providers.two]
base_url = "https://two.test/v1"
[routing]
fallbacks = ["two/m"]
deadline_s = 50
[routing.phases]
review = "two/big"
"""


def configure(name: str, settings: ProviderSettings) -> ProviderConfig:
    return ProviderConfig(name, settings.kind, settings.base_url, settings.key_env)


class Maker:
    """Makes providers that only know their name and whether they were closed."""

    def __init__(self) -> None:
        self.made: list[tuple[ProviderConfig, ScriptedProvider]] = []

    def __call__(self, config: ProviderConfig) -> ScriptedProvider:
        if config.base_url.endswith("/broken"):
            raise Invalid("broken")
        provider = ScriptedProvider((), name=config.name)
        self.made.append((config, provider))
        return provider

    def closed(self) -> list[str]:
        return [config.base_url for config, provider in self.made if provider.closed]


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return load_settings(home=tmp_path, cwd=tmp_path, env={"HOME": "/h"}, system_file=tmp_path / "no")


def engine(tmp_path: Path, text: str = ONE, **environ: str) -> tuple[Engine, Maker, FakeClock]:
    maker, clock = Maker(), FakeClock()
    return Engine(load(tmp_path, text), clock, configure, maker, environ or {"ONE": "k1"}, more={}), maker, clock


def go(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    anyio.run(main)


def tried(found: object) -> Try:
    assert isinstance(found, Try)
    return found


def test_a_change_holds_from_the_next_request_on(tmp_path: Path) -> None:
    """A request under way keeps its provider; the old one is closed after it, the unchanged one never."""
    made, maker, clock = engine(tmp_path, ONE + TWO)

    async def main() -> None:
        async with made.asking("one/m") as asking:
            step = tried(asking.plan.next(clock.now_s))
            before = asking.provider_of(step)
            changed = await made.reload(load(tmp_path, ONE.replace("one.test", "new.test") + TWO))
            assert changed == ("one",)
            assert asking.provider_of(step) is before
            assert maker.closed() == []
            assert made.providers["one"] is not before
            asking.plan.succeeded(step)
        assert maker.closed() == ["https://one.test/v1"]
        await made.aclose()

    go(main)
    assert sorted(maker.closed()) == ["", "https://new.test/v1", "https://one.test/v1", "https://two.test/v1"]


def test_what_did_not_change_is_the_same_object(tmp_path: Path) -> None:
    """Providers and their lanes survive a reload that says nothing of them, so limits keep counting."""
    made, maker, clock = engine(tmp_path)

    async def main() -> None:
        async with made.asking("one/m") as asking:
            step = tried(asking.plan.next(clock.now_s))
            async with asking.slot(step, 1):
                assert await made.reload(load(tmp_path, ONE + TWO)) == ("two",)
                async with made.asking("one/m") as other:
                    again = tried(other.plan.next(clock.now_s))
                    assert other.provider_of(again) is asking.provider_of(step)
                    lane = other.lane(again)
                    assert (lane.under_way, lane.limits.concurrent) == (1, 3)

    go(main)
    assert maker.closed() == []


def test_a_change_that_cannot_be_made_changes_nothing(tmp_path: Path) -> None:
    """A provider that cannot be built leaves the old settings in force, and nothing half-made behind."""
    made, maker, _ = engine(tmp_path)

    async def main() -> None:
        before = made.providers
        broken = ONE + TWO + '[providers.zzz]\nbase_url = "https://x.test/broken"\n'
        with pytest.raises(Invalid, match="broken"):
            await made.reload(load(tmp_path, broken))
        assert made.providers is before
        await made.reload(load(tmp_path, ONE))
        assert maker.closed() == ["https://two.test/v1"]

    go(main)


def test_routes_follow_phase_and_fallbacks(tmp_path: Path) -> None:
    """A phase has its own model, then the run's, then the fallbacks; the deadline is the settings'."""
    made, _, clock = engine(tmp_path, ONE + TWO)
    assert made.route("one/m", "review") == ("two/big", "one/m", "two/m")
    assert made.route("one/m", fallbacks=("one/x",)) == ("one/m", "one/x", "two/m")
    step = tried(made.plan("one/m").next(clock.now_s))
    assert (step.provider, step.name, step.key.value, step.deadline_s) == ("one", "m", "k1", 50.0)


def test_a_new_key_under_the_old_name_starts_fresh(tmp_path: Path) -> None:
    """A refused key rests; the operator puts another value there and reloads: it is used at once."""
    environ = {"ONE": "bad"}
    clock = FakeClock()
    made = Engine(load(tmp_path, ONE), clock, configure, Maker(), environ)

    async def main() -> None:
        plan = made.plan("one/m")
        plan.failed(tried(plan.next(clock.now_s)), KeyRefused("401"), clock.now_s)
        assert isinstance(made.plan("one/m").next(clock.now_s), GiveUp)
        assert [(one.key, one.why) for one in made.cooling()] == [("env:ONE", "auth")]
        environ["ONE"] = "good"
        await made.reload(load(tmp_path, ONE))
        assert tried(made.plan("one/m").next(clock.now_s)).key.value == "good"

    go(main)


def test_breakers_survive_a_reload_unless_the_provider_is_another(tmp_path: Path) -> None:
    """An open breaker stays open for the same server, and is forgotten with its address."""
    made, _, clock = engine(tmp_path)
    down = ProviderDown("500", status=500)

    async def main() -> None:
        for _ in range(2):
            plan = made.plan("one/m")
            while isinstance(step := plan.next(clock.now_s), Try) or not isinstance(step, GiveUp):
                if isinstance(step, Try):
                    plan.failed(step, down, clock.now_s)
                else:
                    clock.advance(1.0)
        assert [(one.model, one.state) for one in made.breakers()] == [("one/m", "open")]
        await made.reload(load(tmp_path, ONE + TWO))
        assert [one.state for one in made.breakers()] == ["open"]
        await made.reload(load(tmp_path, ONE.replace("one.test", "new.test")))
        assert made.breakers() == ()
        tried(made.plan("one/m").next(clock.now_s))

    go(main)


def test_providers_beside_the_configured_ones_are_used_and_left_open(tmp_path: Path) -> None:
    """They need no key and no settings, take the place of one of their name, and are not closed by the engine."""
    scripted = ScriptedProvider(())
    clock = FakeClock()
    made = Engine(load(tmp_path, ONE), clock, configure, Maker(), {}, more={"scripted": scripted, "one": scripted})

    async def main() -> None:
        for model in ("scripted/m", "one/m"):
            async with made.asking(model) as asking:
                step = tried(asking.plan.next(clock.now_s))
                assert asking.provider_of(step) is scripted
                async with asking.slot(step, 5):
                    asking.plan.succeeded(step)
        await made.reload(load(tmp_path, ONE))
        await made.aclose()

    go(main)
    assert not scripted.closed


def test_one_function_says_what_a_model_costs(tmp_path: Path) -> None:
    """The model's own price, then its provider's, then the catalog's; the planner is free."""
    text = """
[providers.priced]
base_url = "https://api.openai.com/v1"
input_usd_per_mtok = 1
output_usd_per_mtok = 2
[providers.openai]
base_url = "https://api.openai.com/v1"
[models."priced/special"]
input_usd_per_mtok = 7
"""
    made, _, _ = engine(tmp_path, text)
    assert made.price_of("priced/gpt-4o") == Price(1_000_000, 2_000_000, 1_000_000)
    assert made.price_of("priced/special") == Price(7_000_000, 2_000_000, 7_000_000)
    assert made.price_of("openai/gpt-4o") == Price(2_500_000, 10_000_000, 1_250_000)
    assert made.price_of("embedded/planner") == Price()
    assert made.price_of("nowhere/x") is None


def test_secrets_are_known_by_value_and_by_name(tmp_path: Path) -> None:
    """The scrubber can learn every key that may be sent, wherever it comes from."""
    made, _, _ = engine(tmp_path, ONE + TWO, ONE="k-one", TWO_API_KEY_3="k-two")
    assert made.secret_values() == ("k-one", "k-two")
    assert {"ONE", "TWO_API_KEY_3", "LLM_API_KEY", "LLM_API_KEY_9"} <= set(key_variables(made.settings))


def test_an_abandoned_request_frees_what_it_held(tmp_path: Path) -> None:
    """A run that is cancelled while it probes gives the probe's place and the provider back."""
    made, maker, clock = engine(tmp_path)
    probe = made.plan("one/m")
    made_key = tried(probe.next(clock.now_s)).key
    probe.close()

    async def main() -> None:
        for _ in range(5):
            made.health.failed("one/m", made_key, classify(ProviderDown("500", status=500)), clock.now_s)
        clock.advance(30.0)
        with anyio.CancelScope() as scope:
            async with made.asking("one/m") as asking:
                tried(asking.plan.next(clock.now_s))
                scope.cancel()
                await anyio.sleep_forever()
        tried(made.plan("one/m").next(clock.now_s))
        await made.reload(load(tmp_path, TWO))
        assert maker.closed() == ["https://one.test/v1"]

    go(main)


def test_a_step_of_no_provider_is_named(tmp_path: Path) -> None:
    """What the plan would not give is refused with the providers there are."""
    made, _, clock = engine(tmp_path)

    async def main() -> None:
        async with made.asking("gone/m") as asking:
            end = asking.plan.next(clock.now_s)
            assert isinstance(end, GiveUp)
            assert isinstance(end.error(), NotFound)

    go(main)


def test_a_changed_file_is_seen_once(tmp_path: Path) -> None:
    """Nothing where nothing changed; the new stamps where a file changed, came or went."""
    path = tmp_path / "config.toml"
    stamps = {path: stamp_of(path)}
    assert settings_changed(stamps) is None
    path.write_text("a")
    seen = settings_changed(stamps)
    assert seen is not None
    assert settings_changed(seen) is None
    path.unlink()
    assert settings_changed(seen) == {path: (0, 0)}
