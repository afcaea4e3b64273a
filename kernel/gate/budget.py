"""Budgets: what a run may spend, reserved before a call and settled after it.

Guarantees: over any interleaving of calls, spent plus reserved never exceeds a cap by one unit, in
the account or any account above it, as long as a call costs at most what it reserved; a refused
reservation reserves nothing anywhere. What a call really cost is recorded even where it cost more
than reserved: then the account is over its cap, says so, and admits nothing further. Amounts are
integers; money is in micro-dollars, time in microseconds. Time spent waiting for a person is not
counted.

Not for use from other threads: there is no wait between a check and its reservation.

Source: RFC-0007.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from kernel.clock import Clock
from kernel.directive import Budget
from kernel.errors import Conflict, KernelBug, NotFound
from kernel.gate.decision import Case, Denied, LayerName
from kernel.gate.request import Cost

WARN_PERCENT: Final = 80
RESUME: Final = "oxios runs resume"
"""How a person raises the budget of one run."""

_MICRO: Final = 1_000_000
_NOTHING: Final = Cost(calls=0)
_SPENT: Final = frozenset({"tokens", "micro_usd"})
"""What model requests use up."""
_UNITS: Final = {"tokens": "tokens", "calls": "calls", "micro_usd": "micro-dollars", "seconds": "seconds"}
_RAISED_BY: Final = {
    "tokens": ("--tokens N", "run.tokens_max"),
    "calls": ("--calls N", "run.calls_max"),
    "micro_usd": ("--usd X", "run.usd_max"),
    "seconds": ("--seconds S", "run.seconds_max"),
}


@dataclass(frozen=True, slots=True)
class Warned:
    """An account has used WARN_PERCENT of a cap; told once for each cap."""

    account: str
    units: str
    used: int
    cap: int


class BudgetLedger:
    """Every open account. An account may stand under a parent, which then pays for it as well."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._reserved: dict[int, tuple[_Account, Cost]] = {}
        self._last = 0

    def open(self, account: str, budget: Budget, parent: str | None = None, *, raised_by: str = RESUME) -> None:
        """Start an account and its stopwatch. `raised_by` is the command that a refusal names.

        Raises: Conflict, where it is open already; NotFound, where the parent is not.
        """
        if account in self._accounts:
            raise Conflict(f"the budget of {account} is open already", remedy="close it first")
        above = self._account(parent) if parent is not None else None
        self._accounts[account] = _Account(account, _caps(budget), above, self._clock.monotonic_s(), raised_by)

    def allow(self, account: str, budget: Budget) -> None:
        """Replace the caps that `budget` names; what is used of them may be told again. Raises: NotFound."""
        found, caps = self._account(account), _caps(budget)
        found.caps |= caps
        found.told -= caps.keys()

    def close(self, account: str) -> None:
        """Forget an account. Reservations still open are settled against its parents only."""
        self._accounts.pop(account, None)

    def is_open(self, account: str) -> bool:
        return account in self._accounts

    def reserve(self, account: str, cost: Cost) -> int | Denied:
        """Set the cost aside in the account and all above it; the handle is for `settle` or `refund`.

        An account that was never opened has no caps, and gives 0: nothing to settle.
        """
        found = self._accounts.get(account)
        if found is None:
            return 0
        line = found.line()
        for each in line:
            refused = each.refuses(cost, self._clock.monotonic_s())
            if refused is not None:
                return refused
        for each in line:
            each.reserved = each.reserved.plus(cost)
        self._last += 1
        self._reserved[self._last] = (found, cost)
        return self._last

    def settle(self, handle: int, actual: Cost) -> None:
        """Turn a reservation into spending. Raises: KernelBug, where the handle is not open."""
        if handle == 0:
            return
        found, cost = self._take(handle)
        for each in found.line():
            each.reserved = each.reserved.minus(cost)
            each.spent = each.spent.plus(actual)

    def refund(self, handle: int) -> None:
        """The call did not happen: give the reservation back. Raises: as `settle`."""
        self.settle(handle, _NOTHING)

    def restore(self, account: str, spent: Cost, active_us: int = 0, *, above: bool = True) -> None:
        """Count what the journal says was spent before, for a run that resumes.

        Parents count it too, unless `above` says that they have: a parent outlives a run's pauses.
        Raises: NotFound.
        """
        found = self._account(account)
        found.active_us += active_us
        for each in found.line() if above else (found,):
            each.spent = each.spent.plus(spent)

    def adopt(self, account: str, parent: str) -> None:
        """Put an account that is open under one that was opened later, which pays for it from the start.

        Raises: NotFound; Conflict, where it has a parent.
        """
        found, above = self._account(account), self._account(parent)
        if found.parent is not None:
            raise Conflict(f"the budget of {account} stands under another", remedy="close it first")
        for each in above.line():
            each.spent, each.reserved = each.spent.plus(found.spent), each.reserved.plus(found.reserved)
        found.parent = above

    def spent(self, account: str) -> Cost:
        """Raises: NotFound."""
        return self._account(account).spent

    def used(self, account: str) -> Cost:
        """Spent, and set aside for what is under way. Raises: NotFound."""
        found = self._account(account)
        return found.spent.plus(found.reserved)

    def active_us(self, account: str) -> int:
        """Wall time of the account, without waiting for a person. Raises: NotFound."""
        return self._account(account).elapsed_us(self._clock.monotonic_s())

    def remaining(self, account: str) -> Budget:
        """What may still be reserved, the tightest of the account and those above; None is unbounded."""
        found = self._accounts.get(account)
        if found is None:
            return Budget()
        now_s = self._clock.monotonic_s()
        left: dict[str, int] = {}
        for each in found.line():
            for what, cap in each.caps.items():
                free = max(0, cap - each.used(what, now_s))
                left[what] = min(free, left.get(what, free))
        seconds = left.get("seconds")
        return Budget(
            tokens_max=left.get("tokens"),
            calls_max=left.get("calls"),
            micro_usd_max=left.get("micro_usd"),
            seconds_max=None if seconds is None else seconds / _MICRO,
        )

    def capped(self, account: str) -> bool:
        """Whether tokens or money of the account, or of one above it, have a cap."""
        found = self._accounts.get(account)
        return found is not None and any(_SPENT & each.caps.keys() for each in found.line())

    def take_warnings(self, account: str) -> tuple[Warned, ...]:
        """Caps of the account and those above that have passed WARN_PERCENT; each is told once."""
        found = self._accounts.get(account)
        return () if found is None else tuple(found.warnings(self._clock.monotonic_s()))

    @contextmanager
    def waiting(self, account: str) -> Generator[None]:
        """Stop the stopwatches of the account and those above while a person is asked."""
        found = self._accounts.get(account)
        line = found.line() if found is not None else ()
        for each in line:
            each.pause(self._clock.monotonic_s())
        try:
            yield
        finally:
            for each in line:
                each.go_on(self._clock.monotonic_s())

    def _account(self, name: str) -> _Account:
        found = self._accounts.get(name)
        if found is None:
            raise NotFound(f"no budget is open for {name}", remedy="budgets live as long as their run")
        return found

    def _take(self, handle: int) -> tuple[_Account, Cost]:
        found = self._reserved.pop(handle, None)
        if found is None:
            raise KernelBug(f"the reservation {handle} was settled twice or never made")
        return found


