"""The budget ledger: caps from both sides, parents, waiting, warnings, resuming."""

from __future__ import annotations

import anyio
import pytest

from kernel.directive import Budget
from kernel.errors import Conflict, KernelBug, NotFound
from kernel.gate.budget import BudgetLayer, BudgetLedger
from kernel.gate.decision import Denied
from kernel.gate.request import Cost
from kernel.testing.clock import FakeClock
from tests.unit.gate_case import case_of, request_of

RUN = "r1"


def ledger_of(budget: Budget, clock: FakeClock | None = None) -> BudgetLedger:
    ledger = BudgetLedger(clock or FakeClock())
    ledger.open(RUN, budget)
    return ledger


def reserved(ledger: BudgetLedger, cost: Cost, account: str = RUN) -> int:
    handle = ledger.reserve(account, cost)
    assert isinstance(handle, int), handle
    return handle


@pytest.mark.parametrize(
    ("budget", "fits", "over", "what"),
    [
        (Budget(tokens_max=10), Cost(tokens=10), Cost(tokens=11), "tokens"),
        (Budget(calls_max=3), Cost(calls=3), Cost(calls=4), "calls"),
        (Budget(micro_usd_max=7), Cost(micro_usd=7), Cost(micro_usd=8), "micro_usd"),
    ],
)
def test_a_cap_admits_up_to_itself_and_not_one_unit_more(budget: Budget, fits: Cost, over: Cost, what: str) -> None:
    """Exactly the cap passes; one unit more is refused, and reserves nothing."""
    ledger = ledger_of(budget)
    refused = ledger.reserve(RUN, over)
    assert isinstance(refused, Denied)
    assert (refused.layer, refused.need) == ("budget", what)
    assert "resume" in refused.remedy
    ledger.settle(reserved(ledger, fits), fits)
    assert isinstance(ledger.reserve(RUN, fits), Denied)


def test_what_is_reserved_counts_until_it_is_settled_or_refunded() -> None:
    """A call under way holds its share; a cheaper one gives back the rest, one that did not happen all."""
    ledger = ledger_of(Budget(tokens_max=10))
    first = reserved(ledger, Cost(tokens=6))
    assert isinstance(ledger.reserve(RUN, Cost(tokens=5)), Denied)
    assert ledger.remaining(RUN).tokens_max == 4
    ledger.settle(first, Cost(tokens=2))
    assert ledger.remaining(RUN).tokens_max == 8
    ledger.refund(reserved(ledger, Cost(tokens=8)))
    assert ledger.remaining(RUN).tokens_max == 8
    assert ledger.spent(RUN).tokens == 2


def test_a_call_that_cost_more_than_reserved_is_recorded_and_ends_the_budget() -> None:
    """What was really spent stands, even over the cap; then nothing more is admitted."""
    ledger = ledger_of(Budget(tokens_max=10))
    ledger.settle(reserved(ledger, Cost(tokens=8)), Cost(tokens=12))
    assert ledger.spent(RUN).tokens == 12
    assert ledger.remaining(RUN).tokens_max == 0
    assert isinstance(ledger.reserve(RUN, Cost(tokens=1)), Denied)
    assert isinstance(ledger.reserve(RUN, Cost(tokens=0)), int)  # a call that needs none of it


def test_a_refusal_above_reserves_nothing_below() -> None:
    """Reserving is all or nothing over an account and every account above it."""
    ledger = BudgetLedger(FakeClock())
    ledger.open("top", Budget(calls_max=3))
    ledger.open("mid", Budget(calls_max=10), parent="top")
    ledger.open("leaf", Budget(calls_max=10), parent="mid")
    ledger.settle(reserved(ledger, Cost(calls=2), "leaf"), Cost(calls=2))
    refused = ledger.reserve("leaf", Cost(calls=2))
    assert isinstance(refused, Denied)
    assert "top" in refused.reason
    assert [ledger.remaining(name).calls_max for name in ("top", "mid", "leaf")] == [1, 1, 1]
    assert ledger.spent("mid").calls == 2
    reserved(ledger, Cost(calls=1), "mid")
    assert isinstance(ledger.reserve("leaf", Cost(calls=1)), Denied)


