"""A hostile model in a whole kernel: no call of its ends the kernel, and each has one answer in the journal."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kernel.directive import Mount
from kernel.errors import AccessDenied, Conflict
from kernel.gate.asker import Answer
from kernel.gate.decision import Question
from kernel.gate.egress import Egress, private_hosts
from kernel.ids import ApprovalId, CallId, RunId
from kernel.jsontypes import JsonObject, JsonValue
from kernel.ports.provider import ToolCall
from kernel.runtime.dispatch import Caller
from kernel.runtime.state import RunState
from kernel.settings.tree import SearchSettings, Settings
from kernel.syscalls.declare import Args, Call, Effect, Services, ToolResult, no_claims, syscall
from kernel.syscalls.table import SyscallTable
from kernel.testing.provider import Turn, say
from kernel.tools.web import web_fetch
from kernel.tools.websearch import web_search
from tests.unit.test_tools_web import answering, fetcher, served
from tests.unit.tool_world import ToolWorld
from tests.world import OWNER, World, open_world, until

pytestmark = pytest.mark.anyio

HALF = "half a pair: \ud800"
_ENDS = {"call.outcome", "call.denied", "call.invalid"}


@syscall("broken", Args, claims=no_claims, effect=Effect.READ, approval="auto")
async def broken(_call: Call, _args: Args) -> ToolResult:
    """Return what no journal can hold."""
    return ToolResult(HALF, {"name": HALF})


def calls(*made: tuple[str, str]) -> Turn:
    """One reply with these calls, their arguments as raw text."""
    return Turn(calls=tuple(ToolCall(f"c{number}", tool, text) for number, (tool, text) in enumerate(made)))


async def carried_out(root: Path, script: Sequence[Turn], settings: dict[str, str] | None = None) -> list[JsonObject]:
    """The end of each call of a run that goes on to its last turn, in order."""
    async with open_world(root, [*script, say("done")], settings=settings) as world:
        state: RunState = await world.run(approve="auto")
        assert (state.status, state.output) == ("finished", "done")
        return await ends(world, state)


async def ends(world: World, state: RunState) -> list[JsonObject]:
    return [
        {"kind": each.kind, **(each.payload or {})} for each in await world.entries(state.run) if each.kind in _ENDS
    ]


def odd_link(work: Path) -> None:
    """A plain name `l` in `work` that leads to a directory whose name is not UTF-8."""
    work.mkdir()
    odd = Path(os.fsdecode(os.fsencode(work) + b"/\xff"))
    odd.mkdir()
    (odd / "f").write_text("x")
    (work / "l").symlink_to(odd)


async def test_a_file_name_of_other_bytes_ends_one_call_and_not_the_kernel(tmp_path: Path) -> None:
    """A link from a plain name to one that is not UTF-8 is refused: neither journal nor model could name it."""
    odd_link(tmp_path / "work")
    named = {"path": "l/f"}
    made = [(tool, json.dumps(named)) for tool in ("read", "ls")]
    made += [("write", json.dumps({**named, "content": "x"})), ("grep", json.dumps({**named, "pattern": "x"}))]
    made += [("exec", json.dumps({"argv": ["true"], "cwd": "l"}))]
    found = await carried_out(tmp_path, [calls(*made)])
    assert [(each["kind"], each.get("layer")) for each in found] == [("call.denied", "paths")] * len(made)
    assert all("not UTF-8" in str(each["reason"]) for each in found)


async def test_raw_arguments_of_any_form_are_answered_each(tmp_path: Path) -> None:
    """Broken, nested, doubled, oversized: an error to the model, and the run goes on."""
    made = [
        '{"path": "a"',
        "[]",
        "null",
        "[" * 100_000,
        '{"path":"\\ud800"}',
        '{"path":"a","path":"/etc/passwd"}',
        "\0",
    ]
    made += ['{"path":"a","offset":1e400}', '{"path":"a","offset":' + "9" * 5_000 + "}", '{"path":7}', '{"path":"."}']
    found = await carried_out(tmp_path, [calls(*(("read", text) for text in made))])
    assert len(found) == len(made)
    assert all(each["kind"] != "call.outcome" or each["ok"] is False for each in found)


async def test_a_result_that_cannot_be_recorded_is_an_error_of_its_call(tmp_path: Path) -> None:
    """Whatever a body returns, the call ends in one entry that says so, and nothing else stops."""
    async with open_world(tmp_path) as world:
        dispatcher = replace(world.kernel.dispatcher, table=SyscallTable([broken]))
        caller = Caller(OWNER, OWNER, "operator")
        answered = await dispatcher.call(caller, CallId("k.1"), "broken", "{}")
        assert answered.durable is not None
        entry = await answered.durable
    assert entry.payload == answered.payload
    assert answered.payload["ok"] is False
    assert "cannot be recorded" in str(answered.payload["text"])


@pytest.mark.parametrize("charset", ["unicode_escape", "utf-7", "zlib_codec", "idna", "no-such"])
async def test_a_page_in_any_charset_is_text_that_can_be_recorded(tmp_path: Path, charset: str) -> None:
    """A server may name every codec that Python has."""
    handler = answering(b"\\ud800 +2AA-", f"text/plain; charset={charset}")
    async with served(handler) as port:
        world, _names = fetcher(tmp_path, port)
        assert (await world.call(web_fetch, url=f"http://site.test:{port}/")).text.encode()


@pytest.mark.parametrize("location", ["http://[::1", "http://site.test:99999/", "http://a\\b/", "file:///etc/passwd"])
async def test_a_redirect_to_no_address_is_refused_in_words(tmp_path: Path, location: str) -> None:
    """A broken Location is the server's fault, and is told as such."""
    async with served(answering("", status=302, Location=location)) as port:
        world, _names = fetcher(tmp_path, port)
        with pytest.raises(AccessDenied):
            await world.call(web_fetch, url=f"http://site.test:{port}/")


