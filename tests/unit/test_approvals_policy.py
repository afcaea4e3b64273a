"""When a person is asked: policies, modes, keys, danger, and what was answered for longer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.errors import NotFound
from kernel.gate.asker import Answer, Choice
from kernel.gate.decision import Denied
from kernel.gate.policy import Rules, keys_of, policy_of, remembered_by
from kernel.gate.standing import key_of, standing_principal
from kernel.ids import RunId, agent, principal, user
from kernel.ports.sandbox import Tier
from kernel.settings.tree import ApprovalMode
from kernel.syscalls.declare import ApprovalPolicy, Effect
from kernel.syscalls.target import CommandTarget, PathTarget, UrlTarget
from kernel.testing.memory_store import MemoryStore
from tests.unit.approval_world import World, open_world, run_world
from tests.unit.gate_case import ALICE, RUN, case_of, request_of

PLAIN = CommandTarget(("make",), shell=False, programs=("make",), network=False)
ONLINE = replace(PLAIN, network=True)
LINE = CommandTarget(("git status | wc",), shell=True, programs=("git", "wc"), network=True)
EVIL = CommandTarget(("sudo ls",), shell=True, programs=("sudo", "ls"), network=False)
PAGE = UrlTarget("https://a.example/", "https", "a.example", 443, ())
FILE = PathTarget("/w", "f", "/w/f", exists=True, is_dir=False)


@pytest.mark.parametrize(
    ("declared", "mode", "allowed", "asks"),
    [
        ("auto", "manual", (), False),
        ("auto", "allow-list", (), False),
        ("auto", "auto", (), False),
        ("on_demand", "manual", (), True),
        ("on_demand", "manual", ("send",), True),
        ("on_demand", "allow-list", (), True),
        ("on_demand", "allow-list", ("send",), False),
        ("on_demand", "allow-list", ("other",), True),
        ("on_demand", "auto", (), False),
        ("always", "manual", ("send",), True),
        ("always", "allow-list", ("send",), True),
        ("always", "auto", ("send",), True),
    ],
)
def test_the_table_of_policies_and_modes(
    tmp_path: Path, declared: ApprovalPolicy, mode: ApprovalMode, allowed: tuple[str, ...], asks: bool
) -> None:
    """Auto always runs, always always asks, on demand runs where the mode or the list says so."""

    async def body(world: World) -> None:
        world.rules = Rules(mode, frozenset(allowed))
        assert (await world.check(case_of(request_of("send", approval=declared))) is not None) is asks

    run_world(tmp_path, body)


def test_by_default_files_and_sandboxed_commands_run_and_what_crosses_the_boundary_asks(tmp_path: Path) -> None:
    """Write, edit and a command without network in the sandbox run; network, no sandbox and pages ask."""

    async def body(world: World) -> None:
        for name in ("write", "edit"):
            assert await world.check(case_of(request_of(name, effect=Effect.WRITE), f=FILE)) is None
        assert await world.check(case_of(request_of(), command=PLAIN)) is None
        assert await world.check(case_of(request_of(), command=ONLINE)) is not None
        assert await world.check(case_of(request_of("web_fetch"), url=PAGE)) is not None
        assert await world.check(case_of(request_of("other"))) is not None
        world.tier = "none"
        assert await world.check(case_of(request_of(), command=PLAIN)) is not None

    run_world(tmp_path, body)


@pytest.mark.parametrize("mode", ["manual", "allow-list", "auto"])
def test_danger_is_always_asked_about_and_cannot_be_remembered(tmp_path: Path, mode: ApprovalMode) -> None:
    """Neither mode, nor list, nor policy, nor an earlier answer lets a dangerous command run unasked."""

    async def body(world: World) -> None:
        world.rules = Rules(mode, frozenset({"exec", "exec:sandboxed"}), {"exec": "auto"})
        world.person.script = [Answer("always"), Answer("run"), Answer("deny")]
        for number in (1, 2):
            assert isinstance(await world.admit(request_of(number=number), EVIL), str)
        refused = await world.admit(request_of(number=3), EVIL)
        assert isinstance(refused, Denied)
        assert "always asked: sudo runs things as another user" in refused.reason
        assert [question.keys for question in world.person.asked] == [(), (), ()]
        assert "sudo runs things as another user" in world.person.asked[0].why
        assert world.approvals.standing.listed(ALICE) == ()

    run_world(tmp_path, body)


@pytest.mark.parametrize("name", ["sandboxed", "shell", "network"])
@pytest.mark.parametrize("said", ["run", "always"])
def test_a_program_cannot_be_called_like_a_wider_key(tmp_path: Path, name: str, said: Choice) -> None:
    """Who allows a program called `sandboxed`, `shell` or `network` allows that program and nothing else."""

    async def body(world: World) -> None:
        world.rules = Rules("manual")
        world.person.script = [Answer(said), Answer("deny")]
        program = CommandTarget((name,), shell=False, programs=(name,), network=False)
        assert isinstance(await world.admit(request_of(number=1), program), str)
        assert await world.check(case_of(request_of(number=2), command=program)) is None
        for wider in (
            PLAIN,
            replace(PLAIN, argv=(name,), shell=True, programs=(name,)),
            replace(program, network=True),
        ):
            assert await world.check(case_of(request_of(number=3), command=wider)) is not None

    run_world(tmp_path, body)


def test_a_policy_of_always_is_named_where_it_refuses(tmp_path: Path) -> None:
    """The setting is told, to the person who is asked and in the refusal; not the whole goal."""

    async def body(world: World) -> None:
        world.rules = Rules("auto", policies={"exec": "always"})
        world.person.script = [Answer("deny")]
        refused = await world.admit(request_of(number=1), PLAIN)
        assert isinstance(refused, Denied)
        assert refused.reason.endswith("(always asked: approval.policies.exec is always)")
        assert world.person.asked[0].why.startswith("approval.policies.exec is always; agent:")

    run_world(tmp_path, body)


def test_the_settings_policy_replaces_the_declared_one(tmp_path: Path) -> None:
    """Both stronger and weaker: the operator decides; danger stays above."""
    assert policy_of("on_demand", "t", Rules(policies={"t": "always"}), "") == "always"
    assert policy_of("on_demand", "t", Rules(policies={"t": "auto"}), "") == "auto"
    assert policy_of("on_demand", "t", Rules(policies={"u": "auto"}), "") == "on_demand"
    assert policy_of("on_demand", "t", Rules(policies={"t": "auto"}), "sudo") == "always"


def test_a_runs_own_mode_holds_for_that_run_alone(tmp_path: Path) -> None:
    """`--approve auto` for one run changes nothing for another, and ends with the run."""

    async def body(world: World) -> None:
        world.approvals.open_run(RUN, goal="tidy the shelf", mode="auto")
        assert await world.check(case_of(request_of(), command=ONLINE)) is None
        other = RunId("r-other")
        assert await world.check(case_of(request_of(run=other, principal=agent(other)), command=ONLINE)) is not None
        world.approvals.close_run(RUN)
        world.approvals.open_run(RUN, goal="tidy the shelf")
        asked = await world.check(case_of(request_of(), command=ONLINE))
        assert asked is not None
        assert "tidy the shelf" in asked.question.why

    run_world(tmp_path, body)


def test_a_persons_own_act_is_its_own_approval(tmp_path: Path) -> None:
    """The owner is not asked about what they do themselves; an agent of theirs is."""

    async def body(world: World) -> None:
        assert await world.check(case_of(request_of("send", principal=ALICE))) is None
        assert await world.check(case_of(request_of("send"))) is not None
        assert await world.check(case_of(request_of("send", principal=user("bob")))) is not None

    run_world(tmp_path, body)


@pytest.mark.parametrize(
    ("target", "tier", "any_of", "all_of"),
    [
        (PLAIN, "bubblewrap", ("exec", "exec:sandboxed"), ("exec:make",)),
        (PLAIN, "none", ("exec",), ("exec:make",)),
        (ONLINE, "bubblewrap", ("exec",), ("exec:make", "exec:network")),
        (LINE, "bubblewrap", ("exec",), ("exec:git", "exec:wc", "exec:shell", "exec:network")),
        (PAGE, "bubblewrap", ("exec",), ("net:a.example",)),
        (FILE, "bubblewrap", ("exec",), ()),
    ],
)
def test_the_keys_of_a_call(
    target: CommandTarget | UrlTarget | PathTarget, tier: Tier, any_of: tuple[str, ...], all_of: tuple[str, ...]
) -> None:
    """One key for the tool, one for each program, the shell, the network, each host."""
    keys = keys_of("exec", (target,), tier)
    assert (keys.any_of, keys.all_of) == (any_of, all_of)


@pytest.mark.parametrize(
    ("allowed", "asks"),
    [
        (("exec",), False),
        (("exec:git", "exec:wc", "exec:shell", "exec:network"), False),
        (("exec:git", "exec:wc", "exec:shell"), True),
        (("exec:git", "exec:shell", "exec:network"), True),
        (("exec:git", "exec:wc", "exec:network"), True),
        (("exec:sandboxed",), True),
    ],
)
def test_every_key_of_a_command_must_be_allowed(tmp_path: Path, allowed: tuple[str, ...], asks: bool) -> None:
    """Allowing git does not allow the shell around it, the network, or what it is piped into."""

    async def body(world: World) -> None:
        world.allow(*allowed)
        assert (await world.check(case_of(request_of(), command=LINE)) is not None) is asks

    run_world(tmp_path, body)


def test_an_answer_remembers_the_narrow_keys_only() -> None:
    """Neither the whole tool nor the sandbox rule is granted by answering about one program."""
    assert remembered_by(("exec:git", "exec:shell", "exec", "exec:sandboxed")) == ("exec:git", "exec:shell")
    assert remembered_by(("write",)) == ("write",)
    assert remembered_by(()) == ()


def test_an_answer_for_the_run_holds_for_that_run_and_survives_a_restart(tmp_path: Path) -> None:
    """The same program runs unasked in this run, another does not, and another run is asked."""
    store = MemoryStore()
    other = RunId("r-other")

    async def main() -> None:
        async with open_world(tmp_path, store) as world:
            world.approvals.open_run(RUN)
            world.person.script = [Answer("run")]
            assert isinstance(await world.admit(request_of(), ONLINE), str)
            assert await world.admit(request_of(number=2, text="else"), ONLINE) is None
        async with open_world(tmp_path, store) as world:
            world.approvals.open_run(RUN)
            assert await world.check(case_of(request_of(), command=ONLINE)) is None
            curl = replace(ONLINE, argv=("curl",), programs=("curl",))
            assert await world.check(case_of(request_of(), command=curl)) is not None
            world.approvals.open_run(other)
            asked = await world.check(case_of(request_of(run=other, principal=agent(other)), command=ONLINE))
            assert asked is not None

    anyio.run(main)


def test_an_answer_of_always_is_a_capability_that_can_be_listed_and_revoked(tmp_path: Path) -> None:
    """It stands for every run of that owner, survives a restart, and ends when revoked."""
    store = MemoryStore()
    other = RunId("r-other")
    elsewhere = request_of(run=other, principal=agent(other))

    async def main() -> None:
        async with open_world(tmp_path, store) as world:
            world.person.script = [Answer("always")]
            approval = await world.admit(request_of(), ONLINE)
            held = world.table.held(standing_principal(ALICE))
            assert {str(cap.resource) for cap in held} == {"approve:exec/make", "approve:exec/network"}
            assert {cap.origin for cap in held} == {approval}
            assert all(cap.parent is not None for cap in held)
        async with open_world(tmp_path, store) as world:
            case = case_of(elsewhere, command=ONLINE)
            assert await world.check(case) is None
            assert {key_of(world.table.get(cap)) for cap in case.capabilities} == {"exec:make", "exec:network"}
            bobs = replace(elsewhere, owner=user("bob"))
            assert await world.check(case_of(bobs, command=ONLINE)) is not None
            await world.table.revoke(case.capabilities[0], by=ALICE)
            assert await world.check(case_of(elsewhere, command=ONLINE)) is not None

    anyio.run(main)


def test_forgetting_a_key_makes_the_next_call_ask(tmp_path: Path) -> None:
    """`approvals forget` revokes what it names, and says what there is where it names nothing."""

    async def body(world: World) -> None:
        world.person.script = [Answer("always")]
        await world.admit(request_of("web_fetch"), PAGE)
        assert await world.check(case_of(request_of("web_fetch"), url=PAGE)) is None
        with pytest.raises(NotFound, match="exec:git"):
            await world.approvals.standing.forget(ALICE, "exec:git", by=ALICE)
        await world.approvals.standing.forget(ALICE, "net:a.example", by=ALICE)
        assert await world.check(case_of(request_of("web_fetch"), url=PAGE)) is not None

    run_world(tmp_path, body)


def test_always_without_the_authority_to_pass_it_on_counts_once(tmp_path: Path) -> None:
    """A person who holds no approve capability still allows this call, and is told it does not stand."""

    async def body(world: World) -> None:
        for cap in world.table.held(ALICE):
            await world.table.revoke(cap.id, by=ALICE)
        world.person.script = [Answer("always")]
        approval = await world.admit(request_of(), ONLINE)
        assert isinstance(approval, str)
        row = await world.approvals.show(approval)
        assert (row.status, row.choice) == ("granted", "once")
        assert "may not approve" in row.reason
        assert world.approvals.standing.listed(ALICE) == ()

    run_world(tmp_path, body)


def test_a_wide_standing_grant_by_the_operator_covers_its_keys(tmp_path: Path) -> None:
    """`caps grant job:standing.alice approve:exec/**` allows every program, and no page."""

    async def body(world: World) -> None:
        (root,) = world.table.held(ALICE)
        wide = Resource.parse("approve:exec/**")
        await world.table.derive(root.id, standing_principal(ALICE), wide, Rights.EXECUTE, by=ALICE, origin="by hand")
        assert await world.check(case_of(request_of(), command=LINE)) is None
        assert await world.check(case_of(request_of("web_fetch"), url=PAGE)) is not None

    run_world(tmp_path, body)


@pytest.mark.parametrize("program", ["git", "./git", "../x", "/opt/tool/run", "a.b", "[::1]"])
def test_keys_are_read_back_from_their_capabilities(tmp_path: Path, program: str) -> None:
    """A program by name or by path stands under its own key, and under no other."""

    async def body(world: World) -> None:
        key = f"exec:{program}"
        await world.approvals.standing.grant(ALICE, [key, key], by=ALICE, origin="p-1")
        (cap,) = world.approvals.standing.listed(ALICE)
        assert key_of(cap) == key
        assert world.approvals.standing.covering(ALICE, key) == (cap.id,)
        assert world.approvals.standing.covering(ALICE, "exec:other") is None
        assert await world.approvals.standing.grant(ALICE, [key], by=ALICE, origin="p-2") == ()

    run_world(tmp_path, body)


def test_standing_principals_are_valid_for_every_owner() -> None:
    """The longest user names get one of their own, and no two share one."""
    long, longer = "a" * 60, "a" * 61
    assert standing_principal(user("alice")) == "job:standing.alice"
    names = {standing_principal(user(name)) for name in ("alice", long, longer)}
    assert len(names) == 3
    for name in names:
        assert principal(name) == name