def test_an_account_that_was_never_opened_is_unbounded() -> None:
    """A person's own calls have no account: nothing is reserved, and settling that is nothing."""
    ledger = BudgetLedger(FakeClock())
    assert ledger.reserve("", Cost(tokens=10**12)) == 0
    ledger.settle(0, Cost(tokens=5))
    ledger.refund(0)
    assert ledger.remaining("") == Budget()


def test_settling_twice_is_a_bug() -> None:
    """A reservation ends once; anything else is a broken invariant, not a number to forgive."""
    ledger = ledger_of(Budget())
    handle = reserved(ledger, Cost())
    ledger.settle(handle, Cost())
    for again in (handle, 999):
        with pytest.raises(KernelBug):
            ledger.settle(again, Cost())


def test_accounts_open_once_below_parents_that_exist() -> None:
    """Opening twice, or under nobody, is refused; closing makes the name free."""
    ledger = ledger_of(Budget(calls_max=1))
    with pytest.raises(Conflict):
        ledger.open(RUN, Budget())
    with pytest.raises(NotFound):
        ledger.open("x", Budget(), parent="nobody")
    handle = reserved(ledger, Cost())
    ledger.close(RUN)
    ledger.settle(handle, Cost())  # a call that was under way still ends
    assert not ledger.is_open(RUN)
    with pytest.raises(NotFound):
        ledger.spent(RUN)


def test_seconds_run_out_and_waiting_for_a_person_is_free() -> None:
    """Wall time counts, but not while a person is asked, also where two questions overlap."""
    clock = FakeClock()
    ledger = ledger_of(Budget(seconds_max=10.0), clock)
    clock.time_us += 4_000_000
    with ledger.waiting(RUN):
        clock.time_us += 100_000_000
        with ledger.waiting(RUN):
            clock.time_us += 100_000_000
        clock.time_us += 100_000_000
    assert ledger.active_us(RUN) == 4_000_000
    clock.time_us += 5_999_999
    ledger.refund(reserved(ledger, Cost()))
    clock.time_us += 1
    refused = ledger.reserve(RUN, Cost())
    assert isinstance(refused, Denied)
    assert refused.need == "seconds"
    assert ledger.remaining(RUN).seconds_max == 0


def test_eighty_percent_is_told_once_for_each_cap() -> None:
    """The warning comes when the share is reached, not before and not again."""
    ledger = ledger_of(Budget(tokens_max=10, calls_max=100))
    ledger.settle(reserved(ledger, Cost(tokens=7)), Cost(tokens=7))
    assert ledger.take_warnings(RUN) == ()
    ledger.settle(reserved(ledger, Cost(tokens=1)), Cost(tokens=1))
    (warned,) = ledger.take_warnings(RUN)
    assert (warned.account, warned.units, warned.used, warned.cap) == (RUN, "tokens", 8, 10)
    ledger.settle(reserved(ledger, Cost(tokens=1)), Cost(tokens=1))
    assert ledger.take_warnings(RUN) == ()


def test_a_resumed_run_starts_from_what_it_spent() -> None:
    """Restored amounts count against the cap, in the parent too, and time goes on from where it was."""
    clock = FakeClock()
    ledger = BudgetLedger(clock)
    ledger.open("top", Budget(tokens_max=20))
    ledger.open(RUN, Budget(tokens_max=10, seconds_max=10.0), parent="top")
    ledger.restore(RUN, Cost(tokens=9, calls=4, micro_usd=3), active_us=9_000_000)
    assert ledger.spent(RUN) == Cost(tokens=9, calls=4, micro_usd=3)
    assert ledger.remaining("top").tokens_max == 11
    assert ledger.remaining(RUN).seconds_max == 1.0
    assert isinstance(ledger.reserve(RUN, Cost(tokens=2)), Denied)
    clock.time_us += 1_000_000
    assert isinstance(ledger.reserve(RUN, Cost(tokens=1)), Denied)


def test_the_layer_puts_its_reservation_into_the_case() -> None:
    """The permit carries the handle; a refusal leaves none."""
    ledger = ledger_of(Budget(calls_max=1))
    layer = BudgetLayer(ledger)
    first = case_of(request_of(account=RUN))
    assert anyio.run(layer.check, first) is None
    assert first.reservation > 0
    second = case_of(request_of(account=RUN))
    refused = anyio.run(layer.check, second)
    assert isinstance(refused, Denied)
    assert second.reservation == 0
    ledger.refund(first.reservation)
    assert anyio.run(layer.check, second) is None
