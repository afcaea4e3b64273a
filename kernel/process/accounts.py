"""Budget accounts that runs share, as the journal knows them.

Guarantees: an account is opened with what the record says was spent under it: by requests in its own
stream, and by every run that was started with it, whoever resumed it since. Which runs those are
stands in its stream (budget.joined, before the run's own start). What it allows is what it was first
opened with, also after a restart. A run that is live when its account opens is put under it.
What it does not do: open accounts that nobody ever opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
_PAGE: Final = 1000


@dataclass(slots=True)
class Accounts:
    """`live` and `launched` are the supervisor's: runs under way, and those that a parent has counted."""

    journal: Appender
    budgets: BudgetLedger
    live: Mapping[RunId, object]
    launched: set[RunId] = field(default_factory=set[RunId])
    _openers: dict[str, Principal] = field(default_factory=dict[str, Principal])

    async def open(self, account: str, budget: Budget, *, by: Principal) -> bool:
        """Open it, as it was first opened or else with this budget; False where it is open.

        Raises: JournalDown.
        """
        if self.budgets.is_open(account):
            return False
        if not await self.reopen(account):
            caps = {name: cap for name, cap in _caps(budget).items() if cap is not None}
            await self.journal.append(Draft(by, account, OPENED, caps))
            await self.reopen(account)
        return True

    async def reopen(self, account: str) -> bool:
        """Open it as the record has it; whether it is open then, and was not before."""
        while not self.budgets.is_open(account):
            before = set(self.live)
            opened, spent = await self._read(account)
            if opened is None:
                return False
            if before == set(self.live) and not self.budgets.is_open(account):
                self._open(account, opened, spent)
                return True
        return False

    async def join(self, account: str, run: RunId, *, owner: Principal, by: Principal) -> None:
        """Record that the run draws on the account. Raises: AccessDenied (another's account), JournalDown, QueueFull."""
        await self.reopen(account)
        opener = self._openers.get(account, owner)
        if opener != owner:
            raise AccessDenied(f"the budget {account} is {opener}'s", layer="capability", remedy="open one of your own")
        self.journal.append(Draft(by, account, JOINED, {"run": run}))

    def _open(self, account: str, opened: Entry, spent: Mapping[str, Cost]) -> None:
        self.budgets.open(account, _budget(opened))
        self._openers[account] = opened.principal
        for run, cost in spent.items():
            if run in self.live:
                self.budgets.adopt(run, account)
            else:
                self.budgets.restore(account, cost)
            self.launched.add(RunId(run))

    async def _read(self, account: str) -> tuple[Entry | None, dict[str, Cost]]:
        """How it was opened (None: never), and what was spent by whom."""
        await self.journal.flush()
        opened: Entry | None = None
        own, runs = Spending(), list[RunId]()
        for entry in await self._entries(account):
            payload = cast("Mapping[str, Any]", entry.payload or {})
            own.apply(entry.kind, payload)
            if entry.kind == OPENED:
                opened = opened or entry
            elif entry.kind == JOINED and payload:
                runs.append(RunId(payload["run"]))
        if opened is None:
            return None, {}
        capped = any(
            cap is not None for cap in _caps(_budget(opened)).values()
        )  # Else nothing rests on what was spent.
        spent = {run: await self._spent(run) if capped else NOTHING for run in runs}
        return opened, {account: own.total, **spent}

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


def _budget(opened: Entry) -> Budget:
    return Budget(**cast("Mapping[str, Any]", opened.payload or {}))


def _caps(budget: Budget) -> dict[str, int | None]:
    return {"tokens_max": budget.tokens_max, "calls_max": budget.calls_max, "micro_usd_max": budget.micro_usd_max}
