"""Approvals over a real journal in memory, a clock by hand, and a person who answers by script."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from kernel.capability import record as capability_record
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.table import CapabilityTable
from kernel.gate import approval_record
from kernel.gate.approval import ApprovalLayer
from kernel.gate.approvals import Approvals
from kernel.gate.asker import Answer
from kernel.gate.budget import BudgetLedger
from kernel.gate.decision import Case, Denied, NeedsApproval, Question
from kernel.gate.policy import Rules
from kernel.gate.request import Request
from kernel.gate.standing import Standing
from kernel.ids import ApprovalId, RunId
from kernel.journal.log import Journal, open_journal
from kernel.ports.sandbox import Tier
from kernel.syscalls.target import Target
from kernel.testing.clock import FakeClock
from kernel.testing.memory_store import MemoryStore
from tests.unit.gate_case import ALICE, case_of


@dataclass(slots=True)
class Person:
    """Answers from a script; without one, waits to be asked and never answers."""

    script: list[Answer | Exception] = field(default_factory=list[Answer | Exception])
    listening: bool = True
    asked: list[Question] = field(default_factory=list[Question])
    given_up: int = 0
    heard: anyio.Event = field(default_factory=anyio.Event)

    async def approve(self, approval: ApprovalId, run: RunId | None, question: Question, wait_s: float) -> Answer:
        self.asked.append(question)
        self.heard.set()
        if not self.script:
            try:
                await anyio.sleep_forever()
            finally:
                self.given_up += 1
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    async def ask(self, run: RunId | None, question: str, choices: tuple[str, ...]) -> str:
        raise AssertionError("approvals ask nothing else")


@dataclass(slots=True)
class World:
    journal: Journal
    clock: FakeClock
    table: CapabilityTable
    budgets: BudgetLedger
    person: Person
    approvals: Approvals
    layer: ApprovalLayer
    tier: Tier = "bubblewrap"
    rules: Rules = field(default_factory=Rules)

    def allow(self, *keys: str) -> None:
        self.rules = replace(self.rules, allow=frozenset(keys))

    async def check(self, case: Case) -> NeedsApproval | None:
        return await self.layer.check(case)

    async def admit(self, request: Request, *targets: Target) -> str | Denied | None:
        """As the gate does: ask where the layer says so, then look again with the answer."""
        named = {str(number): target for number, target in enumerate(targets)}
        stopped = await self.layer.check(case_of(request, named))
        if stopped is None:
            return None
        answer = await self.approvals.resolve(request, stopped.question)
        if isinstance(answer, Denied):
            return answer
        again = case_of(request, named)
        again.approval = answer
        assert await self.layer.check(again) is None
        return answer

    async def kinds(self) -> list[str]:
        await self.journal.flush()
        return [entry.kind for entry in await self.journal.read() if entry.kind.startswith("approval.")]


def run_world(home: Path, body: Callable[[World], Awaitable[None]], store: MemoryStore | None = None) -> None:
    """Open a world on `store`, as a kernel boots; close it in order."""

    async def main() -> None:
        async with open_world(home, store or MemoryStore()) as world:
            await body(world)

    anyio.run(main)


@asynccontextmanager
async def open_world(home: Path, store: MemoryStore) -> AsyncGenerator[World]:
    clock, person = FakeClock(flows=False), Person()
    projectors = {**capability_record.PROJECTORS, **approval_record.PROJECTORS}
    async with open_journal(store, home, clock, projectors) as journal:
        table = CapabilityTable(journal, clock)
        await table.load()
        if not table.held(ALICE):
            await table.mint(ALICE, Resource.parse("approve:**"), Rights.ALL, origin="operator")
        budgets = BudgetLedger(clock)
        made: list[World] = []
        approvals = Approvals(
            journal,
            clock,
            asker=lambda: person,
            standing=Standing(table),
            budgets=budgets,
            rules=lambda: made[0].rules,
        )
        layer = ApprovalLayer(approvals, lambda: made[0].tier)
        made.append(World(journal, clock, table, budgets, person, approvals, layer))
        yield made[0]
