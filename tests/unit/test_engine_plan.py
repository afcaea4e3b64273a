"""What a plan tries after each class of failure, on a clock moved by hand."""

from __future__ import annotations

import asyncio

import pytest

from kernel.engine.failures import FailureClass, classify
from kernel.engine.plan import GiveUp, Plan, Try, Wait
from kernel.errors import (
    BudgetExhausted,
    CapabilityRevoked,
    DeadlinePassed,
    Invalid,
    JournalDown,
    KernelBug,
    ProviderDown,
)
from kernel.ports.provider import (
    ContentRefused,
    ContextOverflow,
    KeyRefused,
    ModelUnknown,
    Overloaded,
    QuotaSpent,
    RateLimited,
    TimedOut,
)
from tests.unit.engine_world import Desk, words

KEY = KeyRefused("401", remedy="check the key")
SPENT = QuotaSpent("402", remedy="top up")
BUSY = RateLimited("429")
DOWN = ProviderDown("500", status=500)


def tried(plan: Plan, now_s: float) -> Try:
    step = plan.next(now_s)
    assert isinstance(step, Try)
    return step


def ended(plan: Plan, now_s: float) -> GiveUp:
    step = plan.next(now_s)
    assert isinstance(step, GiveUp)
    return step


def test_an_answer_ends_the_plan() -> None:
    """One attempt with the first key, and nothing after its answer."""
    desk = Desk()
    plan = desk.plan("a/m", "b/m")
    assert desk.play(plan, [None]) == ["a/m A1"]
    assert words(plan.next(desk.now_s)) == "end"


@pytest.mark.parametrize("error", [KEY, SPENT, BUSY, RateLimited("429", retry_after_s=7.0), TimedOut("408")])
def test_a_second_key_takes_over_at_once(error: ProviderDown) -> None:
    """401, 402, 403, 408 and 429 rotate to the other key without a wait, and the first one rests."""
    desk = Desk()
    assert desk.play(desk.plan("a/m", "b/m"), [error, None]) == ["a/m A1", "a/m A2"]
    assert desk.play(desk.plan("a/m"), [None]) == ["a/m A2"]


@pytest.mark.parametrize(
    ("error", "rests_s"),
    [(BUSY, 120), (KEY, 300), (SPENT, 300), (TimedOut("408"), 60), (RateLimited("429", retry_after_s=500.0), 500),
     (RateLimited("429", retry_after_s=5.0), 120)],
)  # fmt: skip
def test_a_key_rests_as_long_as_its_failure_says(error: ProviderDown, rests_s: float) -> None:
    """Cooldowns are 120, 300, 300 and 60 s; Retry-After wins where it is longer, and only there."""
    desk = Desk()
    desk.play(desk.plan("a/m"), [error, None])
    for later_s, source in ((rests_s - 1, "A2"), (rests_s, "A1")):
        plan = desk.plan("a/m")
        assert tried(plan, 1000.0 + later_s).key.source == f"env:{source}"
        plan.close()


def test_a_busy_provider_with_one_key_is_asked_three_times() -> None:
    """429 without Retry-After: waits of 0.5 and 1 s, then the key rests 120 s and the run may go on later."""
    desk = Desk()
    plan = desk.plan("b/m")
    assert desk.play(plan, [BUSY] * 9) == ["b/m B1", "wait 0.5", "b/m B1", "wait 1", "b/m B1", "give up"]
    end = ended(plan, desk.now_s)
    assert (end.resumable, end.retry_after_s) == (True, 120.0)
    error = end.error()
    assert isinstance(error, ProviderDown)
    assert (error.retry_after_s, "b/m: rate_limit: 429" in error.message) == (120.0, True)


def test_the_provider_says_how_long() -> None:
    """429 with a short Retry-After is waited exactly."""
    desk = Desk()
    told = desk.play(desk.plan("b/m"), [RateLimited("429", retry_after_s=7.0), None])
    assert told == ["b/m B1", "wait 7", "b/m B1"]


def test_a_long_retry_after_goes_to_the_fallback() -> None:
    """A wait longer than 30 s is not begun where another model can answer."""
    desk = Desk()
    assert desk.play(desk.plan("b/m", "c/m"), [RateLimited("429", retry_after_s=31.0), None]) == ["b/m B1", "c/m none"]


