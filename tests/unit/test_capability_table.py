"""The capability table and the journal: what comes first, what survives, what is bounded."""

from __future__ import annotations

import anyio
import pytest

from kernel.capability.derivation import Derivation
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.table import CapabilityTable
from kernel.capability.token import Capability, Need
from kernel.errors import (
    AccessDenied,
    CapabilityRevoked,
    CspaceFull,
    Invalid,
    JournalDown,
    LimitExceeded,
    NotFound,
)
from kernel.ids import KERNEL, CapId, Principal
from kernel.limits import CSPACE_SLOTS_MAX, DERIVE_DEPTH_MAX
from tests.unit.capability_world import HandClock, MemoryJournal

pytestmark = pytest.mark.anyio

ALICE = Principal("user:alice")
BOB = Principal("agent:bob")
CARL = Principal("agent:carl")
FILES = Resource.parse("file:/w/**")
READ_A = Need(Resource.target("file", "/w/a"), Rights.READ)


class World:
    """A journal, a clock, a table, and what the table told."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.clock = HandClock()
        self.table = CapabilityTable(self.journal, self.clock)
        self.told: list[tuple[tuple[CapId, ...], str]] = []
        self.table.on_revoked(lambda gone, reason: self.told.append((gone, reason)))

    async def root(self, rights: Rights = Rights.ALL) -> Capability:
        return await self.table.mint(ALICE, FILES, rights, origin="root")

    async def child(self, parent: Capability, to: Principal, rights: Rights = Rights.READ) -> Capability:
        return await self.table.derive(parent.id, to, FILES, rights, by=parent.holder, origin="test")

    async def reopened(self) -> CapabilityTable:
        table = CapabilityTable(self.journal, self.clock)
        await table.load()
        return table

    def may(self, holder: Principal, need: Need = READ_A) -> bool:
        return isinstance(self.table.cover(holder, [need]), tuple)


async def test_nothing_is_covered_before_its_entry_is_durable() -> None:
    """A grant covers nothing while its entry waits for the disk, and covers from then on."""
    world = World()
    root = await world.root()
    with world.journal.hold() as let_go:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.child, root, BOB)
            await anyio.wait_all_tasks_blocked()
            assert "capability.derived" in world.journal.kinds()
            assert not world.may(BOB)
            let_go()
    assert world.may(BOB)


async def test_revocation_holds_before_its_entry_is_durable() -> None:
    """From the call on nothing is covered, however long the disk takes."""
    world = World()
    root = await world.root()
    await world.child(root, BOB)
    with world.journal.hold():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: world.table.revoke(root.id, by=ALICE))
            await anyio.wait_all_tasks_blocked()
            assert not world.may(BOB)
            assert not world.may(ALICE)
            tasks.cancel_scope.cancel()


async def test_revoking_a_parent_while_its_child_is_written_revokes_the_child() -> None:
    """The child never covers anything, its asker is told, and a restart agrees."""
    world = World()
    root = await world.root()
    caught: list[CapabilityRevoked] = []

    async def derive() -> None:
        try:
            await world.child(root, BOB)
        except CapabilityRevoked as error:
            caught.append(error)

    with world.journal.hold() as let_go:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(derive)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(lambda: world.table.revoke(root.id, by=ALICE))
            await anyio.wait_all_tasks_blocked()
            let_go()
    assert caught
    assert not world.may(BOB)
    assert (await world.reopened()).held(BOB) == ()


async def test_a_cancelled_grant_is_taken_back() -> None:
    """A grant whose asker was cancelled is not held now nor after a restart, though its entry may stand."""
    world = World()
    root = await world.root()
    with world.journal.hold():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.child, root, BOB)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert not world.may(BOB)
    assert (await world.reopened()).held(BOB) == ()
    assert world.table.descendants(root.id) == ()


async def test_a_grant_that_cannot_be_recorded_is_not_made() -> None:
    """With the journal down nothing is granted, and no slot is kept for it."""
    world = World()
    root = await world.root()
    world.journal.broken = True
    with pytest.raises(JournalDown):
        await world.child(root, BOB)
    assert not world.may(BOB)
    assert world.table.holders() == (ALICE,)


async def test_a_revocation_that_cannot_be_recorded_holds_and_is_recorded_later() -> None:
    """It takes effect at once, its caller is told, and the record precedes the next grant."""
    world = World()
    root = await world.root()
    other = await world.table.mint(ALICE, Resource.parse("ask:user"), Rights.ALL, origin="root")
    await world.child(root, BOB)
    world.journal.broken = True
    with pytest.raises(JournalDown):
        await world.table.revoke(root.id, by=ALICE)
    assert not world.may(BOB)
    world.journal.broken = False
    await world.table.copy(other.id, CARL, by=ALICE, origin="test")
    assert world.journal.kinds()[-2:] == ["capability.revoked", "capability.derived"]
    assert (await world.reopened()).held(BOB) == ()


async def test_dropping_a_holder_with_the_journal_down_still_takes_all() -> None:
    """A run's end never fails, and what it had does not work any more."""
    world = World()
    await world.child(await world.root(), BOB)
    world.journal.broken = True
    assert len(world.table.drop(BOB)) == 1
    assert not world.may(BOB)
    assert world.table.drop(BOB) == ()


