"""An engine's parts on a clock that moves only when it is told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernel.engine.catalog import ModelFacts
from kernel.engine.health import Health
from kernel.engine.keys import KeyRing
from kernel.engine.plan import Bounds, Compact, GiveUp, Plan, Step, Try, Wait
from kernel.engine.retry import Backoff
from kernel.engine.sources import Sources
from kernel.engine.vault import Vault
from kernel.settings.tree import ProviderSettings

CONTEXTS = {"c/large": 1_000_000}


@dataclass
class Desk:
    """Plans of one engine's worth of state: `a` has two keys, `b` one, `c` wants none."""

    environ: Mapping[str, str] = field(default_factory=lambda: {"A1": "one", "A2": "two", "B1": "three"})
    wait_s: float = 120.0
    deadline_s: float = 300.0
    now_s: float = 1000.0
    health: Health = field(default_factory=Health)

    def __post_init__(self) -> None:
        providers = {
            "a": ProviderSettings(base_url="https://a.test", keys=("A1", "A2")),
            "b": ProviderSettings(base_url="https://b.test", key_env="B1"),
            "c": ProviderSettings(base_url="http://127.0.0.1:1"),
        }
        sources = Sources(self.environ, Vault(Path("/nowhere")))
        self.keys = KeyRing(providers, sources, self.health.cooldowns)

    def plan(self, *models: str) -> Plan:
        bounds = Bounds(self.deadline_s, self.wait_s)
        backoff = Backoff(lambda: 0.5)
        return Plan(models, self.keys, self.health, self.facts, bounds, backoff)

    def facts(self, model: str) -> ModelFacts:
        return ModelFacts(model, CONTEXTS.get(model, 128_000))

    def play(self, plan: Plan, outcomes: Sequence[BaseException | None], *, took_s: float = 0.0) -> list[str]:
        """Follow the plan: what it did, in words; each Try gets the next outcome, None an answer."""
        left = list(outcomes)
        told: list[str] = []
        while True:
            step = plan.next(self.now_s)
            told.append(words(step))
            match step:
                case Try():
                    self.now_s += took_s
                    if not left:
                        plan.close()
                        return told
                    error = left.pop(0)
                    if error is None:
                        plan.succeeded(step)
                        return told
                    plan.failed(step, error, self.now_s)
                case Wait(seconds):
                    self.now_s += seconds
                case Compact():
                    plan.compacted()
                case GiveUp():
                    return told


def words(step: Step) -> str:
    match step:
        case Try():
            return f"{step.model} {step.key.source.removeprefix('env:')}"
        case Wait(seconds):
            return f"wait {seconds:g}"
        case Compact():
            return f"compact {step.model}"
        case GiveUp():
            return "give up" if step.resumable else "end"
