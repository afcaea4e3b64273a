"""Named grants, hints and persona roles: what they give, and that they only take away."""

from __future__ import annotations

from itertools import pairwise

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.capability.grants import (
    GRANTS,
    PERSONA_GRANTS,
    derive_grant,
    grant_for,
    instantiate,
    narrow,
    operator_root,
)
from kernel.capability.resource import KINDS, Resource
from kernel.capability.rights import Rights
from kernel.capability.table import CapabilityTable
from kernel.capability.token import Capability
from kernel.directive import Mount
from kernel.errors import AccessDenied, Invalid
from kernel.ids import Principal
from kernel.testing.clock import FakeClock
from tests.unit.capability_world import MemoryJournal

MOUNTS = (Mount("/w", "rw"), Mount("/lib", "ro"))
ALICE, BOB = Principal("user:alice"), Principal("agent:r1")
Items = list[tuple[Resource, Rights]]


def texts(items: Items) -> dict[str, str]:
    return {str(resource): rights.letters() for resource, rights in items}


def give(
    hint: str = "",
    role: str = "",
    ceiling: str = "worker",
    mounts: tuple[Mount, ...] = MOUNTS,
    network: tuple[str, ...] = (),
) -> dict[str, str]:
    """What an agent of the operator's gets."""

    async def go() -> tuple[Capability, ...]:
        table = CapabilityTable(MemoryJournal(), FakeClock())
        await table.mint_all(ALICE, operator_root(), origin="operator")
        return await derive_grant(
            table,
            owner=ALICE,
            to=BOB,
            mounts=mounts,
            hint=hint,
            persona_role=role,
            ceiling=ceiling,
            network=network,
        )

    return {str(cap.resource): cap.rights.letters() for cap in anyio.run(go)}


def test_the_network_that_the_operator_set_is_in_every_grant_and_a_hint_only_narrows_it() -> None:
    """`run.network` stands beside the grant's own ports, for a persona too; a hint takes of it what it names."""
    beside = give(network=("nas.lan:8080",))
    assert (beside["net:nas.lan:8080"], beside["net:*:443"]) == ("rx", "rx")
    assert give(role="developer", network=("*:*",))["net:*:*"] == "rx"
    assert "net:*:*" not in give()
    assert give(hint="net:nas.lan:* x", network=("*:*",)) == {"net:nas.lan:*": "x"}
    assert give(hint="net:nas.lan:8080 x\nexec:git x", network=("other.lan:8080",)) == {"exec:git": "x"}


def test_the_worker_gets_mounts_by_their_mode() -> None:
    """A read-only mount is readable, a writable one writable, and nothing else of the disk is there."""
    assert give() == {
        "file:/w/**": "rw",
        "file:/lib/**": "r",
        "exec:**": "rx",
        "net:*:443": "rx",
        "net:*:80": "rx",
        "search:*": "rx",
        "model:**": "rx",
        "ask:user": "rx",
        "persona:*": "r",
    }


def test_grants_grow_in_order() -> None:
    """Each named grant contains the one before it, resource by resource and right by right."""
    grants = [instantiate(grant, MOUNTS) for grant in GRANTS.values()]
    assert list(GRANTS) == ["worker", "standard", "operator", "supervisor"]
    for less, more in pairwise(grants):
        for resource, rights in less:
            assert any(resource.within(wider) and most.covers(rights) for wider, most in more), str(resource)
        assert texts(more) != texts(less)


def test_every_grant_is_within_the_operators_root_and_every_kind_is_in_it() -> None:
    """Nothing is granted that the operator does not hold; no kind of resource was forgotten."""
    root = operator_root()
    assert {resource.kind for resource, _ in root} == KINDS
    for grant in GRANTS.values():
        for resource, rights in instantiate(grant, MOUNTS):
            assert any(resource.within(wider) and most.covers(rights) for wider, most in root)


@pytest.mark.parametrize("ceiling", GRANTS)
@pytest.mark.parametrize(
    "hint", [*GRANTS, '{"file:/**": "rwxd", "kernel:**": "rwx"}', "exec:git rx\nnet:*:* rwx\nmemory:notes/* rw"]
)
def test_a_hint_only_narrows(hint: str, ceiling: str) -> None:
    """Whatever is hinted, nothing goes beyond the ceiling."""
    bounds = instantiate(GRANTS[ceiling], MOUNTS)
    for text, letters in give(hint, ceiling=ceiling).items():
        resource, rights = Resource.parse(text), Rights.parse(letters)
        assert any(resource.within(bound) and most.covers(rights) for bound, most in bounds), text


def test_a_hint_gives_the_shared_part() -> None:
    """Wider than the ceiling becomes the ceiling, narrower stays, foreign vanishes."""
    hint = '{"file:/**": "r", "exec:git": "rwx", "net:example.org:*": "rx", "memory:**": "rw"}'
    assert give(hint) == {
        "file:/w/**": "r",
        "file:/lib/**": "r",
        "exec:git": "rx",
        "net:example.org:443": "rx",
        "net:example.org:80": "rx",
    }


@pytest.mark.parametrize("hint", [" Worker ", "worker"])
def test_a_hint_is_read_however_it_is_written(hint: str) -> None:
    """Names in any case; JSON as object or list; one resource a line."""
    assert give(hint, ceiling="standard") == give("", ceiling="worker")
    forms = (
        '{"file:/w/src/**": "r"}',
        '[{"resource": "file:/w/src/**", "rights": "r"}]',
        "file:/w/src/** r",
        "\n  file:/w/src/**   r\n\n",
    )
    assert [give(form) for form in forms] == [{"file:/w/src/**": "r"}] * len(forms)


