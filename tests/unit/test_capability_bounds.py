"""What bounds a capability: time, uses, depth and slots."""

from __future__ import annotations

import anyio
import pytest

from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.errors import (
    AccessDenied,
    CapabilityRevoked,
    CspaceFull,
    JournalDown,
    LimitExceeded,
    NotFound,
)
from kernel.limits import CSPACE_SLOTS_MAX, DERIVE_DEPTH_MAX
from tests.unit.capability_world import ALICE, BOB, CARL, FILES, READ_A, World

pytestmark = pytest.mark.anyio


async def test_expiry_is_narrowed_and_enforced() -> None:
    """A child inherits the expiry, may have an earlier one, never a later one; at the instant it is over."""
    world = World()
    soon = world.clock.time_us + 10
    root = await world.table.mint(ALICE, FILES, Rights.ALL, expires_us=soon, origin="root")
    assert (await world.child(root, BOB)).expires_us == soon
    with pytest.raises(AccessDenied):
        await world.table.derive(root.id, CARL, FILES, Rights.READ, by=ALICE, expires_us=soon + 1, origin="test")
    await world.table.derive(root.id, CARL, FILES, Rights.READ, by=ALICE, expires_us=soon - 1, origin="test")
    world.clock.time_us = soon - 1
    assert world.may(BOB)
    assert not world.may(CARL)
    world.clock.time_us = soon
    assert not world.may(BOB)
    with pytest.raises(NotFound):
        world.table.get(root.id)
    with pytest.raises(LimitExceeded):
        await world.table.mint(ALICE, FILES, Rights.ALL, expires_us=soon, origin="root")


async def test_a_later_expiry_is_refused_in_words() -> None:
    """Both sides are told as time left, which a person can compare."""
    world = World()
    hour = 3_600_000_000
    root = await world.table.mint(ALICE, FILES, Rights.ALL, expires_us=world.clock.time_us + hour, origin="root")
    with pytest.raises(AccessDenied, match=r"an expiry in 7200 s is wider than .* which has 3600 s left"):
        await world.table.derive(
            root.id, CARL, FILES, Rights.READ, by=ALICE, expires_us=world.clock.time_us + 2 * hour, origin="test"
        )


async def test_uses_are_shared_with_everything_derived() -> None:
    """Deriving multiplies no uses: a use of a child is one of its parent's, across restarts."""
    world = World()
    root = await world.table.mint(ALICE, FILES, Rights.ALL, uses=3, origin="root")
    child = await world.child(root, BOB)
    other = await world.table.derive(root.id, CARL, FILES, Rights.READ, by=ALICE, uses=1, origin="test")
    assert child.uses == 3
    await world.table.consume([other.id], by=CARL)
    assert not world.may(CARL)
    assert world.table.uses_left(child.id) == 2
    with pytest.raises(CapabilityRevoked):
        await world.table.consume([other.id], by=CARL)
    world.table = await world.reopened()
    assert not world.may(CARL)
    await world.table.consume([child.id], by=BOB)
    await world.table.consume([root.id], by=ALICE)
    assert not world.may(BOB)
    assert not world.may(ALICE)
    assert world.journal.kinds().count("capability.used") == 3


async def test_more_uses_than_are_left_are_refused() -> None:
    """A child may have as many uses as are left, not one more; none at all is no capability."""
    world = World()
    root = await world.table.mint(ALICE, FILES, Rights.ALL, uses=2, origin="root")
    await world.table.derive(root.id, BOB, FILES, Rights.READ, by=ALICE, uses=2, origin="test")
    with pytest.raises(AccessDenied):
        await world.table.derive(root.id, BOB, FILES, Rights.READ, by=ALICE, uses=3, origin="test")
    with pytest.raises(LimitExceeded):
        await world.table.mint(ALICE, FILES, Rights.ALL, uses=0, origin="root")


async def test_the_last_use_is_given_once() -> None:
    """Two calls that found the same last use: one gets it, also while the first waits for the disk."""
    world = World()
    root = await world.table.mint(ALICE, FILES, Rights.ALL, uses=1, origin="root")
    with world.journal.hold() as let_go:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: world.table.consume([root.id], by=ALICE))
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(CapabilityRevoked):
                await world.table.consume([root.id], by=ALICE)
            let_go()
    assert not world.may(ALICE)


async def test_a_use_that_cannot_be_recorded_is_given_back() -> None:
    """The count is as before where the journal was down."""
    world = World()
    root = await world.table.mint(ALICE, FILES, Rights.ALL, uses=1, origin="root")
    world.journal.broken = True
    with pytest.raises(JournalDown):
        await world.table.consume([root.id], by=ALICE)
    assert world.table.uses_left(root.id) == 1


async def test_an_uncounted_capability_is_preferred_and_costs_nothing() -> None:
    """Uses are not spent where another capability covers the call; without a count there is no entry."""
    world = World()
    await world.table.mint(ALICE, FILES, Rights.ALL, uses=1, origin="counted")
    free = await world.table.mint(ALICE, FILES, Rights.ALL, origin="free")
    assert world.table.cover(ALICE, [READ_A]) == (free.id,)
    before = len(world.journal.entries)
    await world.table.consume([free.id], by=ALICE)
    assert len(world.journal.entries) == before


async def test_depth_is_bounded() -> None:
    """A chain has DERIVE_DEPTH_MAX capabilities and not one more."""
    world = World()
    cap = await world.root()
    for _ in range(DERIVE_DEPTH_MAX - 1):
        cap = await world.child(cap, ALICE, Rights.ALL)
    with pytest.raises(LimitExceeded):
        await world.child(cap, ALICE)
    assert len((await world.reopened()).held(ALICE)) == DERIVE_DEPTH_MAX


async def test_slots_are_bounded_and_expired_ones_are_reused() -> None:
    """CSPACE_SLOTS_MAX fit, one more does not; all or none of a group; what expired makes room."""
    world = World()
    soon = world.clock.time_us + 10
    await world.table.mint(ALICE, FILES, Rights.READ, expires_us=soon, origin="test")
    items = [(Resource.parse(f"file:/w/{number}"), Rights.READ) for number in range(CSPACE_SLOTS_MAX - 1)]
    await world.table.mint_all(ALICE, items[:-1], origin="test")
    with pytest.raises(CspaceFull):
        await world.table.mint_all(ALICE, items[:2], origin="test")
    await world.table.mint_all(ALICE, items[-1:], origin="test")
    with pytest.raises(CspaceFull):
        await world.table.mint(ALICE, FILES, Rights.READ, origin="test")
    world.clock.time_us = soon
    await world.table.mint(ALICE, FILES, Rights.READ, origin="test")
    assert len((await world.reopened()).held(ALICE)) == CSPACE_SLOTS_MAX


async def test_a_deleted_parent_still_bounds_the_uses_below_it() -> None:
    """Deleting a counted capability frees its children from nothing."""
    world = World()
    root = await world.table.mint(ALICE, FILES, Rights.ALL, uses=1, origin="root")
    child = await world.child(root, BOB)
    await world.table.delete(root.id, by=ALICE)
    world.table = await world.reopened()
    await world.table.consume([child.id], by=BOB)
    assert not world.may(BOB)
    assert not isinstance((await world.reopened()).cover(BOB, [READ_A]), tuple)
