"""Users, roles, tokens and passwords: what the kernel keeps of them, and whom it refuses."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from kernel.boot import projectors
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.token import Need
from kernel.directive import Directive, ExecEnv, Mount
from kernel.errors import AccessDenied, Conflict, Invalid, NotFound
from kernel.handle.people import NO_ROLE, new_token
from kernel.ids import Principal, RunId, user
from kernel.testing.provider import Turn, call, say
from tests.journal_world import audit
from tests.world import MODEL, OWNER, World, open_world

pytestmark = pytest.mark.anyio
BOB = user("bob")
EVE = user("eve")


async def act(world: World, principal: Principal, syscall: str, /, **arguments: Any) -> Mapping[str, Any]:
    return (await world.kernel.handle(principal).call(syscall, arguments)).data


async def add(world: World, name: str = "bob", role: str = "user", **more: Any) -> Mapping[str, Any]:
    return await act(world, OWNER, "users.create", name=name, role=role, **more)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def covers(world: World, principal: Principal, resource: str, rights: str) -> bool:
    need = Need(Resource.parse(resource), Rights.parse(rights))
    return not isinstance(world.kernel.capabilities.cover(principal, [need]), Need)


async def start(world: World, principal: Principal, workspace: str) -> RunId:
    env = ExecEnv(mounts=(Mount(workspace),), model=MODEL)
    return await world.kernel.runs.start(Directive("do it"), env, owner=principal)


async def test_a_role_is_the_kernels_to_say(tmp_path: Path) -> None:
    """The operator's, a user's from the table, none for a stranger, the new one after a change, none once removed."""
    async with open_world(tmp_path) as world:
        role_of = world.kernel.users.role_of
        assert (role_of(OWNER), role_of(BOB), role_of(Principal("job:x"))) == ("operator", NO_ROLE, NO_ROLE)
        await add(world)
        assert role_of(BOB) == "user"
        await act(world, OWNER, "users.change", name="bob", role="viewer")
        assert role_of(BOB) == "viewer"
        await act(world, OWNER, "users.remove", name="bob")
        assert role_of(BOB) == NO_ROLE


async def test_users_and_tokens_survive_a_restart(tmp_path: Path) -> None:
    """What the next kernel of the home knows is what the journal says, and the tables are its fold."""
    text, digest = new_token()
    async with open_world(tmp_path) as world:
        await add(world)
        await add(world, "eve", "viewer")
        await add(world, "gone")
        await act(world, OWNER, "users.remove", name="gone")
        await act(world, OWNER, "tokens.create", owner="bob", name="ci", digest=digest, scopes=["read", "run"])
    async with open_world(tmp_path) as world:
        assert [(one.name, one.role) for one in world.kernel.users.people()] == [("bob", "user"), ("eve", "viewer")]
        token = world.kernel.users.token(text)
        assert token is not None
        assert (token.owner, token.scopes) == (BOB, {"read", "run"})
        assert covers(world, BOB, "kernel:runs", "w")
        with pytest.raises(Conflict, match="before"):
            await add(world, "gone")


async def test_a_user_may_work_and_not_administer(tmp_path: Path) -> None:
    """Files below their own workspace, programs and models; neither the home, nor another's files, nor users."""
    async with open_world(tmp_path) as world:
        person = await add(world)
        place = Path(person["workspace"])
        assert place == (tmp_path / "home-workspaces" / "bob").resolve()
        assert mode_of(place) == 0o700
        held = {"exec:git": "x", "net:a.org:443": "r", "model:a/b": "x", "ask:user": "x", "kernel:approvals": "w"}
        assert all(covers(world, BOB, resource, rights) for resource, rights in held.items())
        assert covers(world, BOB, f"file:{place}/a.txt", "rw")
        for resource in (f"file:{tmp_path}/home/x", f"file:{world.workspace}/a", "kernel:users", "kernel:caps"):
            assert not covers(world, BOB, resource, "r"), resource
        for name, arguments in (
            ("users.create", {"name": "x"}),
            ("users.list", {}),
            ("caps.list", {}),
            ("tokens.list", {}),
            ("persona.use", {"name": ""}),
        ):
            with pytest.raises(AccessDenied):
                await act(world, BOB, name, **arguments)


