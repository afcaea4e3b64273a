"""Budget accounts that runs share, as the journal knows them.

Guarantees: an account is opened with what the record says was spent under it: by requests in its own
stream, and by every run that was started with it, whoever resumed it since. Which runs those are
stands in its stream (budget.joined, before the run's own start). What it allows is what it was first
opened with, and raised to since, also after a restart. A run that is live when its account opens is put under it.
What it does not do: open accounts that nobody ever opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from kernel.directive import Budget
from kernel.errors import AccessDenied, NotFound
from kernel.gate.budget import BudgetLedger
from kernel.gate.request import Cost
from kernel.ids import Principal, RunId
from kernel.journal.appender import Appender
from kernel.journal.entry import Draft, Entry
from kernel.runtime.history import read_history
from kernel.runtime.spending import NOTHING, Spending

JOINED: Final = "budget.joined"
OPENED: Final = "budget.opened"
RAISED: Final = "budget.raised"
RAISED_BY: Final = "oxios sessions budget"
"""The command that does."""
_PAGE: Final = 1000


@dataclass(slots=True)
class Accounts:
    """`live` and `launched` are the supervisor's: runs under way, and those that a parent has counted."""

    journal: Appender
    budgets: BudgetLedger
    live: Mapping[RunId, object]
    launched: set[RunId] = field(default_factory=set[RunId])
    _openers: dict[str, Principal] = field(default_factory=dict[str, Principal])
    _never: set[str] = field(default_factory=set[str])
    """Of which the record knows nothing, so that it is read for that once."""

    async def open(self, account: str, budget: Budget, *, by: Principal) -> bool:
        """Open it, as it was first opened or else with this budget; False where it is open.

        Raises: JournalDown.
        """
        if self.budgets.is_open(account):
            return False
        if not await self.reopen(account):
            caps = {name: cap for name, cap in _caps(budget).items() if cap is not None}
            await self.journal.append(Draft(by, account, OPENED, caps))
            self._never.discard(account)
            await self.reopen(account)
        return True

    async def allow(self, account: str, budget: Budget, *, by: Principal) -> None:
        """Replace the caps that `budget` names, from now on and after a restart.

        Raises: NotFound, where it was never opened; AccessDenied, where somebody else opened it; JournalDown.
        """
        await self.reopen(account)
        self._require(account, by)
        if not self.budgets.is_open(account):
            raise NotFound(f"no budget was opened for {account}", remedy="send a message in it first")
        caps = {name: cap for name, cap in _caps(budget).items() if cap is not None}
        await self.journal.append(Draft(by, account, RAISED, caps))
        self.budgets.allow(account, budget)

    async def reopen(self, account: str) -> bool:
        """Open it as the record has it; whether it is open then, and was not before."""
        while account not in self._never and not self.budgets.is_open(account):
            before = set(self.live)
            opener, budget, spent = await self._read(account)
            if opener is None:
                self._never.add(account)
                return False
            if before == set(self.live) and not self.budgets.is_open(account):
                self._open(account, opener, budget, spent)
                return True
        return False

    async def join(self, account: str, run: RunId, *, owner: Principal, by: Principal) -> None:
        """Record that the run draws on the account.

        Raises: AccessDenied (another's account), JournalDown, QueueFull.
        """
        await self.reopen(account)
        self._require(account, owner)
        self.journal.append(Draft(by, account, JOINED, {"run": run}))

    def _require(self, account: str, owner: Principal) -> None:
        opener = self._openers.get(account, owner)
        if opener != owner:
            raise AccessDenied(f"the budget {account} is {opener}'s", layer="capability", remedy="open one of your own")

    def _open(self, account: str, opener: Principal, budget: Budget, spent: Mapping[str, Cost]) -> None:
        self.budgets.open(account, budget, raised_by=RAISED_BY)
        self._openers[account] = opener
        for run, cost in spent.items():
            if run in self.live:
                self.budgets.adopt(run, account)
            else:
                self.budgets.restore(account, cost)
            self.launched.add(RunId(run))

    async def _read(self, account: str) -> tuple[Principal | None, Budget, dict[str, Cost]]:
        """Who opened it (None: nobody), what it allows, and what was spent by whom."""
        await self.journal.flush()
        opener: Principal | None = None
        budget = Budget()
        own, runs = Spending(), list[RunId]()
        for entry in await self._entries(account):
            payload = cast("Mapping[str, Any]", entry.payload or {})
            own.apply(entry.kind, payload)
            if (entry.kind == OPENED and opener is None) or entry.kind == RAISED:
                opener, budget = opener or entry.principal, replace(budget, **payload)
            elif entry.kind == JOINED and payload:
                runs.append(RunId(payload["run"]))
        # Nothing rests on what was spent, where it allows everything.
        capped = any(cap is not None for cap in _caps(budget).values())
        spent = {run: await self._spent(run) if capped else NOTHING for run in runs}
        return opener, budget, {account: own.total, **spent}

    async def _spent(self, run: RunId) -> Cost:
        try:
            return (await read_history(self.journal, run)).state().spent
        except NotFound:  # It joined, and the process died before its start was recorded.
            return NOTHING

    async def _entries(self, account: str) -> list[Entry]:
        entries: list[Entry] = []
        while True:
            page = await self.journal.read(stream=account, after=entries[-1].seq if entries else 0, limit=_PAGE)
            entries.extend(page)
            if len(page) < _PAGE:
                return entries


def _caps(budget: Budget) -> dict[str, int | None]:
    return {"tokens_max": budget.tokens_max, "calls_max": budget.calls_max, "micro_usd_max": budget.micro_usd_max}
