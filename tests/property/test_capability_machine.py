"""The capability table against a model of plain sets.

The model knows nothing of patterns or indexes: each capability is the set of (target, right) that
it covered when it was made, and a principal may do what the union over its live capabilities says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.table import CapabilityTable
from kernel.capability.token import Need
from kernel.errors import AccessDenied, LimitExceeded, NotFound
from kernel.ids import KERNEL, CapId, Principal
from kernel.testing.clock import FakeClock
from tests.unit.capability_world import MemoryJournal

PEOPLE = [Principal("user:a"), Principal("agent:b"), Principal("agent:c")]
TARGETS = [
    Resource.target("file", "/" + "/".join(names)) for length in (1, 2, 3) for names in product("xy", repeat=length)
]
SINGLE = (Rights.READ, Rights.WRITE, Rights.EXECUTE)
TREES = [Resource.below(target) for target in TARGETS if len(target.segments) < len("xy") + 1]
NEEDS = [Need(place, right) for place in (*TARGETS, *TREES, Resource.parse("file:/*/x")) for right in SINGLE]

T = TypeVar("T")


def _pattern(names: list[str], rest: list[str]) -> Resource:
    return Resource.parse("file:/" + "/".join([*names, *rest]))


patterns = st.builds(_pattern, st.lists(st.sampled_from("xy*"), max_size=3), st.sampled_from((list[str](), ["**"])))
rights = st.integers(0, 15).map(Rights)
people = st.sampled_from(PEOPLE)
lifetimes = st.one_of(st.none(), st.integers(1, 5))
wishes = st.tuples(patterns, rights, lifetimes)


@dataclass
class Known:
    """What the model remembers of one capability."""

    holder: Principal
    covers: frozenset[Need]
    parent: CapId | None
    expires_us: int | None
    held: bool = True
    gone: bool = False


class Machine(RuleBasedStateMachine):
    """Random histories of every operation, a restart included."""

    caps: Bundle[CapId] = Bundle("caps")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock(1000)
        self.journal = MemoryJournal()
        self.table = CapabilityTable(self.journal, self.clock)
        self.model: dict[CapId, Known] = {}
        self.told: set[CapId] = set()
        self.table.on_revoked(lambda gone, _reason: self.told.update(gone))

    def teardown(self) -> None:
        self.runner.close()

    def run(self, step: Awaitable[T]) -> T:
        async def go() -> T:
            return await step

        return self.runner.run(go())

    @initialize(target=caps)
    def boot(self) -> CapId:
        """Somebody holds something wide, or every derivation would be refused."""
        return self._mint(PEOPLE[0], Resource.parse("file:/**"), Rights.ALL, None)

    @rule(target=caps, holder=people, resource=patterns, mask=rights, lifetime=lifetimes)
    def mint(self, holder: Principal, resource: Resource, mask: Rights, lifetime: int | None) -> CapId:
        return self._mint(holder, resource, mask, lifetime)

    def _mint(self, holder: Principal, resource: Resource, mask: Rights, lifetime: int | None) -> CapId:
        expires = None if lifetime is None else self.clock.time_us + lifetime
        cap = self.run(self.table.mint(holder, resource, mask, expires_us=expires, origin="test"))
        self.model[cap.id] = Known(holder, _covers(resource, mask), None, expires)
        return cap.id

    @rule(target=caps, parent=caps, to=people, by=people, wish=wishes)
    def derive(
        self, parent: CapId, to: Principal, by: Principal, wish: tuple[Resource, Rights, int | None]
    ) -> CapId | MultipleResults[CapId]:
        """Refused, or a child that covers no more than its parent covered."""
        resource, mask, lifetime = wish
        expires = None if lifetime is None else self.clock.time_us + lifetime
        try:
            cap = self.run(self.table.derive(parent, to, resource, mask, by=by, expires_us=expires, origin="test"))
        except (AccessDenied, NotFound, LimitExceeded):
            return multiple()
        above = self.model[parent]
        assert above.held
        assert not above.gone
        assert above.holder == by
        assert _covers(resource, mask) <= above.covers
        assert above.expires_us is None or (cap.expires_us is not None and cap.expires_us <= above.expires_us)
        self.model[cap.id] = Known(to, _covers(resource, mask), parent, cap.expires_us)
        return cap.id

    @rule(target=caps, parent=caps, to=people)
    def copy(self, parent: CapId, to: Principal) -> CapId | MultipleResults[CapId]:
        """Refused only where the original is not there, may not be passed on or is too deep."""
        above = self.model[parent]
        try:
            cap = self.run(self.table.copy(parent, to, by=above.holder, origin="test"))
        except (AccessDenied, NotFound, LimitExceeded):
            return multiple()
        self.model[cap.id] = Known(to, above.covers, parent, above.expires_us)
        return cap.id

    @rule(cap=caps, by=st.one_of(people, st.just(KERNEL)), keep=st.booleans())
    def revoke(self, cap: CapId, by: Principal, keep: bool) -> None:
        """Takes it and everything below it, for its holder, a holder above, or the kernel."""
        allowed = by == KERNEL or any(self.model[each].holder == by and self._in_slot(each) for each in self._up(cap))
        try:
            self.run(self.table.revoke(cap, by=by, keep=keep))
        except NotFound:
            assert not self._in_tree(cap)
            return
        except AccessDenied:
            assert not allowed
            return
        assert allowed
        for each in self._down(cap):
            if each != cap or not keep:
                if self._in_slot(each):
                    assert each in self.told
                self.model[each].gone = True

    @rule(cap=caps)
    def delete(self, cap: CapId) -> None:
        """Empties one slot only."""
        try:
            self.run(self.table.delete(cap, by=self.model[cap].holder))
        except NotFound:
            return
        assert self._in_slot(cap)
        assert cap in self.told
        self.model[cap].held = False

    @rule(holder=people)
    def drop(self, holder: Principal) -> None:
        """Takes all that a principal holds, and everything below."""
        mine = [cap for cap, known in self.model.items() if known.holder == holder and self._in_slot(cap)]
        self.table.drop(holder)
        for cap in mine:
            for each in self._down(cap):
                self.model[each].gone = True

    @rule(step=st.integers(1, 3))
    def wait(self, step: int) -> None:
        self.clock.time_us += step

    @rule()
    def restart(self) -> None:
        """What the journal says is what was held."""
        self.table = CapabilityTable(self.journal, self.clock)
        self.table.on_revoked(lambda gone, _reason: self.told.update(gone))
        self.run(self.table.load())

    @rule(cap=consumes(caps))
    def forget(self, cap: CapId) -> None:
        """Keeps the bundle fresh, so that new capabilities are acted on too."""

    @invariant()
    def covers_what_the_sets_say(self) -> None:
        for holder in PEOPLE:
            may: set[Need] = set()
            for cap, known in self.model.items():
                if known.holder == holder and self._usable(cap):
                    may |= known.covers
            for need in NEEDS:
                assert isinstance(self.table.cover(holder, [need]), tuple) == (need in may), (holder, str(need))

    @invariant()
    def lists_what_is_held(self) -> None:
        for holder in PEOPLE:
            held = {cap.id for cap in self.table.held(holder)}
            assert held == {cap for cap, known in self.model.items() if known.holder == holder and self._usable(cap)}

    def _up(self, cap: CapId) -> list[CapId]:
        line = [cap]
        while (above := self.model[line[-1]].parent) is not None:
            line.append(above)
        return line

    def _down(self, cap: CapId) -> list[CapId]:
        return [each for each in self.model if cap in self._up(each)]

    def _in_slot(self, cap: CapId) -> bool:
        return self.model[cap].held and not self.model[cap].gone

    def _in_tree(self, cap: CapId) -> bool:
        """May still be named: in a slot, or above something that is. What has expired may be either."""
        return any(self._usable(each) for each in self._down(cap)) and not self.model[cap].gone

    def _usable(self, cap: CapId) -> bool:
        expires = self.model[cap].expires_us
        return self._in_slot(cap) and (expires is None or self.clock.time_us < expires)


def _covers(resource: Resource, mask: Rights) -> frozenset[Need]:
    return frozenset(need for need in NEEDS if need.resource.within(resource) and mask & need.right)


Machine.TestCase.settings = settings(max_examples=100, stateful_step_count=30)
TestMachine = Machine.TestCase