async def test_the_role_holds_where_a_capability_would_not(tmp_path: Path) -> None:
    """A viewer who was granted everything may still not approve, start or administer; a user not administer."""
    async with open_world(tmp_path) as world:
        await add(world)
        await add(world, "eve", "viewer")
        for principal in (BOB, EVE):
            await world.kernel.capabilities.mint(principal, Resource.parse("kernel:**"), Rights.ALL, origin="test")
        answer = {"approval": "p0", "choice": "once"}
        for principal, name, arguments in (
            (EVE, "approvals.answer", answer),
            (EVE, "runs.cancel", {"run": "r0"}),
            (EVE, "users.create", {"name": "x"}),
            (BOB, "users.create", {"name": "x"}),
            (BOB, "caps.revoke", {"capability": "c0"}),
        ):
            with pytest.raises(AccessDenied) as caught:
                await act(world, principal, name, **arguments)
            assert caught.value.layer == "roles", name
        with pytest.raises(NotFound):
            await act(world, BOB, "approvals.answer", **answer)
        assert (await act(world, EVE, "users.list"))["users"]


async def test_a_stranger_is_refused_where_nothing_is_claimed(tmp_path: Path) -> None:
    """A principal that is nobody here, holding what is needed, stops at the roles; the refusal is recorded."""
    async with open_world(tmp_path) as world:
        await world.kernel.capabilities.mint(EVE, Resource.parse("kernel:**"), Rights.ALL, origin="test")
        with pytest.raises(AccessDenied, match="no user") as caught:
            await act(world, EVE, "caps.list")
        assert caught.value.layer == "roles"
        await world.kernel.journal.flush()
        denied = await world.kernel.journal.read(kind="call.denied", principal=EVE)
        assert len(denied) == 1


async def test_a_kept_handle_follows_the_role(tmp_path: Path) -> None:
    """A handle made while somebody was a user does nothing for the viewer they became."""
    async with open_world(tmp_path) as world:
        await add(world)
        handle = world.kernel.handle(BOB)
        await handle.call("approvals.list")
        await act(world, OWNER, "users.change", name="bob", role="viewer")
        await world.kernel.capabilities.mint(BOB, Resource.parse("kernel:**"), Rights.ALL, origin="test")
        with pytest.raises(AccessDenied) as caught:
            await handle.call("approvals.answer", {"approval": "p0", "choice": "once"})
        assert caught.value.layer == "roles"


async def test_an_agent_of_a_user_works_in_their_workspace_alone(tmp_path: Path) -> None:
    """It writes there; the operator's workspace, mounted by the user, is refused to it."""
    script = [call("write", path="a.txt", content="mine"), say("done"), call("ls"), say("done")]
    async with open_world(tmp_path, script) as world:
        place = (await add(world))["workspace"]
        run = await start(world, BOB, place)
        assert [step.ok for step in (await world.kernel.runs.wait(run)).steps] == [True]
        assert (Path(place) / "a.txt").read_text() == "mine"
        run = await start(world, BOB, str(world.workspace))
        state = await world.kernel.runs.wait(run)
        assert [step.ok for step in state.steps] == [False]


async def test_removing_a_user_ends_what_they_had(tmp_path: Path) -> None:
    """Capabilities, those of their agents, tokens and password are gone, and the live run has ended."""
    text, digest = new_token()
    async with open_world(tmp_path, [Turn(hang=True)]) as world:
        place = (await add(world))["workspace"]
        await act(world, OWNER, "tokens.create", owner="bob", name="ci", digest=digest)
        ticket = world.kernel.passwords.deposit("correct horse battery")
        await act(world, BOB, "self.password", ticket=ticket)
        run = await start(world, BOB, place)
        with anyio.fail_after(20):
            gone = await act(world, OWNER, "users.remove", name="bob")
        assert gone["ended"] == [run]
        assert (await world.kernel.runs.state(run)).status == "cancelled"
        assert world.kernel.capabilities.held(BOB) == ()
        assert world.kernel.capabilities.held(Principal(f"agent:{run}")) == ()
        assert world.kernel.users.token(text) is None
        assert not world.kernel.passwords.has(BOB)
        await add(world, again=True)
        assert world.kernel.users.token(text) is None
    assert audit(tmp_path / "home", projectors=projectors({})).good


