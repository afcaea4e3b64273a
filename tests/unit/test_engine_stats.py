"""Statistics as a fold over entries."""

from __future__ import annotations

from itertools import count

import pytest

from kernel.engine.failures import FailureClass
from kernel.engine.stats import FALLBACKS_KEPT, RoutingStats, failure_class
from kernel.ids import KERNEL, Digest
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject, JsonValue
from kernel.ports.provider import Price

SECOND_US = 1_000_000
_seq = count(1)


def entry(kind: str, payload: JsonObject | None, at_s: float = 0.0) -> Entry:
    return Entry(next(_seq), round(at_s * SECOND_US), KERNEL, "r1", kind, Digest("0" * 64), payload)


def reply(model: str = "a/m", tokens: int = 100, ms: int = 10, **more: JsonValue) -> Entry:
    usage: dict[str, JsonValue] = {"in": tokens, "out": 10, "cached": 40, "written": 20}
    return entry("model.reply", {"model": model, "ms": ms, "usage": usage, "micro_usd": 7, **more})


def failed(kind: str, model: str = "a/m", at_s: float = 0.0) -> Entry:
    return entry("model.failed", {"model": model, "class": kind, "key": "env:A", "code": "x"}, at_s)


def fold(*entries: Entry) -> RoutingStats:
    stats = RoutingStats()
    for one in entries:
        stats.apply(one)
    return stats


def test_calls_failures_tokens_and_money_are_counted() -> None:
    """By model; a failure by its class; money as it was settled."""
    stats = fold(
        entry("model.request", {"model": "a/m", "round": 1}),
        reply(),
        failed("rate_limit"),
        failed("server"),
        failed("server"),
        reply("b/m"),
        entry("run.started", {"model": "zzz"}),
        entry("model.reply", None),
    )
    one = stats.models["a/m"]
    assert set(stats.models) == {"a/m", "b/m"}
    assert (one.calls, one.replies, one.failures) == (4, 1, {"rate_limit": 1, "server": 2})
    assert (one.input_tokens, one.output_tokens, one.cached_tokens, one.cost_micro_usd) == (100, 10, 40, 7)
    assert stats.cost_micro_usd == 14


def test_a_model_is_one_however_its_provider_calls_it() -> None:
    """Failures and replies of what was asked stand together; the name it answered under is told; its breaker shuts."""
    stats = fold(*[failed("server")] * 3, reply("a/m-2026-11", asked="a/m", key="env:A"))
    one = stats.models["a/m"]
    assert list(stats.models) == ["a/m"]
    assert (one.calls, one.replies, one.answered_as) == (4, 1, "a/m-2026-11")
    assert not stats.breakers(0)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (95, 95), (100, 100), (1, 1)])
def test_latency_is_the_nearest_rank(percent: int, expected: int) -> None:
    """Of 1 to 100 ms in any order; of nothing, nothing."""
    stats = fold(*(reply(ms=ms) for ms in (*range(51, 101), *range(1, 51))))
    assert stats.models["a/m"].latency_ms(percent) == expected
    assert fold(failed("server")).models["a/m"].latency_ms(50) is None


def test_fallbacks_are_kept_newest_last() -> None:
    """The last 200, with from, to and reason."""
    events = [
        entry("model.fallback", {"from": "a/m", "to": "b/m", "reason": f"r{number}"})
        for number in range(FALLBACKS_KEPT + 3)
    ]
    kept = fold(*events).fallbacks
    assert (len(kept), kept[0].reason, kept[-1].reason) == (FALLBACKS_KEPT, "r3", f"r{FALLBACKS_KEPT + 2}")
    assert (kept[0].from_model, kept[0].to_model, kept[0].run) == ("a/m", "b/m", "r1")


def test_what_one_model_alone_would_have_cost() -> None:
    """Every reply is priced again, cached and written tokens apart and by its own size; unknown prices are left out."""
    stats = fold(reply(tokens=100), reply("b/m", tokens=1_000))
    prices = {
        "a/m": Price(1_000_000, 2_000_000, 500_000),
        "b/m": Price(0, 0, 0, 3_000_000),
        "c/m": Price(1_000_000, 0, 0, 0, 0, ((500, Price(9_000_000, 0, 0, 0)),)),
    }
    alone = stats.alone(["a/m", "b/m", "c/m", "d/m"], prices.get)
    # (40 fresh + 20 written + 40 cached at half + 10 × 2) + (960 of 1000 + 20 + 20); tiers by the prompt's size.
    assert dict(alone) == {"a/m": 60 + 20 + 20 + 960 + 20 + 20, "b/m": 60 + 60, "c/m": 40 + 9 * 940}
    assert list(alone) == ["b/m", "a/m", "c/m"]


def test_what_nobody_reported_is_told_apart() -> None:
    """Money for a reply without counts, and for a failure, is what it can have cost at most."""
    lost = {"model": "a/m", "class": "network", "micro_usd": 30}
    silent = reply(usage={"in": 0, "out": 0, "cached": 0}, micro_usd=5)
    stats = fold(reply(), silent, entry("model.failed", lost))
    assert (stats.cost_micro_usd, stats.assumed_micro_usd) == (42, 35)


def test_of_equals_the_best_model_is_the_one_that_failed_least() -> None:
    """Cheapest first; one that never answered is none."""
    stats = fold(failed("server"), reply(), reply("b/m"), failed("server", "c/m"))
    assert stats.best({"a/m": 5, "b/m": 5, "c/m": 0}) == "b/m"
    assert stats.best({"a/m": 4, "b/m": 5}) == "a/m"
    assert stats.best({}) == ""


def test_breakers_are_those_of_the_process() -> None:
    """Five server failures in a row open one, an answer closes it, a boot forgets all; a wrong key opens none."""
    five = [failed("server", at_s=number) for number in range(5)]
    at = ("a/m", "env:A")
    assert fold(*five).breakers(20 * SECOND_US) == {at: ("open", 5)}
    assert fold(*five).breakers(34 * SECOND_US) == {at: ("half-open", 5)}
    assert fold(*five, reply(key="env:A")).breakers(5 * SECOND_US) == {}
    assert fold(*five, entry("kernel.booted", {"pid": 1})).breakers(5 * SECOND_US) == {}
    assert fold(*(failed("auth") for _ in range(9))).breakers(0) == {}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"class": "timeout", "code": "provider_down"}, FailureClass.TIMEOUT),
        ({"class": "nonsense", "code": "key_refused"}, FailureClass.AUTH),
        ({"class": 7, "code": "provider_down"}, FailureClass.UNKNOWN),
        ({"code": "budget_exhausted"}, FailureClass.KERNEL),
        ({}, FailureClass.KERNEL),
    ],
)
def test_a_failure_without_a_class_is_told_by_its_code(payload: JsonObject, expected: FailureClass) -> None:
    """Entries of an older journal, or of another writer, are counted too."""
    assert failure_class(payload) is expected


@pytest.mark.parametrize("usage", [None, 5, {}, {"in": "x", "out": -3, "cached": 1.5}])
def test_odd_usage_counts_as_nothing(usage: JsonValue) -> None:
    """What is missing, negative or no number never breaks the fold."""
    stats = fold(entry("model.reply", {"model": "a/m", "usage": usage, "ms": None}))
    assert (stats.models["a/m"].replies, stats.models["a/m"].input_tokens) == (1, 0)
