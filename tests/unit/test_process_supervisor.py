"""Runs in a whole kernel: refusals, bounds, stops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from kernel.capability.rights import Rights
from kernel.directive import Budget, Directive, ExecEnv, Mount
from kernel.errors import AccessDenied, Conflict, NotFound
from kernel.ids import agent, user
from kernel.ports.provider import ToolCall, Usage
from kernel.testing.provider import Turn, call, calls, say
from tests.world import OWNER, open_world, until

pytestmark = pytest.mark.anyio

_SLEEP = call("exec", command="echo begun > begun; sleep 300; echo late > late")


async def test_a_run_works_in_its_workspace_and_finishes(tmp_path: Path) -> None:
    """The file is there, the answer is the output, and turns and calls are counted."""
    async with open_world(tmp_path, [call("write", path="a.txt", content="x"), say("done")]) as world:
        state = await world.run()
        assert (state.status, state.output, state.turns, state.calls_made) == ("finished", "done", 2, 1)
        assert (world.workspace / "a.txt").read_text() == "x"


async def test_a_kernel_that_runs_for_months_keeps_nothing_of_runs_that_ended(tmp_path: Path) -> None:
    """Neither of one that finished, nor of one that was cancelled; of one that may go on, what it takes for that."""
    async with open_world(tmp_path, [say("done"), _SLEEP, _SLEEP]) as world:
        supervisor = world.kernel.supervisor
        await world.run()
        stopped = await world.start()
        await until(world.workspace / "begun")
        await supervisor.cancel(stopped, by=OWNER)
        assert (supervisor.live, supervisor.accounts.launched) == ({}, set())
        (world.workspace / "begun").unlink()
        left = await world.start()
        await until(world.workspace / "begun")
        await supervisor.interrupt(left)
        assert (supervisor.live, supervisor.accounts.launched) == ({}, {left})


@pytest.mark.parametrize(
    ("named", "persona", "asked"),
    [
        ("scripted/own", "dev", "scripted/own"),
        ("", "dev", "scripted/of-dev"),
        ("", "qa", "scripted/of-execute"),
        ("", "", "scripted/of-execute"),
    ],
)
async def test_a_run_asks_the_model_it_names_or_the_settings_route_it_to(
    tmp_path: Path, named: str, persona: str, asked: str
) -> None:
    """Its own, else its persona's, else that of the phase `execute`; the default is for all others."""
    routed = {"routing.personas.dev": "scripted/of-dev", "routing.phases.execute": "scripted/of-execute"}
    settings = {"providers.scripted.base_url": "http://127.0.0.1:9/v1", **routed}
    async with open_world(tmp_path, [say("done")], settings=settings) as world:
        env = ExecEnv(mounts=(Mount(str(world.workspace)),), model=named, persona=persona)
        state = await world.kernel.runs.wait(await world.kernel.runs.start(Directive("do it"), env, owner=OWNER))
        assert (state.status, state.asked_model) == ("finished", asked)


async def test_a_refusal_names_layer_reason_and_remedy_and_the_run_goes_on(tmp_path: Path) -> None:
    """The model reads the refusal as a tool result; the journal has it."""
    (tmp_path / "secret").write_text("s")
    async with open_world(tmp_path, [call("read", path="../secret"), say("could not")]) as world:
        state = await world.run()
        denied = await world.entries(state.run, "call.denied")
        assert state.status == "finished"
        assert len(denied) == 1
        assert denied[0].payload is not None
        assert denied[0].payload["layer"] in {"paths", "capability", "arguments"}
        assert denied[0].payload["remedy"]
        assert state.steps[0].text.startswith("denied by")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (ToolCall("c", "nonexistent", "{}"), "there is no tool 'nonexistent'"),
        (ToolCall("c", "read", "{not json"), "read:"),
        (ToolCall("c", "read", '{"path": 7}'), "path"),
        (ToolCall("c", "read", '{"path": "a", "colour": "red"}'), "colour"),
        (ToolCall("c", "runs.start", "{}"), "there is no tool 'runs.start'"),
    ],
)
async def test_a_bad_call_comes_back_with_what_was_wrong(tmp_path: Path, bad: ToolCall, said: str) -> None:
    """Unknown tools, broken JSON, wrong types, unknown names, syscalls that are no tools."""
    async with open_world(tmp_path, [Turn(calls=(bad,)), say("corrected")]) as world:
        state = await world.run()
        assert state.status == "finished"
        assert said in state.steps[0].text
        assert len(await world.entries(state.run, "call.invalid")) == 1


