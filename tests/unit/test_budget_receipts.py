"""What a request costs at most before it, and what its receipts say after it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.directive import Budget
from kernel.engine import money
from kernel.errors import Conflict, NotFound
from kernel.gate.budget import BudgetLedger
from kernel.gate.decision import Denied
from kernel.gate.request import Cost
from kernel.ids import RunId
from kernel.ports.provider import Attachment, Message, Price, ToolCall, ToolSpec
from kernel.runtime.bound import ATTACHMENT_TOKENS, FRAME_TOKENS, PromptBound
from kernel.runtime.spending import Spending
from kernel.runtime.state import RunState
from kernel.testing.clock import FakeClock

_TALK = [Message("system", "be good"), Message("user", "日本語で答えて")]
_TOOL = ToolSpec("ls", "List a folder.", {"type": "object", "properties": {}})


def _spent(*entries: tuple[str, dict[str, Any]]) -> tuple[int, int]:
    spending = Spending()
    for kind, payload in entries:
        spending.apply(kind, payload)
    return spending.total.tokens, spending.total.micro_usd


def _reserved(tokens: int, **more: Any) -> tuple[str, dict[str, Any]]:
    return "model.reserved", {"tokens": tokens, "micro_usd": tokens * 2, **more}


def test_no_byte_of_a_strangers_text_is_left_out_of_the_bound() -> None:
    """A token is at least a byte of it; of the kernel's own words two; files and calls count too."""
    call = Message("assistant", "", (ToolCall("c", "ls", '{"path": "a"}'),))
    picture = Message("user", "", attachments=(Attachment("image/png", b"x" * 100),))
    words = len("日本語で答えて".encode())
    assert PromptBound().at_most("m", _TALK) == 2 * FRAME_TOKENS + 4 + words
    assert PromptBound().at_most("m", [call]) == 2 * FRAME_TOKENS + len('ls{"path": "a"}')
    assert PromptBound().at_most("m", [picture]) == FRAME_TOKENS + ATTACHMENT_TOKENS + 100
    assert PromptBound([_TOOL]).at_most("m", _TALK) > PromptBound().at_most("m", _TALK)


def test_what_a_model_counted_stands_for_the_beginning() -> None:
    """For that model, until the conversation is another, and only where the count can be true."""
    bound = PromptBound([_TOOL])
    whole = bound.at_most("m", _TALK)
    bound.counted("m", whole + 1, _TALK)
    bound.counted("m", 0, _TALK)
    assert bound.at_most("m", _TALK) == whole
    bound.counted("m", 9, _TALK)
    assert bound.at_most("m", [*_TALK, Message("user", "more")]) == 9 + FRAME_TOKENS + 4
    assert bound.at_most("other", _TALK) == whole
    bound.forget()
    assert bound.at_most("m", _TALK) == whole


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 9_000), st.integers(0, 20_000))
def test_the_answer_that_money_leaves_room_for_is_the_longest(
    per_in: int, per_out: int, prompt: int, micro_usd: int
) -> None:
    """It fits, and one token more would not, unless that is all that is asked."""
    price = Price(per_in, per_out)
    answer = money.answer_for(price, prompt, micro_usd, 8_192)
    assert answer == -1 or money.cost_at_most(price, prompt, answer) <= micro_usd
    assert answer == 8_192 or money.cost_at_most(price, prompt, answer + 1) > micro_usd


def test_a_receipt_takes_the_place_of_what_was_reserved() -> None:
    """A reply by what it says was settled, or else its usage; a failure that says nothing by nothing."""
    usage = {"usage": {"in": 3, "out": 4}}
    assert _spent(_reserved(10)) == (10, 20)
    assert _spent(_reserved(10), ("model.reply", {**usage, "micro_usd": 5})) == (7, 5)
    assert _spent(_reserved(10), ("model.reply", {**usage, "tokens": 10, "micro_usd": 5})) == (10, 5)
    assert _spent(_reserved(10), ("model.failed", {})) == (0, 0)
    assert _spent(_reserved(10), ("model.failed", {"tokens": 10, "micro_usd": 20})) == (10, 20)