async def test_a_run_start_costs_one_entry() -> None:
    """Several derivations are one entry, and all or none: one that is refused refuses all."""
    world = World()
    root = await world.root()
    places = [Derivation(root.id, BOB, Resource.parse(f"file:/w/{name}"), Rights.READ) for name in "abcdefgh"]
    before = len(world.journal.entries)
    await world.table.derive_all(places, by=ALICE, origin="run")
    assert len(world.journal.entries) == before + 1
    wider = Derivation(root.id, CARL, Resource.parse("file:/**"), Rights.READ)
    with pytest.raises(AccessDenied):
        await world.table.derive_all([Derivation(root.id, CARL, FILES, Rights.READ), wider], by=ALICE, origin="run")
    assert world.table.held(CARL) == ()
    assert await world.table.derive_all([], by=ALICE, origin="run") == ()


@pytest.mark.parametrize(
    ("resource", "rights"),
    [("file:/**", Rights.READ), ("file:/w2/**", Rights.READ), ("ask:user", Rights.READ), ("file:/w/**", Rights.WRITE)],
)
async def test_a_wider_child_is_refused_with_both_sides_named(resource: str, rights: Rights) -> None:
    """The refusal says what was wanted and what the parent has; nothing is recorded."""
    world = World()
    root = await world.root(Rights.READ | Rights.DELEGATE)
    with pytest.raises(AccessDenied) as caught:
        await world.table.derive(root.id, BOB, Resource.parse(resource), rights, by=ALICE, origin="test")
    assert resource in caught.value.message
    assert "file:/w/** [rd]" in caught.value.message
    assert world.journal.kinds() == ["capability.minted"]


async def test_expiry_is_narrowed_and_enforced() -> None:
    """A child inherits the expiry, may have an earlier one, never a later one; at the instant it is over."""
    world = World()
    soon = world.clock.now + 10
    root = await world.table.mint(ALICE, FILES, Rights.ALL, expires_us=soon, origin="root")
    assert (await world.child(root, BOB)).expires_us == soon
    with pytest.raises(AccessDenied):
        await world.table.derive(root.id, CARL, FILES, Rights.READ, by=ALICE, expires_us=soon + 1, origin="test")
    await world.table.derive(root.id, CARL, FILES, Rights.READ, by=ALICE, expires_us=soon - 1, origin="test")
    world.clock.now = soon - 1
    assert world.may(BOB)
    assert not world.may(CARL)
    world.clock.now = soon
    assert not world.may(BOB)
    with pytest.raises(NotFound):
        world.table.get(root.id)
    with pytest.raises(LimitExceeded):
        await world.table.mint(ALICE, FILES, Rights.ALL, expires_us=soon, origin="root")


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


async def test_only_holders_derive_and_only_delegable_capabilities_pass_on() -> None:
    """Knowing an id is no authority; without `d` one may narrow for oneself and pass nothing on."""
    world = World()
    root = await world.root()
    child = await world.child(root, BOB, Rights.READ | Rights.WRITE)
    with pytest.raises(AccessDenied):
        await world.table.derive(root.id, BOB, FILES, Rights.READ, by=BOB, origin="test")
    with pytest.raises(AccessDenied):
        await world.child(child, CARL)
    assert (await world.child(child, BOB)).holder == BOB
    with pytest.raises(NotFound):
        await world.table.derive(CapId("c-none"), BOB, FILES, Rights.READ, by=BOB, origin="test")


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
    soon = world.clock.now + 10
    await world.table.mint(ALICE, FILES, Rights.READ, expires_us=soon, origin="test")
    items = [(Resource.parse(f"file:/w/{number}"), Rights.READ) for number in range(CSPACE_SLOTS_MAX - 1)]
    await world.table.mint_all(ALICE, items[:-1], origin="test")
    with pytest.raises(CspaceFull):
        await world.table.mint_all(ALICE, items[:2], origin="test")
    await world.table.mint_all(ALICE, items[-1:], origin="test")
    with pytest.raises(CspaceFull):
        await world.table.mint(ALICE, FILES, Rights.READ, origin="test")
    world.clock.now = soon
    await world.table.mint(ALICE, FILES, Rights.READ, origin="test")
    assert len((await world.reopened()).held(ALICE)) == CSPACE_SLOTS_MAX