def test_while_a_plan_waits_others_leave_the_key_alone() -> None:
    """The short wait of a rate limit holds for every run."""
    desk = Desk()
    first = desk.plan("b/m")
    first.failed(tried(first, desk.now_s), BUSY, desk.now_s)
    assert desk.plan("b/m").next(desk.now_s) == Wait(0.5, "b/m: its key env:B1 cools (rate_limit)")


@pytest.mark.parametrize(
    "error", [DOWN, Overloaded("529"), ProviderDown("reset", kind="network"), ProviderDown("?"), OSError("odd")]
)
def test_a_servers_fault_is_tried_three_times_then_the_fallback(error: Exception) -> None:
    """500 n times, 529, a dropped connection and the unknown: 0.5 and 1 s, then the next model, other keys untried."""
    desk = Desk()
    told = desk.play(desk.plan("a/m", "b/m"), [error, error, error, None])
    assert told == ["a/m A1", "wait 0.5", "a/m A1", "wait 1", "a/m A1", "b/m B1"]


def test_a_hang_uses_up_the_models_time_and_goes_on_elsewhere() -> None:
    """A request that took all its time is not tried again on the model; the fallback has its own time."""
    desk = Desk()
    plan = desk.plan("a/m", "c/m")
    first = tried(plan, 1000.0)
    assert first.deadline_s == 300.0
    plan.failed(first, DeadlinePassed("late"), 1300.0)
    second = tried(plan, 1300.0)
    assert (second.model, second.deadline_s, second.fallback_from) == ("c/m", 300.0, "a/m")


def test_a_later_attempt_has_what_is_left_of_the_time() -> None:
    """All attempts of one model share its deadline, and no wait outlasts it."""
    desk = Desk(deadline_s=10.0)
    plan = desk.plan("b/m")
    plan.failed(tried(plan, 1000.0), DOWN, 1004.0)
    assert plan.next(1004.0) == Wait(0.5, "server: 500")
    again = tried(plan, 1004.5)
    assert again.deadline_s == pytest.approx(5.5)
    plan.failed(again, DOWN, 1009.5)
    assert words(plan.next(1009.5)) == "give up"


@pytest.mark.parametrize("error", [DOWN, TimedOut("silent"), BUSY, ProviderDown("dropped", kind="network")])
def test_nothing_is_tried_after_visible_text(error: ProviderDown) -> None:
    """Text that was shown is never shown again: no retry, no other key, no other model."""
    desk = Desk()
    plan = desk.plan("a/m", "b/m")
    plan.failed(tried(plan, desk.now_s), error, desk.now_s, visible=True)
    end = ended(plan, desk.now_s)
    assert (end.resumable, "shown already" in end.reason) == (True, True)
    assert isinstance(end.error(), ProviderDown)


def test_a_drop_before_visible_text_is_tried_again() -> None:
    """The same failure, nothing shown: asked again."""
    desk = Desk()
    told = desk.play(desk.plan("b/m"), [ProviderDown("dropped", kind="network"), None])
    assert told == ["b/m B1", "wait 0.5", "b/m B1"]


@pytest.mark.parametrize("error", [ModelUnknown("404"), Invalid("400")])
def test_what_the_model_cannot_do_another_may(error: Invalid) -> None:
    """404 and 400 go to the fallback at once; without one they end the run as they are."""
    desk = Desk()
    assert desk.play(desk.plan("a/m", "b/m"), [error, None]) == ["a/m A1", "b/m B1"]
    plan = Desk().plan("a/m")
    assert desk.play(plan, [error]) == ["a/m A1", "end"]
    assert ended(plan, desk.now_s).error() is error


def test_a_refusal_of_content_is_not_taken_elsewhere() -> None:
    """What one provider's rules refuse is not put to the next."""
    plan = Desk().plan("a/m", "b/m")
    assert Desk().play(plan, [ContentRefused("no")]) == ["a/m A1", "end"]