async def test_an_agent_holds_only_what_derives_from_its_owner_and_nothing_after(tmp_path: Path) -> None:
    """Each capability has a parent of the owner's, and all go when the run ends."""
    async with open_world(tmp_path, [Turn(hang=True)]) as world:
        run = await world.start()
        table = world.kernel.capabilities
        held = table.held(agent(run))
        assert held
        assert all(cap.parent is not None and table.get(cap.parent).holder == OWNER for cap in held)
        assert all(not cap.rights & Rights.DELEGATE for cap in held)
        await world.kernel.supervisor.cancel(run, by=OWNER)
        assert table.held(agent(run)) == ()


async def test_a_hint_can_only_take_away(tmp_path: Path) -> None:
    """A hint of one readable directory leaves nothing else; a hint of everything adds nothing."""
    narrow = '{"file:/**": "r", "model:**": "x"}'
    async with open_world(tmp_path, [call("write", path="a", content="x"), say("no"), Turn(hang=True)]) as world:
        state = await world.run(hint=narrow)
        assert "there is no tool 'write'" in state.steps[0].text
        assert set(state.tools) == {"find", "grep", "ls", "read", "read_output"}
        assert "`exec`" not in state.messages[0].text
        run = await world.start(hint="supervisor")
        kinds = {cap.resource.kind for cap in world.kernel.capabilities.held(agent(run))}
        assert "kernel" not in kinds


async def test_a_stop_ends_the_call_under_way_and_its_processes(tmp_path: Path) -> None:
    """The sleeping program never reaches its next line, and the run is cancelled."""
    async with open_world(tmp_path, [_SLEEP]) as world:
        run = await world.start()
        await until(world.workspace / "begun")
        with anyio.fail_after(5):
            state = await world.kernel.supervisor.cancel(run, by=OWNER)
        assert state.status == "cancelled"
        assert not (world.workspace / "late").exists()
        rows = await world.kernel.journal.rows("runs", {"id": run})
        assert rows[0]["status"] == "cancelled"


async def test_a_stop_ends_a_model_that_never_answers(tmp_path: Path) -> None:
    """The stream is broken off and the run is cancelled."""
    async with open_world(tmp_path, [Turn(hang=True)]) as world:
        run = await world.start()
        state = await world.kernel.supervisor.cancel(run, by=OWNER)
        assert state.status == "cancelled"
        with pytest.raises(Conflict):
            await world.kernel.supervisor.resume(run, by=OWNER)


async def test_revoking_what_a_call_rests_on_stops_it_in_flight(tmp_path: Path) -> None:
    """The program ends, the model hears why, the run goes on."""
    async with open_world(tmp_path, [_SLEEP, say("stopped")]) as world:
        run = await world.start()
        await until(world.workspace / "begun")
        held = world.kernel.capabilities.held(agent(run))
        target = next(cap for cap in held if cap.resource.kind == "exec")
        await world.kernel.capabilities.revoke(target.id, by=OWNER)
        state = await world.kernel.runs.wait(run)
        assert state.status == "finished"
        assert not state.steps[0].ok
        assert "revoked" in state.steps[0].text
        assert not (world.workspace / "late").exists()


