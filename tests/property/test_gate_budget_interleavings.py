"""Over any interleaving the ledger equals the sum of its receipts and exceeds no cap by one unit."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.directive import Budget
from kernel.gate.budget import BudgetLedger
from kernel.gate.decision import Denied
from kernel.gate.request import Cost
from kernel.testing.clock import FakeClock

PARENTS = {"top": None, "left": "top", "right": "top", "leaf": "left"}
amount = st.integers(0, 6)
cost = st.builds(Cost, tokens=amount, calls=amount, micro_usd=amount)
cap = st.none() | st.integers(0, 20)
budget = st.builds(Budget, tokens_max=cap, calls_max=cap, micro_usd_max=cap)
step = st.one_of(
    st.tuples(st.just("reserve"), st.sampled_from(sorted(PARENTS)), cost),
    st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 100)),
)


def line(account: str | None) -> list[str]:
    return [] if account is None else [account, *line(PARENTS[account])]


def amounts(value: Cost) -> tuple[int, int, int]:
    return (value.tokens, value.calls, value.micro_usd)


class Sums:
    """The model: plain sums over receipts and open reservations."""

    def __init__(self, caps: dict[str, Budget]) -> None:
        self.caps = {name: (each.tokens_max, each.calls_max, each.micro_usd_max) for name, each in caps.items()}
        self.spent: dict[str, tuple[int, int, int]] = dict.fromkeys(PARENTS, (0, 0, 0))
        self.held: list[tuple[int, str, Cost]] = []

    def used(self, name: str) -> tuple[int, ...]:
        parts = [self.spent[name], *(amounts(cost) for _, account, cost in self.held if name in line(account))]
        return tuple(map(sum, zip(*parts, strict=True)))

    def would_exceed(self, account: str, more: Cost) -> bool:
        return any(
            wanted and bound is not None and have + wanted > bound
            for name in line(account)
            for have, wanted, bound in zip(self.used(name), amounts(more), self.caps[name], strict=True)
        )

    def receive(self, account: str, actual: Cost) -> None:
        for name in line(account):
            tokens, calls, micro_usd = self.spent[name]
            self.spent[name] = (tokens + actual.tokens, calls + actual.calls, micro_usd + actual.micro_usd)

    def within(self, name: str) -> bool:
        return all(bound is None or have <= bound for have, bound in zip(self.used(name), self.caps[name], strict=True))


@settings(max_examples=300)
@given(caps=st.fixed_dictionaries(dict.fromkeys(PARENTS, budget)), steps=st.lists(step, max_size=40))
def test_no_interleaving_exceeds_a_cap(
    caps: dict[str, Budget], steps: list[tuple[str, str, Cost] | tuple[str, int, int]]
) -> None:
    """The ledger is the sum of its receipts, refuses exactly what would exceed a cap, and never exceeds one."""
    ledger, sums = BudgetLedger(FakeClock()), Sums(caps)
    for name, parent in PARENTS.items():
        ledger.open(name, caps[name], parent)
    for _, first, second in steps:
        if isinstance(first, str):
            assert isinstance(second, Cost)
            answer = ledger.reserve(first, second)
            assert isinstance(answer, Denied) is sums.would_exceed(first, second)
            if isinstance(answer, int):
                sums.held.append((answer, first, second))
        elif sums.held:
            assert isinstance(second, int)
            handle, account, reserved = sums.held.pop(first % len(sums.held))
            actual = Cost(*(each * second // 100 for each in amounts(reserved)))
            ledger.settle(handle, actual)
            sums.receive(account, actual)
        assert all(amounts(ledger.spent(name)) == sums.spent[name] for name in PARENTS)
        assert all(map(sums.within, PARENTS))