@pytest.mark.parametrize(
    "error",
    [BudgetExhausted("spent"), JournalDown("full"), CapabilityRevoked("withdrawn"), asyncio.CancelledError()],
)
def test_what_is_not_the_providers_doing_ends_the_plan(error: BaseException) -> None:
    """The gate, the budget, the journal and a stop are nobody's failure: no key rests, the error is passed on."""
    desk = Desk()
    plan = desk.plan("a/m", "b/m")
    assert desk.play(plan, [error]) == ["a/m A1", "end"]
    assert ended(plan, desk.now_s).error() is error
    assert not list(desk.health.cooling(desk.now_s))
    assert not list(desk.health.breakers(desk.now_s))


def test_overflow_is_compacted_twice_and_then_goes_to_a_larger_model() -> None:
    """413 asks for a shorter conversation; after two of them only a model that takes more is asked."""
    desk = Desk()
    over = ContextOverflow("413")
    told = desk.play(desk.plan("a/m", "b/m", "c/large"), [over, over, over, None])
    assert told == ["a/m A1", "compact a/m", "a/m A1", "compact a/m", "a/m A1", "c/large none"]


def test_overflow_that_cannot_be_compacted_says_so() -> None:
    """Where nothing is left to shorten and no model takes more, the run ends with the provider's word."""
    desk = Desk()
    plan = desk.plan("a/m", "b/m")
    over = ContextOverflow("413")
    plan.failed(tried(plan, desk.now_s), over, desk.now_s)
    assert words(plan.next(desk.now_s)) == "compact a/m"
    plan.not_compacted()
    end = ended(plan, desk.now_s)
    assert (end.resumable, end.error()) == (False, over)


def test_every_key_cooling_is_waited_for_within_the_bound() -> None:
    """A new request finds all keys resting: it waits for the first to be free, then asks."""
    desk = Desk(wait_s=0.0)
    assert desk.play(desk.plan("a/m"), [BUSY] * 4)[-1] == "give up"
    desk.wait_s = 120.0
    start_s = desk.now_s
    assert desk.play(desk.plan("a/m"), [None]) == ["wait 118.5", "a/m A1"]
    assert desk.now_s == start_s + 118.5


def test_every_key_cooling_for_too_long_pauses_with_the_time() -> None:
    """Longer than the bound is not waited for: the run pauses, resumable, and says when and why."""
    desk = Desk(wait_s=100.0)
    desk.play(desk.plan("a/m"), [BUSY] * 4)
    end = ended(desk.plan("a/m"), desk.now_s)
    assert (end.resumable, end.retry_after_s) == (True, 118.5)
    assert "its key env:A1 cools (rate_limit)" in end.reason
    assert "not before 118 s" in end.remedy


def test_a_refused_key_is_not_waited_for() -> None:
    """Waiting mends no wrong key: the run pauses at once and says which variable to look at."""
    desk = Desk(wait_s=3600.0)
    plan = desk.plan("b/m")
    assert desk.play(plan, [KEY]) == ["b/m B1", "give up"]
    assert ended(plan, desk.now_s).remedy.startswith("check the key; then resume the run")
    assert words(desk.plan("b/m").next(desk.now_s)) == "give up"


def test_all_providers_dead_says_what_each_of_them_did() -> None:
    """Each model's own failure is named, and each of its keys', and the run may go on later."""
    desk = Desk()
    plan = desk.plan("a/m", "b/m", "c/m")
    outcomes = [KEY, SPENT, ProviderDown("500", status=500), DOWN, DOWN, ModelUnknown("404")]
    assert desk.play(plan, outcomes)[-1] == "give up"
    reason = ended(plan, desk.now_s).reason
    assert all(
        part in reason
        for part in ("a/m: env:A1: auth: 401, env:A2: billing: 402; ", "b/m: server: 500; ", "c/m: model_unknown: 404")
    )


def test_an_open_breaker_gates_and_lets_one_probe_through() -> None:
    """Five failures in a row shut the model out for 30 s; then one request probes while others wait."""
    desk = Desk()
    desk.play(desk.plan("b/m"), [DOWN] * 3)
    desk.play(desk.plan("b/m"), [DOWN] * 3)
    opened_s = desk.now_s
    assert desk.play(desk.plan("b/m", "c/m"), [None]) == ["c/m none"]
    waiting = desk.plan("b/m").next(desk.now_s)
    assert isinstance(waiting, Wait)
    probe = desk.plan("b/m")
    step = tried(probe, opened_s + 30.0)
    assert not isinstance(desk.plan("b/m").next(opened_s + 30.0), Try)
    probe.succeeded(step)
    assert isinstance(desk.plan("b/m").next(opened_s + 30.0), Try)