@pytest.mark.parametrize(
    "hint",
    [
        "root",
        "{",
        "[1]",
        "[]x",
        '{"file:/w/**": 7}',
        '{"file:/w/**": "q"}',
        '{"file:/w/**": "-"}',
        '{"disk:/": "r"}',
        "file:/w/**",
        "file:/w/../** r",
    ],
)
def test_a_hint_that_cannot_be_read_is_refused(hint: str) -> None:
    """It is never taken for no hint at all; the remedy says what to write."""
    with pytest.raises(Invalid) as caught:
        give(hint)
    assert caught.value.remedy


def test_unknown_names_list_what_exists() -> None:
    """A misspelt grant names the four there are, as hint and as ceiling."""
    for act in (lambda: give("superuser"), lambda: give(ceiling="superuser")):
        with pytest.raises(Invalid) as caught:
            act()
        assert "worker, standard, operator, supervisor" in caught.value.remedy


def test_a_hinted_line_without_a_right_is_named_whole() -> None:
    """The refusal shows what was written, not what is left of it once a right was looked for."""
    with pytest.raises(Invalid, match=r"no right to 'exec:git'"):
        grant_for("file:/w/** r\nexec:git", "", "worker")


def test_a_persona_role_asks_for_its_grant_and_confers_nothing() -> None:
    """The map is explicit; under a worker's ceiling every role is a worker or less; an unknown role means nothing."""
    worker = give(ceiling="worker")
    for role in (*PERSONA_GRANTS, "supervisor", "root", "Developer "):
        assert give(role=role, ceiling="worker") == worker, role
    assert give(role="qa", ceiling="supervisor") == worker
    assert give(role="supervisor", ceiling="standard") == give(ceiling="standard")
    assert grant_for("", "sre", "worker").name == "operator"


def test_a_hint_goes_before_the_persona() -> None:
    """An author's hint decides where both are given."""
    assert give(hint="worker", role="sre", ceiling="supervisor") == give(ceiling="worker")


def test_an_empty_cspace_is_refused_not_started() -> None:
    """A hint that leaves nothing of the ceiling says so."""
    with pytest.raises(AccessDenied) as caught:
        give('{"mcp:**": "x"}', ceiling="worker")
    assert "worker" in caught.value.message


def test_an_agent_gets_no_more_than_its_owner_may_pass_on() -> None:
    """Of what the owner holds in part, the agent gets that part; of what it may not delegate, nothing."""

    async def go() -> tuple[Capability, ...]:
        table = CapabilityTable(MemoryJournal(), FakeClock())
        passed, own = Rights.ALL, Rights.READ | Rights.WRITE | Rights.EXECUTE
        await table.mint(ALICE, Resource.parse("file:/w/src/**"), passed, origin="test")
        await table.mint(ALICE, Resource.parse("model:local/*"), Rights.EXECUTE | Rights.DELEGATE, origin="test")
        await table.mint(ALICE, Resource.parse("exec:**"), own, origin="test")
        return await derive_grant(table, owner=ALICE, to=BOB, mounts=MOUNTS, ceiling="supervisor")

    given = {str(cap.resource): cap.rights.letters() for cap in anyio.run(go)}
    assert given == {"file:/w/src/**": "rwd", "model:local/*": "xd"}


def test_a_run_costs_one_entry() -> None:
    """All of an agent's capabilities are derived in one entry of the journal."""

    async def go() -> list[str]:
        journal = MemoryJournal()
        table = CapabilityTable(journal, FakeClock())
        await table.mint_all(ALICE, operator_root(), origin="operator")
        await derive_grant(table, owner=ALICE, to=BOB, mounts=MOUNTS, ceiling="supervisor")
        return journal.kinds()

    assert anyio.run(go) == ["capability.minted", "capability.derived"]


def test_a_mount_whose_name_reads_as_a_wildcard_is_refused() -> None:
    """A folder called `*` must not become a grant of all its neighbours."""
    with pytest.raises(Invalid):
        give(mounts=(Mount("/w/*"),))


def _file(names: list[str], rest: list[str]) -> Resource:
    return Resource.parse("file:/" + "/".join([*names, *rest]))


items = st.lists(
    st.tuples(
        st.builds(_file, st.lists(st.sampled_from("ab*"), max_size=2), st.sampled_from((list[str](), ["**"]))),
        st.integers(1, 7).map(Rights),
    ),
    max_size=4,
)
TARGETS = [Resource.target("file", place) for place in ("/", "/a", "/b", "/c", "/a/a", "/a/b", "/b/c", "/a/b/c")]
SINGLE = (Rights.READ, Rights.WRITE, Rights.EXECUTE)


def allowed(grant: Items) -> set[tuple[Resource, Rights]]:
    return {
        (target, right)
        for target in TARGETS
        for right in SINGLE
        if any(target.within(resource) and rights & right for resource, rights in grant)
    }


@given(items, items)
def test_narrowing_is_exactly_what_both_allow(ceiling: Items, wanted: Items) -> None:
    """Nothing beyond either, and nothing lost of what both allow."""
    assert allowed(narrow(ceiling, wanted)) == allowed(ceiling) & allowed(wanted)