async def test_search_results_with_broken_text_can_be_recorded(tmp_path: Path) -> None:
    """An engine's JSON may hold half a surrogate pair."""
    one: dict[str, JsonValue] = {"title": HALF, "url": f"https://x/{HALF}", "content": HALF}
    async with served(answering(json.dumps({"results": [one]}), "application/json")) as port:
        said = SearchSettings(provider="searxng", url=f"http://127.0.0.1:{port}")
        settings = replace(Settings(tmp_path / "home"), search=said)
        world = ToolWorld(tmp_path, Services((Settings, settings), (Egress, private_hosts(()))))
        found = await world.call(web_search, query="x")
    assert json.dumps(found.data, ensure_ascii=False).encode()
    assert found.text.encode()


async def test_a_workspace_that_holds_the_home_hides_it_from_commands_of_agent_and_review(tmp_path: Path) -> None:
    """The whole way: the agent's `exec` and the owner's see neither the journal nor the keys."""
    script = [calls(("exec", json.dumps({"command": "ls -A home home/keys; cat home/keys/* home/config.toml; true"})))]
    async with open_world(tmp_path, [*script, say("done")]) as world:
        around = replace(world, workspace=world.workspace.parent)
        state = await around.run(approve="auto")
        (end,) = await ends(around, state)
        assert end["kind"] == "call.outcome", end
        seen = str(end["text"])
    assert (tmp_path / "home" / "keys").is_dir()
    assert "BEGIN" not in seen
    assert "oxios.db" not in seen
    assert "journal" not in seen


class Always:
    """A person who allows everything for always."""

    listening = True

    async def approve(self, approval: ApprovalId, run: RunId | None, question: Question, wait_s: float) -> Answer:
        return Answer("always")

    async def ask(self, run: RunId | None, question: str, choices: tuple[str, ...]) -> str:
        return question


async def test_a_standing_approval_taken_back_stops_the_call_that_rests_on_it(tmp_path: Path) -> None:
    """What "always" allowed is revoked while a command runs: it ends, and the run hears why."""
    first = ("exec", json.dumps({"argv": ["python3", "-c", ""]}))
    program = "import time; open('begun', 'w'); time.sleep(60); open('late', 'w')"
    second = ("exec", json.dumps({"argv": ["python3", "-c", program]}))
    script = [calls(first, second), say("done")]
    async with open_world(tmp_path, script, asker=Always(), settings={"approval.allow": "[]"}) as world:
        run = await world.start()
        await until(world.workspace / "begun")
        owner = world.kernel.handle(OWNER)
        listed = (await owner.call("approvals.standing")).text
        assert "exec:python3" in listed
        await owner.call("approvals.forget", {"key": "exec:python3"})
        state = await world.kernel.runs.wait(run)
        found = await ends(world, state)
        assert [each["ok"] for each in found] == [True, False]
        assert "stopped" in str(found[1]["text"])
        assert len(await world.entries(run, "approval.asked")) == 1
    assert not (tmp_path / "work" / "late").exists()


async def test_an_undo_does_not_follow_a_parent_that_became_a_link(tmp_path: Path) -> None:
    """Neither out of the workspace nor to another place inside it; put back, it works."""
    place = tmp_path / "work" / "d"
    place.mkdir(parents=True)
    (place / "f").write_text("old")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("new")
    script = [calls(("write", json.dumps({"path": "d/f", "content": "new"}))), say("done")]
    async with open_world(tmp_path, script) as world:
        state = await world.run()
        (change,) = await ends(world, state)
        owner = world.kernel.handle(OWNER, mounts=(Mount(str(world.workspace)),))
        arguments = {"call": change["call"], "path": str(world.workspace / "d" / "f")}
        moved = place.rename(place.with_name("e"))
        for goal in (outside, moved):
            place.symlink_to(goal)
            with pytest.raises((AccessDenied, Conflict)):
                await owner.call("undo", arguments)
            assert (goal / "f").read_text() == "new"
            place.unlink()
        moved.rename(place)
        await owner.call("undo", arguments)
    assert (place / "f").read_text() == "old"