def test_what_was_reserved_and_never_ended_is_spent() -> None:
    """Also where the next request is refused before anything is reserved for it."""
    request: tuple[str, dict[str, Any]] = ("model.request", {})
    assert _spent(request, _reserved(10), request, ("model.failed", {})) == (10, 20)
    assert _spent(request, _reserved(10), request, _reserved(5), ("model.failed", {})) == (10, 20)
    assert _spent(_reserved(10, call="a"), _reserved(5, call="b"), ("model.failed", {"call": "b"})) == (10, 20)


def test_an_account_adopted_late_is_paid_for_from_its_start() -> None:
    """What is spent and what is set aside count above; settling it settles both."""
    ledger = BudgetLedger(FakeClock())
    ledger.open("run", Budget())
    first, second = ledger.reserve("run", Cost(tokens=5)), ledger.reserve("run", Cost(tokens=3))
    assert isinstance(first, int)
    assert isinstance(second, int)
    ledger.settle(first, Cost(tokens=4))
    ledger.open("top", Budget(tokens_max=9))
    ledger.adopt("run", "top")
    assert ledger.used("top") == ledger.used("run") == Cost(tokens=7, calls=2)
    assert isinstance(ledger.reserve("run", Cost(tokens=3)), Denied)
    ledger.settle(second, Cost(tokens=1))
    assert ledger.used("top") == Cost(tokens=5, calls=2)
    with pytest.raises(Conflict):
        ledger.adopt("run", "top")
    with pytest.raises(NotFound):
        ledger.adopt("nobody", "top")


def test_a_raised_cap_is_told_of_again() -> None:
    """What was used counts against it; caps that were not named stay."""
    ledger = BudgetLedger(FakeClock())
    ledger.open("run", Budget(tokens_max=10, calls_max=2))
    handle = ledger.reserve("run", Cost(tokens=9))
    assert isinstance(handle, int)
    ledger.settle(handle, Cost(tokens=9))
    assert [one.units for one in ledger.take_warnings("run")] == ["tokens"]
    ledger.allow("run", Budget(tokens_max=11))
    assert [one.units for one in ledger.take_warnings("run")] == ["tokens"]
    assert isinstance(ledger.reserve("run", Cost(tokens=3)), Denied)
    assert ledger.remaining("run").calls_max == 1


@pytest.mark.parametrize(
    ("above", "own", "capped"),
    [
        (Budget(), Budget(calls_max=1, seconds_max=1.0), False),
        (Budget(), Budget(tokens_max=1), True),
        (Budget(micro_usd_max=1), Budget(), True),
    ],
)
def test_an_account_is_capped_by_its_own_caps_or_by_those_above(above: Budget, own: Budget, capped: bool) -> None:
    """Of tokens and money: those are what a model request uses up."""
    ledger = BudgetLedger(FakeClock())
    ledger.open("top", above)
    ledger.open("run", own, "top")
    assert ledger.capped("run") is capped
    assert not ledger.capped("never opened")


_STARTED: dict[str, Any] = {
    "directive": {"goal": "g"}, "env": {"mounts": []}, "owner": "user:a", "grant": "worker", "system": "s", "user": "u",
}  # fmt: skip


_LIVES: list[tuple[list[tuple[str, dict[str, Any], int]], int]] = [
    ([("run.paused", {"note": ""}, 100)], 100),
    ([("run.paused", {"note": "", "active_us": 7}, 100)], 7),
    ([("approval.asked", {}, 10), ("approval.answered", {}, 60), ("run.paused", {"note": ""}, 100)], 50),
    ([("approval.asked", {}, 10), ("approval.answered", {}, 60), ("call.intent", {"call": "x"}, 100)], 50),
    ([("approval.asked", {}, 10), ("run.steered", {"text": ""}, 90)], 10),
    ([("approval.asked", {}, 10), ("approval.answered", {}, 9_000)], 10),
]


@pytest.mark.parametrize(("entries", "active_us"), _LIVES)
def test_waiting_for_a_person_is_no_time_of_the_run(
    entries: list[tuple[str, dict[str, Any], int]], active_us: int
) -> None:
    """However the life ended: paused, killed while it worked, or killed while it waited and answered later."""
    state = RunState(RunId("r1"))
    state.apply("run.started", _STARTED, 0)
    for kind, payload, time_us in [*entries, ("run.resumed", {}, 10_000)]:
        state.apply(kind, payload, time_us)
    assert state.active_us == active_us