async def test_a_user_handles_their_own_runs_and_the_operator_everybodys(tmp_path: Path) -> None:
    """Another's run is not found, as one that never was; who sees all is told whose it is; the operator stops it."""
    async with open_world(tmp_path, [Turn(hang=True)]) as world:
        place = (await add(world))["workspace"]
        await add(world, "eve")
        run = await start(world, BOB, place)
        told: list[str] = []
        for wanted in (run, "r00000000-0000000"):
            with pytest.raises(NotFound) as caught:
                await act(world, EVE, "runs.cancel", run=wanted)
            told.append(caught.value.explain().replace(wanted, "RUN"))
        assert told[0] == told[1]
        await act(world, OWNER, "caps.grant", to=EVE, resource="kernel:audit", rights="r")
        with pytest.raises(AccessDenied, match="belongs to"):
            await act(world, EVE, "runs.cancel", run=run)
        await act(world, OWNER, "runs.cancel", run=run)
        assert (await world.kernel.runs.wait(run)).status == "cancelled"


async def test_approvals_are_their_owners_and_the_operators(tmp_path: Path) -> None:
    """Another user finds none; a viewer sees it and answers nothing; its owner and the operator answer."""
    script = [call("exec", command="true"), say("done")]
    async with open_world(tmp_path, script * 2, settings={"approval.mode": "manual"}) as world:
        place = (await add(world))["workspace"]
        await add(world, "eve")
        await add(world, "vic", "viewer")
        for _ in range(2):
            await world.kernel.runs.wait(await start(world, BOB, place))
        one, other = [str(row["id"]) for row in (await act(world, BOB, "approvals.list"))["approvals"]]
        assert (await act(world, EVE, "approvals.list"))["approvals"] == []
        assert len((await act(world, user("vic"), "approvals.list"))["approvals"]) == 2
        assert (await act(world, user("vic"), "approvals.show", approval=one))["owner"] == BOB
        told: set[str] = set()
        for name, arguments in (("approvals.show", {}), ("approvals.answer", {"choice": "once"})):
            for approval in (one, "p00000000-0000000"):
                with pytest.raises(NotFound) as caught:
                    await act(world, EVE, name, approval=approval, **arguments)
                told.add(caught.value.explain().replace(approval, "ID"))
        assert len(told) == 1
        with pytest.raises(AccessDenied):
            await act(world, user("vic"), "approvals.answer", approval=one, choice="once")
        for principal, approval in ((BOB, one), (OWNER, other)):
            answered = await act(world, principal, "approvals.answer", approval=approval, choice="once")
            assert (answered["status"], answered["answered_by"]) == ("allowed", principal)


@pytest.mark.parametrize("name", ["", "-x", "x-", "Bob", "a/b", "..", "a b", "x" * 33, "bø"])
async def test_names_that_could_be_taken_for_another_are_refused(tmp_path: Path, name: str) -> None:
    """Lower-case letters, digits and . _ - within; 32 at most."""
    async with open_world(tmp_path) as world:
        with pytest.raises(Invalid):
            await add(world, name)
        await add(world, "x" * 32)


