"""Failures told by type and fields; breakers and waits as pure state."""

from __future__ import annotations

import asyncio

import pytest

from kernel.engine.breaker import FAILURES_MAX, OPEN_S, PROBE_S, Breaker
from kernel.engine.failures import RULES, FailureClass, classify
from kernel.engine.retry import ATTEMPTS_MAX, WAIT_S_MAX, Backoff
from kernel.errors import (
    AccessDenied,
    BudgetExhausted,
    CapabilityRevoked,
    DeadlinePassed,
    Invalid,
    JournalDown,
    ProviderDown,
    Stopped,
)
from kernel.ports.provider import (
    ContentRefused,
    ContextOverflow,
    KeyRefused,
    ModelUnknown,
    NoModelServer,
    Overloaded,
    QuotaSpent,
    RateLimited,
    TimedOut,
    Unreachable,
)

MISLEADING = "rate limit exceeded: invalid api key, billing, context length, overloaded, timeout"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyRefused(MISLEADING), "auth"),
        (QuotaSpent(MISLEADING), "billing"),
        (ModelUnknown(MISLEADING), "model_unknown"),
        (ContextOverflow(MISLEADING), "overflow"),
        (ContentRefused(MISLEADING), "content"),
        (Invalid(MISLEADING), "request"),
        (RateLimited(MISLEADING), "rate_limit"),
        (Overloaded(MISLEADING), "overloaded"),
        (TimedOut(MISLEADING), "timeout"),
        (Unreachable(MISLEADING), "network"),
        (NoModelServer(MISLEADING, remedy="", page=True), "address"),
        (DeadlinePassed(MISLEADING), "timeout"),
        (TimeoutError(MISLEADING), "timeout"),
        (ConnectionResetError(MISLEADING), "network"),
        (ProviderDown(MISLEADING), "unknown"),
        (ProviderDown(MISLEADING, status=408), "timeout"),
        (ProviderDown(MISLEADING, status=425), "server"),
        (ProviderDown(MISLEADING, status=429), "rate_limit"),
        (ProviderDown(MISLEADING, status=500), "server"),
        (ProviderDown(MISLEADING, status=502), "server"),
        (ProviderDown(MISLEADING, status=503), "overloaded"),
        (ProviderDown(MISLEADING, status=504), "timeout"),
        (ProviderDown(MISLEADING, status=529), "overloaded"),
        (ProviderDown(MISLEADING, status=599), "server"),
        (ProviderDown(MISLEADING, kind="network"), "network"),
        (ProviderDown(MISLEADING, kind="malformed", status=503), "malformed"),
        (BudgetExhausted(MISLEADING), "kernel"),
        (AccessDenied(MISLEADING, layer="capability"), "kernel"),
        (JournalDown(MISLEADING), "kernel"),
        (CapabilityRevoked(MISLEADING), "cancelled"),
        (Stopped(MISLEADING), "cancelled"),
        (asyncio.CancelledError(MISLEADING), "cancelled"),
        (RuntimeError(MISLEADING), "unknown"),
    ],
)
def test_a_failure_is_told_by_type_and_fields(error: BaseException, kind: str) -> None:
    """The words of the message, which name every class, change nothing."""
    assert classify(error).kind == kind


def test_what_the_provider_said_of_waiting_is_kept() -> None:
    """Retry-After and status come along."""
    found = classify(ProviderDown("x", retry_after_s=7.0, status=429))
    assert (found.retry_after_s, found.status) == (7.0, 429)
    assert classify(RateLimited("x", retry_after_s=3.0)).retry_after_s == 3.0
    assert classify(ValueError("x")).retry_after_s is None


def test_every_class_has_its_rule() -> None:
    """No class can be met without a rule, and the cooldowns are those that were promised."""
    assert RULES.keys() == set(FailureClass)
    cooling = {kind.value: rule.key_cools_s for kind, rule in RULES.items() if rule.key_cools_s}
    assert cooling == {"rate_limit": 120.0, "auth": 300.0, "billing": 300.0, "timeout": 60.0}


def test_a_breaker_opens_at_its_fifth_failure_in_a_row() -> None:
    """Four pass, a success starts the count anew, the fifth shuts it for 30 s."""
    breaker = Breaker()
    for _ in range(FAILURES_MAX - 1):
        breaker.failed(0.0)
    assert breaker.allows(0.0)
    breaker.succeeded()
    for _ in range(FAILURES_MAX - 1):
        breaker.failed(0.0)
    assert (breaker.state(0.0), breaker.allows(0.0)) == ("closed", True)
    breaker.failed(0.0)
    assert (breaker.state(0.0), breaker.allows(0.0), breaker.free_at_s(0.0)) == ("open", False, OPEN_S)
    assert not breaker.allows(OPEN_S - 0.1)
    assert (breaker.state(OPEN_S), breaker.allows(OPEN_S)) == ("half-open", True)


@pytest.mark.parametrize("answered", [True, False])
def test_half_open_lets_one_probe_through(answered: bool) -> None:
    """Its outcome closes the breaker, or opens it for another 30 s."""
    breaker = opened()
    breaker.begin(OPEN_S)
    assert not breaker.allows(OPEN_S)
    if answered:
        breaker.succeeded()
        assert breaker.state(OPEN_S) == "closed"
        assert breaker.allows(OPEN_S)
    else:
        breaker.failed(OPEN_S + 1)
        assert (breaker.state(OPEN_S + 1), breaker.opened) == ("open", 2)
        assert breaker.free_at_s(OPEN_S + 1) == 2 * OPEN_S + 1


def test_a_probe_nobody_reports_on_gives_its_place_back() -> None:
    """A lost probe holds the place for PROBE_S and no longer."""
    breaker = opened()
    breaker.begin(OPEN_S)
    assert not breaker.allows(OPEN_S + PROBE_S - 1)
    assert breaker.allows(OPEN_S + PROBE_S)


def test_what_is_not_allowed_cannot_begin() -> None:
    """Beginning past an open breaker is a broken invariant."""
    with pytest.raises(AssertionError):
        opened().begin(1.0)


def opened() -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_MAX):
        breaker.failed(0.0)
    return breaker


def test_waits_double_with_jitter() -> None:
    """0.5 and 1 s on average, between half and one and a half of it."""
    assert [Backoff(lambda: 0.5).wait_s(attempt, None, 100.0) for attempt in (1, 2)] == [0.5, 1.0]
    waits = {Backoff().wait_s(1, None, 100.0) for _ in range(20)}
    assert len(waits) > 10
    assert all(wait is not None and 0.25 <= wait < 0.75 for wait in waits)


@pytest.mark.parametrize(
    ("attempt", "asked_s", "left_s", "expected"),
    [
        (1, 7.0, 100.0, 7.0),
        (1, WAIT_S_MAX, 100.0, WAIT_S_MAX),
        (1, WAIT_S_MAX + 1, 100.0, None),
        (1, 7.0, 7.0, None),
        (ATTEMPTS_MAX - 1, 1.0, 100.0, 1.0),
        (ATTEMPTS_MAX, 1.0, 100.0, None),
        (1, 0.0, 100.0, 0.0),
    ],
)
def test_a_wait_is_begun_only_where_it_is_worth_it(
    attempt: int, asked_s: float, left_s: float, expected: float | None
) -> None:
    """Not longer than WAIT_S_MAX, not past the deadline, not after the last attempt."""
    assert Backoff(lambda: 0.5).wait_s(attempt, asked_s, left_s) == expected