async def test_deleting_leaves_children_under_what_is_above() -> None:
    """As in seL4: the slot is empty, the children live, and the grandparent's revocation reaches them."""
    world = World()
    root = await world.root()
    middle = await world.child(root, BOB, Rights.ALL)
    leaf = await world.child(middle, CARL)
    await world.table.delete(middle.id, by=BOB)
    assert world.told == [((middle.id,), "deleted")]
    assert not world.may(BOB)
    for table in (world.table, await world.reopened()):
        assert table.held(CARL) == (leaf,)
        assert table.descendants(root.id) == (leaf,)
        with pytest.raises(NotFound):
            table.get(middle.id)
    world.table = await world.reopened()
    assert await world.table.revoke(root.id, by=ALICE) == (root.id, leaf.id)
    assert not world.may(CARL)
    with pytest.raises(NotFound):
        await world.table.revoke(middle.id, by=KERNEL)


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


async def test_keep_spares_the_capability_itself() -> None:
    """`keep` is seL4's Revoke: the descendants go, the capability stays."""
    world = World()
    root = await world.root()
    child = await world.child(root, BOB)
    assert await world.table.revoke(root.id, by=ALICE, keep=True) == (child.id,)
    assert world.may(ALICE)
    assert not world.may(BOB)


async def test_only_holders_above_take_back() -> None:
    """Neither a stranger, a holder below, nor one whose own slot is empty may revoke or delete."""
    world = World()
    root = await world.root()
    middle = await world.child(root, BOB, Rights.ALL)
    leaf = await world.child(middle, CARL)
    for who, cap in ((CARL, middle), (BOB, root), (Principal("user:eve"), leaf)):
        with pytest.raises(AccessDenied):
            await world.table.revoke(cap.id, by=who)
        with pytest.raises(AccessDenied):
            await world.table.delete(cap.id, by=who)
    await world.table.delete(middle.id, by=BOB)
    with pytest.raises(AccessDenied):
        await world.table.revoke(leaf.id, by=BOB)
    await world.table.delete(leaf.id, by=ALICE)


async def test_a_name_that_reads_as_a_wildcard_is_not_granted() -> None:
    """A capability on a file called `*` would be one on its whole folder after a restart."""
    world = World()
    root = await world.root()
    for name in ("/w/*", "/w/**", "/w/a*b"):
        with pytest.raises(Invalid):
            await world.table.derive(root.id, BOB, Resource.target("file", name), Rights.READ, by=ALICE, origin="test")
    cap = await world.table.derive(root.id, BOB, Resource.target("file", "/w/a"), Rights.READ, by=ALICE, origin="test")
    assert (await world.reopened()).held(BOB) == (cap,)


async def test_a_pattern_as_need_takes_a_pattern_as_wide() -> None:
    """A command with the whole network needs `net:*:*`; ports 443 of all hosts do not add up to it."""
    world = World()
    need = Need(Resource.parse("net:*:*"), Rights.EXECUTE)
    await world.table.mint(ALICE, Resource.parse("net:*:443"), Rights.ALL, origin="test")
    assert world.table.cover(ALICE, [need]) == need
    await world.table.mint(ALICE, Resource.parse("net:*:*"), Rights.ALL, origin="test")
    assert isinstance(world.table.cover(ALICE, [need]), tuple)


async def test_one_capability_covers_a_need_whole() -> None:
    """READ from one and WRITE from another are not READ and WRITE of one file."""
    world = World()
    await world.table.mint(ALICE, FILES, Rights.READ, origin="test")
    await world.table.mint(ALICE, FILES, Rights.WRITE, origin="test")
    both = Need(READ_A.resource, Rights.READ | Rights.WRITE)
    assert world.table.cover(ALICE, [both]) == both
    assert isinstance(world.table.cover(ALICE, [READ_A, Need(READ_A.resource, Rights.WRITE)]), tuple)


async def test_a_row_from_outside_is_refused() -> None:
    """A table that was tampered with stops the loading and names the row."""
    world = World()
    root = await world.root()
    rows = world.journal.tables["capabilities"]
    for change in ({"resource": "file:nowhere"}, {"rights": "rwq"}, {"expires_us": "never"}, {"parent": root.id}):
        kept = dict(rows[root.id])
        rows[root.id].update(change)
        with pytest.raises(Invalid, match=root.id):
            await world.reopened()
        rows[root.id] = kept
    assert len((await world.reopened()).held(ALICE)) == 1