class BudgetLayer:
    """Reserves what a call may cost; the gate refunds it where a later layer refuses."""

    name: LayerName = "budget"

    def __init__(self, ledger: BudgetLedger) -> None:
        self.ledger = ledger

    async def check(self, case: Case) -> Denied | None:
        reserved = self.ledger.reserve(case.request.account, case.request.cost)
        if isinstance(reserved, Denied):
            return reserved
        case.reservation = reserved
        return None


@dataclass(slots=True, eq=False)
class _Account:
    name: str
    caps: dict[str, int]
    parent: _Account | None
    started_s: float
    raised_by: str
    spent: Cost = _NOTHING
    reserved: Cost = _NOTHING
    active_us: int = 0
    """Up to `started_s`; the stopwatch has run since then, unless it is paused."""
    pauses: int = 0
    told: set[str] = field(default_factory=set[str])

    def line(self) -> tuple[_Account, ...]:
        """This account and all above it."""
        return (self,) if self.parent is None else (self, *self.parent.line())

    def refuses(self, cost: Cost, now_s: float) -> Denied | None:
        for what, cap in self.caps.items():
            used = self.used(what, now_s)
            if what == "seconds":
                if used >= cap:
                    return self._refusal(what, used // _MICRO, cap // _MICRO, 0)
            elif (wanted := _amount(cost, what)) and used + wanted > cap:
                return self._refusal(what, used, cap, wanted)
        return None

    def used(self, what: str, now_s: float) -> int:
        """Spent and reserved; for seconds, the microseconds gone."""
        if what == "seconds":
            return self.elapsed_us(now_s)
        return _amount(self.spent, what) + _amount(self.reserved, what)

    def elapsed_us(self, now_s: float) -> int:
        return self.active_us + (0 if self.pauses else round((now_s - self.started_s) * _MICRO))

    def pause(self, now_s: float) -> None:
        self.active_us = self.elapsed_us(now_s)
        self.pauses += 1
        self.started_s = now_s

    def go_on(self, now_s: float) -> None:
        self.pauses -= 1
        self.started_s = now_s

    def warnings(self, now_s: float) -> Iterator[Warned]:
        for each in self.line():
            for what, cap in each.caps.items():
                used = each.used(what, now_s)
                if what not in each.told and used * 100 >= cap * WARN_PERCENT:
                    each.told.add(what)
                    unit = _MICRO if what == "seconds" else 1
                    yield Warned(each.name, _UNITS[what], used // unit, cap // unit)

    def _refusal(self, what: str, used: int, cap: int, wanted: int) -> Denied:
        units = _UNITS[what]
        asked = f", and this call may need {wanted}" if wanted else ""
        flag, setting = _RAISED_BY[what]
        of_settings = f" (and a higher {setting}, where the settings bound it)" if self.raised_by == RESUME else ""
        return Denied(
            "budget",
            f"the budget of {self.name} is {cap} {units}; {used} are used or set aside{asked}",
            "finish with what there is; a person can go on with more: "
            f"`{self.raised_by} {self.name} {flag}`{of_settings}",
            need=what,
        )


def _caps(budget: Budget) -> dict[str, int]:
    seconds = None if budget.seconds_max is None else round(budget.seconds_max * _MICRO)
    caps = {
        "tokens": budget.tokens_max,
        "calls": budget.calls_max,
        "micro_usd": budget.micro_usd_max,
        "seconds": seconds,
    }
    return {what: cap for what, cap in caps.items() if cap is not None}


def _amount(cost: Cost, what: str) -> int:
    if what == "tokens":
        return cost.tokens
    return cost.calls if what == "calls" else cost.micro_usd