def test_an_abandoned_probe_gives_its_place_back() -> None:
    """A run that is stopped while it probes does not keep the model shut."""
    desk = Desk()
    desk.play(desk.plan("b/m"), [DOWN] * 3)
    desk.play(desk.plan("b/m"), [DOWN] * 3)
    free_s = desk.now_s + 30.0
    probe = desk.plan("b/m")
    tried(probe, free_s)
    probe.close()
    assert isinstance(desk.plan("b/m").next(free_s), Try)


def test_a_fallback_names_where_it_came_from_and_why() -> None:
    """Also where the wanted model was never asked because its keys rest."""
    desk = Desk()
    desk.play(desk.plan("b/m"), [KEY])
    step = tried(desk.plan("b/m", "c/m"), desk.now_s)
    assert (step.model, step.fallback_from) == ("c/m", "b/m")
    assert step.why == "its key env:B1 cools (auth)"


@pytest.mark.parametrize(
    ("models", "said"),
    [((), "no model is named"), (("x/m",), "no provider 'x'"), (("a",), "names no model"), (("b/m",), "has no key")],
)
def test_a_plan_without_anything_to_try_says_why(models: tuple[str, ...], said: str) -> None:
    """No model, an unknown provider, half a name, and a key that is not there."""
    plan = Desk(environ={}).plan(*models)
    end = ended(plan, 1000.0)
    assert said in f"{end.reason} {end.error()}"


def test_a_report_that_was_not_asked_for_is_a_bug() -> None:
    """Each attempt is reported once, before the next step is asked for."""
    desk = Desk()
    plan = desk.plan("b/m")
    step = tried(plan, desk.now_s)
    with pytest.raises(KernelBug):
        plan.next(desk.now_s)
    assert plan.failed(step, DOWN, desk.now_s).kind is FailureClass.SERVER
    with pytest.raises(KernelBug):
        plan.failed(step, DOWN, desk.now_s)


def test_all_waiting_together_is_bounded() -> None:
    """A key that others exhaust again and again is not waited for beyond the bound counted from the first wait."""
    desk = Desk(wait_s=100.0)
    (key,) = desk.keys.keys("b")
    desk.health.cool(key, classify(BUSY), 1000.0, 80.0)
    plan = desk.plan("b/m")
    assert words(plan.next(1000.0)) == "wait 80"
    desk.health.cool(key, classify(BUSY), 1080.0, 21.0)
    assert words(plan.next(1080.0)) == "give up"


def test_a_model_that_was_waited_for_has_its_time_anew() -> None:
    """The deadline is for attempts; waiting for a key to be free does not use it up."""
    desk = Desk(deadline_s=10.0)
    plan = desk.plan("b/m")
    plan.failed(tried(plan, 1000.0), RateLimited("429", retry_after_s=31.0), 1004.0)
    assert words(plan.next(1004.0)) == "wait 120"
    assert tried(plan, 1124.0).deadline_s == 10.0


def test_a_server_that_names_a_long_time_is_waited_for() -> None:
    """503 with Retry-After 45: too long for a retry in place, not too long to wait where nobody else answers."""
    desk = Desk()
    told = desk.play(desk.plan("b/m"), [ProviderDown("503", status=503, retry_after_s=45.0), None])
    assert told == ["b/m B1", "wait 45", "b/m B1"]


def test_an_answer_of_an_older_request_wakes_no_key() -> None:
    """A request that began before the key was limited says nothing about the limit."""
    desk = Desk(wait_s=0.0)
    older, newer = desk.plan("b/m"), desk.plan("b/m")
    before = tried(older, 1000.0)
    newer.failed(tried(newer, 1000.0), KEY, 1000.0)
    older.succeeded(before)
    assert words(desk.plan("b/m").next(1000.0)) == "give up"