async def test_workspaces_are_apart_from_the_home_and_each_other(tmp_path: Path) -> None:
    """The home, what is in it or around it, and another user's workspace are refused; a link is followed first."""
    async with open_world(tmp_path) as world:
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "home")
        for place in (tmp_path / "home", tmp_path / "home/x", tmp_path, link, link / "x"):
            with pytest.raises(Conflict):
                await add(world, workspace=str(place))
        await add(world, workspace=str(tmp_path / "w"))
        with pytest.raises(Conflict, match="bob"):
            await add(world, "eve", workspace=str(tmp_path / "w/inside"))
        for no_path in ("relative", "/tmp/\0"):
            with pytest.raises(Invalid, match="no"):
                await add(world, "eve", workspace=no_path)
        await add(world, "eve", workspace=str(tmp_path / "w2"))


async def test_the_operators_name_is_nobody_elses(tmp_path: Path) -> None:
    """A user of that name is refused, and a home of which the operator is a mere user does not open."""
    async with open_world(tmp_path) as world:
        with pytest.raises(Conflict):
            await add(world, OWNER.removeprefix("user:"))
        await add(world)
        world.kernel.users.operator = BOB
        with pytest.raises(Conflict, match="cannot be its operator"):
            await world.kernel.users.load()


async def test_no_password_and_no_token_is_in_the_journal(tmp_path: Path) -> None:
    """Neither the text nor the verifier: a password's file is 0600, and checks; a token stands by its digest."""
    text, digest = new_token()
    password = "correct horse battery"
    async with open_world(tmp_path) as world:
        await add(world)
        book = world.kernel.passwords
        assert not await book.check(BOB, password)
        await act(world, OWNER, "users.password", name="bob", ticket=book.deposit(password))
        await act(world, OWNER, "tokens.create", owner="bob", name="ci", digest=digest)
        assert await book.check(BOB, password)
        assert not await book.check(BOB, password + "x")
        assert not await book.check(EVE, password)
        (file,) = (tmp_path / "home/keys/passwords").iterdir()
        assert mode_of(file) == 0o600
        verifier = json.loads(file.read_text())["verifier"]
        await act(world, OWNER, "users.password", name="bob")
        assert not await book.check(BOB, password)
        with pytest.raises(NotFound):
            await act(world, OWNER, "users.password", name="bob")
    written = b"".join(path.read_bytes() for path in (tmp_path / "home/journal").iterdir() if path.is_file())
    assert digest.encode() in written
    for secret in (password, verifier, text):
        assert secret.encode() not in written


async def test_a_password_is_long_enough_and_its_ticket_good_once(tmp_path: Path) -> None:
    """Eleven characters are refused, twelve taken; a ticket that was used or never given sets nothing."""
    async with open_world(tmp_path) as world:
        await add(world)
        book = world.kernel.passwords
        for password in ("x" * 11, "x" * 257):
            with pytest.raises(Invalid):
                book.deposit(password)
        ticket = book.deposit("x" * 12)
        await act(world, BOB, "self.password", ticket=ticket)
        for bad in (ticket, "never"):
            with pytest.raises(NotFound):
                await act(world, BOB, "self.password", ticket=bad)
        assert await book.check(BOB, "x" * 12)


async def test_a_token_that_ran_out_or_was_revoked_opens_nothing(tmp_path: Path) -> None:
    """Before it does, it does; its digest is taken once."""
    text, digest = new_token()
    async with open_world(tmp_path) as world:
        with pytest.raises(NotFound):
            await act(world, OWNER, "tokens.create", owner="nobody", name="ci", digest=digest)
        made = await act(world, OWNER, "tokens.create", owner="tester", name="ci", digest=digest, expires_s=1e-6)
        assert world.kernel.users.token(text) is None
        with pytest.raises(Conflict):
            await act(world, OWNER, "tokens.create", owner="tester", name="ci", digest=digest)
        text, digest = new_token()
        made = await act(world, OWNER, "tokens.create", owner="tester", name="ci", digest=digest, expires_s=3600)
        assert world.kernel.users.token(text) is not None
        await act(world, OWNER, "tokens.revoke", token=made["id"])
        assert world.kernel.users.token(text) is None
        with pytest.raises(NotFound):
            await act(world, OWNER, "tokens.revoke", token=made["id"])
