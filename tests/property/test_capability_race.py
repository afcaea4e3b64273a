"""Deriving, using and revoking at once: whatever the interleaving, what is revoked stops."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Generator
from dataclasses import dataclass, field

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.table import CapabilityTable
from kernel.capability.token import Need
from kernel.errors import CapabilityRevoked, LimitExceeded, NotFound, OxiosError
from kernel.ids import CallId, CapId, Digest, Principal
from kernel.journal.entry import Draft, Entry
from kernel.syscalls.permit import Permit, PermitLedger
from kernel.testing.clock import FakeClock
from tests.unit.capability_world import MemoryJournal

PEOPLE = [Principal(f"agent:{name}") for name in "abcd"]
OWNER = Principal("user:owner")
FILES = Resource.parse("file:/w/**")
NEED = Need(Resource.target("file", "/w/a"), Rights.READ)
NOTHING = Digest("0" * 64)


class Jittery(MemoryJournal):
    """Each entry takes a random number of turns of the loop to become durable."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.dice = dice

    def append(self, draft: Draft) -> Awaitable[Entry]:
        super().append(draft)
        return _Slow(self.entries[-1], self.dice.randrange(4))


@dataclass
class _Slow:
    entry: Entry
    turns: int

    def __await__(self) -> Generator[object, None, Entry]:
        for _ in range(self.turns):
            yield from anyio.lowlevel.checkpoint().__await__()
        return self.entry


@dataclass
class Race:
    """What every task shares, and what went wrong."""

    table: CapabilityTable
    ledger: PermitLedger
    dice: random.Random
    parents: dict[CapId, CapId | None] = field(default_factory=dict[CapId, CapId | None])
    revoked: set[CapId] = field(default_factory=set[CapId])
    wrong: list[str] = field(default_factory=list[str])
    used: int = 0
    stopped: int = 0

    def rests_on_revoked(self, cap: CapId) -> bool:
        above: CapId | None = cap
        while above is not None:
            if above in self.revoked:
                return True
            above = self.parents[above]
        return False

    async def pause(self) -> None:
        for _ in range(self.dice.randrange(6)):
            await anyio.lowlevel.checkpoint()

    async def derive(self, who: Principal) -> None:
        parent = self.dice.choice(self.table.held(who) or self.table.held(OWNER))
        try:
            child = await self.table.copy(parent.id, self.dice.choice(PEOPLE), by=parent.holder, origin="race")
        except (CapabilityRevoked, NotFound, LimitExceeded):
            return
        self.parents[child.id] = parent.id
        if self.rests_on_revoked(child.id) and self.table.usable([child.id]):
            self.wrong.append(f"{child.id} was granted under what was revoked")

    async def use(self, who: Principal) -> None:
        covered = self.table.cover(who, [NEED])
        if isinstance(covered, Need):
            return
        permit = self.ledger.issue(Permit(who, CallId("r.1"), "read", NOTHING, (NEED,), covered, {}))
        await self.pause()
        reasons: list[str] = []
        try:
            self.ledger.redeem(permit, "read", NOTHING, reasons.append)
        except CapabilityRevoked:
            self.stopped += 1
            if not any(self.rests_on_revoked(cap) for cap in covered):
                self.wrong.append("a permit was withdrawn for nothing")
            return
        for _ in range(3):
            if any(self.rests_on_revoked(cap) for cap in covered) and not reasons:
                self.wrong.append("a call went on over what was revoked")
            self.used += not reasons
            await self.pause()
        self.stopped += bool(reasons)
        self.ledger.release(permit)

    async def revoke(self, who: Principal) -> None:
        held = self.table.held(who)
        if held:
            # The first held is the one that calls rest on.
            cap = self.dice.choice((held[0], self.dice.choice(held)))
            self.revoked.add(cap.id)
            await self.table.revoke(cap.id, by=who)

    async def run(self, who: Principal) -> None:
        for _ in range(30):
            step = self.dice.choices((self.derive, self.use, self.revoke), (4, 4, 1))[0]
            try:
                await step(who)
            except OxiosError as error:
                self.wrong.append(repr(error))
            await self.pause()


async def _race(seed: int) -> Race:
    dice = random.Random(seed)
    journal = Jittery(dice)
    clock = FakeClock()
    race = Race(CapabilityTable(journal, clock), PermitLedger(), dice)
    race.table.on_revoked(race.ledger.withdraw)
    race.parents[(await race.table.mint(OWNER, FILES, Rights.ALL, origin="root")).id] = None
    async with anyio.create_task_group() as tasks:
        for who in PEOPLE:
            tasks.start_soon(race.run, who)
    again = CapabilityTable(journal, clock)
    await again.load()
    for who in PEOPLE:
        if {cap.id for cap in again.held(who)} != {cap.id for cap in race.table.held(who)}:
            race.wrong.append(f"a restart disagrees about {who}")
    return race


@given(st.integers(0, 2**32))
@settings(max_examples=60)
def test_what_is_revoked_stops_at_once_in_every_interleaving(seed: int) -> None:
    """No call goes on over a revoked capability, none is stopped for nothing, and a restart agrees."""
    race = anyio.run(_race, seed)
    assert race.wrong == []


def test_the_race_is_one() -> None:
    """Calls were in flight when their capabilities went, and calls went through: the race shows something."""
    races = [anyio.run(_race, seed) for seed in range(30)]
    assert sum(race.stopped for race in races) > 5
    assert sum(race.used for race in races) > 500
