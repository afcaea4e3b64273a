"""Whatever fails, whenever: no gated key is used, no plan goes on for ever, no price is undershot."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.engine.failures import RULES, FailureClass
from kernel.engine.money import cost, cost_at_most
from kernel.engine.plan import STEPS_MAX, Compact, GiveUp, Wait
from kernel.engine.retry import ATTEMPTS_MAX
from kernel.engine.routes import CANDIDATES_MAX, Candidate, Chosen, Gate, candidates, decide
from kernel.errors import Invalid, OxiosError, ProviderDown
from kernel.ports.provider import (
    ContentRefused,
    ContextOverflow,
    KeyRefused,
    ModelUnknown,
    Price,
    QuotaSpent,
    RateLimited,
    TimedOut,
    Usage,
)
from kernel.settings.tree import RoutingSettings
from tests.unit.engine_world import Desk

ERRORS = (
    KeyRefused("401"),
    QuotaSpent("402"),
    ModelUnknown("404"),
    Invalid("400"),
    ContentRefused("no"),
    ContextOverflow("413"),
    RateLimited("429"),
    RateLimited("429", retry_after_s=3.0),
    RateLimited("429", retry_after_s=90.0),
    TimedOut("408"),
    ProviderDown("500", status=500),
    ProviderDown("503", status=503, retry_after_s=45.0),
    ProviderDown("?"),
)
MODELS = ("a/m", "a/n", "b/m", "c/m", "c/large", "x/m")

gates = st.builds(Gate, st.sampled_from("kl"), st.floats(0, 100), st.just("why"), st.booleans())
among = st.lists(st.builds(Candidate, st.sampled_from(MODELS), st.lists(gates, max_size=3).map(tuple)), max_size=5)


@given(among, st.floats(0, 100))
def test_what_is_decided_is_open_and_first(found: list[Candidate], now_s: float) -> None:
    """The choice is the first open gate in order; without one, the time is that of the first to open by itself."""
    every = [(one.model, gate) for one in found for gate in one.gates]
    opened = [(model, gate.key) for model, gate in every if gate.free_at_s <= now_s]
    decision = decide(found, now_s)
    if opened:
        assert decision == Chosen(*opened[0])
    else:
        passing = [gate.free_at_s for _, gate in every if gate.passes]
        assert not isinstance(decision, Chosen)
        assert decision.free_at_s == (min(passing) if passing else None)
        assert decision == decide(found, now_s)


names = st.sampled_from([*MODELS, ""])


@given(names, st.lists(names, max_size=20), st.lists(st.sampled_from(MODELS), max_size=15), st.booleans())
def test_candidates_are_each_named_once(model: str, own: list[str], everybody: list[str], phased: bool) -> None:
    """The phase's model first, then the run's, then fallbacks; no name twice, none empty, and a bounded number."""
    routing = RoutingSettings(fallbacks=tuple(everybody), phases={"review": "c/m"}, personas={"p": "b/m"})
    found = candidates(model, "review" if phased else "turn", routing, "p", own)
    assert len(found) == len(set(found)) <= CANDIDATES_MAX
    assert "" not in found
    assert found[0] == ("c/m" if phased else model or "b/m")


Outcomes: TypeAlias = list[tuple[OxiosError, float, bool, int]]

steps = st.lists(
    st.tuples(st.sampled_from(ERRORS), st.floats(0, 400), st.booleans(), st.integers(0, 20)), min_size=1, max_size=80
)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(MODELS), unique=True, max_size=4), steps, st.floats(0, 600))
def test_every_plan_ends_and_uses_no_gated_key(models: list[str], outcomes: Outcomes, wait_s: float) -> None:
    """Over any failures, times and other runs: every attempt was open, bounded in number, and the plan gives up."""
    desk = Desk(wait_s=wait_s)
    for _ in range(2):
        plan = desk.plan(*models)
        tries: dict[tuple[str, str], int] = {}
        waited_s = 0.0
        for number in range(STEPS_MAX + 1):
            error, took_s, compact, visible = outcomes[number % len(outcomes)]
            before = {
                (model, key.id): desk.health.gate(model, key, desk.now_s).free_at_s
                for model in models
                if model[0] != "x"
                for key in desk.keys.keys(model[0])
            }
            step = plan.next(desk.now_s)
            if isinstance(step, GiveUp):
                break
            if isinstance(step, Wait):
                assert step.seconds > 0
                waited_s += step.seconds
                desk.now_s += step.seconds
            elif isinstance(step, Compact):
                plan.compacted() if compact else plan.not_compacted()
            else:
                at = (step.model, step.key.id)
                assert before[at] <= desk.now_s
                assert step.deadline_s > 0
                tries[at] = tries.get(at, 0) + 1
                desk.now_s += took_s
                plan.failed(step, error, desk.now_s, visible=visible == 0)
        else:
            raise AssertionError("the plan went on")
        assert plan.next(desk.now_s) == step
        assert all(count <= ATTEMPTS_MAX + 2 for count in tries.values())
        desk.now_s += took_s


@given(st.sampled_from(list(FailureClass)))
def test_a_class_that_is_tried_again_can_pass(kind: FailureClass) -> None:
    """Nothing is repeated that waiting cannot mend."""
    assert RULES[kind].passes or not RULES[kind].again


prices = st.builds(
    Price,
    st.integers(0, 10**8),
    st.integers(0, 10**8),
    st.integers(0, 10**8),
    st.none() | st.integers(0, 10**8),
    st.integers(0, 10**6),
)


def _tiered(price: Price, tiers: list[tuple[int, Price]]) -> Price:
    return replace(price, tiers=tuple(sorted(tiers, key=lambda tier: tier[0])))


tiered = st.builds(_tiered, prices, st.lists(st.tuples(st.integers(0, 10**6), prices), max_size=3))
tokens = st.integers(0, 2_000_000)


@given(tiered, tokens, tokens, st.data())
def test_what_is_reserved_covers_what_is_settled(price: Price, prompt: int, answer: int, data: st.DataObject) -> None:
    """No usage within the reserved tokens costs a micro-dollar more than was reserved, however it was cached."""
    used = data.draw(st.integers(0, prompt))
    cached = data.draw(st.integers(0, used))
    written = data.draw(st.integers(0, used))
    usage = Usage(used, data.draw(st.integers(0, answer)), cached, True, written)
    assert 0 <= cost(price, usage) <= cost_at_most(price, prompt, answer)