@pytest.mark.parametrize(("tokens", "status"), [(100_000, "finished"), (10, "paused")])
async def test_a_token_budget_holds_from_both_sides(tmp_path: Path, tokens: int, status: str) -> None:
    """Enough finishes; too little pauses before anything is sent, and says what to do."""
    async with open_world(tmp_path, [say("done")]) as world:
        state = await world.run(budget=Budget(tokens_max=tokens))
        assert state.status == status
        if status == "paused":
            assert "budget" in state.note
            assert state.usage.input_tokens == 0


async def test_a_money_budget_without_a_known_price_fails_at_once(tmp_path: Path) -> None:
    """What cannot be counted is not spent."""
    async with open_world(tmp_path, [say("done")]) as world:
        state = await world.run(budget=Budget(micro_usd_max=5))
        assert state.status == "failed"
        assert "price" in state.note


async def test_an_unknown_model_is_refused_before_a_run_exists(tmp_path: Path) -> None:
    """The error names the providers there are."""
    async with open_world(tmp_path) as world:
        with pytest.raises(NotFound, match="nowhere/model"):
            await world.start(model="nowhere/model")
        assert await world.kernel.journal.rows("runs") == []


async def test_a_deadline_pauses_a_run_in_the_middle_of_a_call(tmp_path: Path) -> None:
    """The call is stopped, and the run can be resumed with more time."""
    async with open_world(tmp_path, [_SLEEP], settings={"run.deadline_s": "1"}) as world:
        state = await world.run()
        assert state.status == "paused"
        assert "run.deadline_s" in state.note
        assert not (world.workspace / "late").exists()


async def test_a_message_to_a_live_agent_is_heard_before_its_next_reply(tmp_path: Path) -> None:
    """Said while a call runs, it follows the call's result."""
    script = [call("exec", command="echo begun > begun; while [ ! -e go ]; do sleep 0.01; done"), say("heard")]
    async with open_world(tmp_path, script) as world:
        run = await world.start()
        await until(world.workspace / "begun")
        await world.kernel.supervisor.steer(run, "be brief", by=OWNER)
        (world.workspace / "go").touch()
        state = await world.kernel.runs.wait(run)
        roles = [(message.role, message.text) for message in state.messages[-3:]]
        assert [role for role, _ in roles] == ["tool", "user", "assistant"]
        assert roles[1][1] == "be brief"


async def test_a_run_is_its_owners_alone(tmp_path: Path) -> None:
    """Neither its own agent nor another person who may handle runs can stop it."""
    other = user("other")
    async with open_world(tmp_path, [Turn(hang=True)]) as world:
        run = await world.start()
        await world.kernel.handle(OWNER).call("users.create", {"name": "other"})
        with pytest.raises(AccessDenied):
            await world.kernel.handle(agent(run)).call("runs.cancel", {"run": run})
        with pytest.raises(NotFound):
            await world.kernel.handle(other).call("runs.cancel", {"run": run})
        assert run in world.kernel.supervisor.live


async def test_reads_of_one_reply_run_together(tmp_path: Path) -> None:
    """Their results answer the right calls, in order."""
    async with open_world(tmp_path, [calls(*(call("read", path=f"{n}.txt") for n in range(5))), say("done")]) as world:
        for number in range(5):
            (world.workspace / f"{number}.txt").write_text(f"text {number}")
        state = await world.run()
        assert [step.text for step in state.steps] == [f"text {number}" for number in range(5)]


@pytest.mark.parametrize(("tokens_max", "told"), [(9_000, 1), (100_000, 0)])
async def test_the_agent_is_told_once_when_most_of_its_budget_is_used(
    tmp_path: Path, tokens_max: int, told: int
) -> None:
    """At four fifths, before its next reply; with plenty left, not at all."""
    big = Usage(input_tokens=40, output_tokens=7_470)
    script = [replace(call("ls"), usage=big), call("ls", path="."), say("done")]
    async with open_world(tmp_path, script) as world:
        state = await world.run(budget=Budget(tokens_max=tokens_max))
        notes = [message for message in state.messages if message.role == "user" and "of your budget" in message.text]
        assert (state.status, len(notes)) == ("finished", told)
