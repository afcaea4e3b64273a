"""The capability table and the journal: what comes first, what survives, who may."""

from __future__ import annotations

import anyio
import pytest

from kernel.capability.derivation import Derivation
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.token import Need
from kernel.errors import (
    AccessDenied,
    CapabilityRevoked,
    Invalid,
    JournalDown,
    NotFound,
)
from kernel.ids import KERNEL, CapId, Principal
from tests.unit.capability_world import ALICE, BOB, CARL, FILES, READ_A, World

pytestmark = pytest.mark.anyio


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
