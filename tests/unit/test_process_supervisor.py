"""Runs in a whole kernel: refusals, bounds, stops, restarts, forks and replays."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from kernel.capability.rights import Rights
from kernel.directive import Budget
from kernel.errors import AccessDenied, Conflict, Invalid, NotFound, ProviderDown
from kernel.ids import RunId, agent, call_id
from kernel.journal.entry import Draft, Entry
from kernel.jsontypes import JsonObject
from kernel.ports.provider import ModelEvent, ModelRequest, Reply, ToolCall, Usage
from kernel.runtime.history import read_history
from kernel.runtime.replay import replay, same_state
from kernel.testing.provider import ScriptedProvider, Turn, call, calls, say
from tests.world import OWNER, World, open_world

pytestmark = pytest.mark.anyio

_SLEEP = call("exec", command="echo begun > begun; sleep 300; echo late > late")


async def _until(path: Path) -> None:
    """Wait for a sign that a program of the agent makes."""
    with anyio.fail_after(20):
        while not await anyio.Path(path).exists():  # noqa: ASYNC110 -- another process makes it
            await anyio.sleep(0.01)


async def test_a_run_works_in_its_workspace_and_finishes(tmp_path: Path) -> None:
    """The file is there, the answer is the output, and turns and calls are counted."""
    async with open_world(tmp_path, [call("write", path="a.txt", content="x"), say("done")]) as world:
        state = await world.run()
        assert (state.status, state.output, state.turns, state.calls_made) == ("finished", "done", 2, 1)
        assert (world.workspace / "a.txt").read_text() == "x"


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
        assert set(state.tools) == {"find", "grep", "ls", "read"}
        assert "`exec`" not in state.messages[0].text
        run = await world.start(hint="supervisor")
        kinds = {cap.resource.kind for cap in world.kernel.capabilities.held(agent(run))}
        assert "kernel" not in kinds


async def test_a_stop_ends_the_call_under_way_and_its_processes(tmp_path: Path) -> None:
    """The sleeping program never reaches its next line, and the run is cancelled."""
    async with open_world(tmp_path, [_SLEEP]) as world:
        run = await world.start()
        await _until(world.workspace / "begun")
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
        await _until(world.workspace / "begun")
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


async def test_a_provider_that_is_down_pauses_the_run_and_a_resume_goes_on(tmp_path: Path) -> None:
    """Nothing of what was done is lost."""
    down = Turn(error=ProviderDown("it is down", remedy="wait"))
    script = [call("write", path="a.txt", content="x"), down, say("done")]
    async with open_world(tmp_path, script) as world:
        state = await world.run()
        assert state.status == "paused"
        assert "it is down" in state.note
        await world.kernel.supervisor.resume(state.run, by=OWNER)
        state = await world.kernel.runs.wait(state.run)
        assert (state.status, state.output) == ("finished", "done")
        assert len(await world.entries(state.run, "call.outcome")) == 1


async def test_a_refused_request_fails_the_run_with_the_providers_words(tmp_path: Path) -> None:
    """A bad key does not become a pause that waits for nothing."""
    async with open_world(tmp_path, [Turn(error=Invalid("the key was refused", remedy="set KEY"))]) as world:
        state = await world.run()
        assert state.status == "failed"
        assert state.note == "the key was refused. set KEY"


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


async def test_a_run_that_the_kernel_left_goes_on_in_the_next_one(tmp_path: Path) -> None:
    """Closing the kernel interrupts, a new kernel resumes, finished calls are not repeated."""
    async with open_world(tmp_path, [call("write", path="a.txt", content="x"), Turn(hang=True)]) as world:
        run = await world.start()
        await _until(world.workspace / "a.txt")
    (tmp_path / "work" / "a.txt").write_text("changed since")
    async with open_world(tmp_path, [say("done")]) as world:
        state = await world.kernel.runs.state(run)
        assert (state.status, state.turns) == ("paused", 1)
        await world.kernel.supervisor.resume(run, by=OWNER)
        state = await world.kernel.runs.wait(run)
        assert (state.status, state.output) == ("finished", "done")
        assert (world.workspace / "a.txt").read_text() == "changed since"


async def test_an_external_call_that_was_cut_off_is_in_doubt_until_a_person_says(tmp_path: Path) -> None:
    """Nobody there: paused. `done`: believed. It does not run a second time."""
    async with open_world(tmp_path, [call("exec", command="echo once >> log; sleep 300")]) as world:
        run = await world.start()
        await _until(world.workspace / "log")
    async with open_world(tmp_path, [say("done")]) as world:
        await world.kernel.supervisor.resume(run, by=OWNER)
        state = await world.kernel.runs.wait(run)
        assert state.status == "paused"
        assert "in doubt" in state.note
        await world.kernel.supervisor.resume(run, by=OWNER, resolution="done")
        state = await world.kernel.runs.wait(run)
        assert state.status == "finished"
        assert state.steps[0].ok
        assert (world.workspace / "log").read_text() == "once\n"


async def test_an_external_call_in_doubt_runs_again_only_when_a_person_says_retry(tmp_path: Path) -> None:
    """`retry` repeats it, with a second intent in the journal."""
    once = 'echo ran >> log; [ "$(wc -l < log)" -gt 1 ] || sleep 300'
    async with open_world(tmp_path, [call("exec", command=once)]) as world:
        run = await world.start()
        await _until(world.workspace / "log")
    async with open_world(tmp_path, [say("done")]) as world:
        await world.kernel.supervisor.resume(run, by=OWNER, resolution="retry")
        state = await world.kernel.runs.wait(run)
        assert state.status == "finished"
        assert (world.workspace / "log").read_text() == "ran\nran\n"
        assert len(await world.entries(run, "call.intent")) == 2


def _digest(content: str | None) -> str | None:
    return None if content is None else hashlib.sha256(content.encode()).hexdigest()


async def _cut_off_write(world: World) -> RunId:
    """A run whose newest entry is the intent of a write from "old" to "new", as a crash leaves it."""
    run = await world.start()
    first = call_id(run, 1)
    arguments = '{"path": "f.txt", "content": "new"}'
    reply: JsonObject = {
        "text": "",
        "calls": [{"call": first, "id": "m1", "name": "write", "arguments": arguments}],
    }
    mark: JsonObject = {
        "kind": "file",
        "mount": str(world.workspace),
        "inner": "f.txt",
        "before": _digest("old"),
        "after": _digest("new"),
    }
    intent: JsonObject = {"call": first, "tool": "write", "args": {}, "effect": "write", "caps": [], "mark": mark}
    journal = world.kernel.journal
    journal.append(Draft(agent(run), run, "model.reply", reply))
    await journal.append(Draft(agent(run), run, "call.intent", intent))
    return run


@pytest.mark.parametrize(
    ("found", "status", "left", "outcomes"),
    [("new", "finished", "new", 1), ("old", "finished", "new", 1), ("other", "paused", "other", 0)],
)
async def test_a_write_that_was_cut_off_is_settled_by_its_mark(
    tmp_path: Path, found: str, status: str, left: str, outcomes: int
) -> None:
    """Applied: believed. Not applied: done now. Something else there: in doubt, and left alone."""
    async with open_world(tmp_path, [Turn(hang=True)]) as world:
        (world.workspace / "f.txt").write_text("old")
        run = await _cut_off_write(world)
    (tmp_path / "work" / "f.txt").write_text(found)
    async with open_world(tmp_path, [say("done")]) as world:
        await world.kernel.supervisor.resume(run, by=OWNER)
        state = await world.kernel.runs.wait(run)
        assert state.status == status
        assert (world.workspace / "f.txt").read_text() == left
        assert len(await world.entries(run, "call.outcome")) == outcomes


async def test_a_message_to_a_live_agent_is_heard_before_its_next_reply(tmp_path: Path) -> None:
    """Said while a call runs, it follows the call's result."""
    script = [call("exec", command="echo begun > begun; while [ ! -e go ]; do sleep 0.01; done"), say("heard")]
    async with open_world(tmp_path, script) as world:
        run = await world.start()
        await _until(world.workspace / "begun")
        await world.kernel.supervisor.steer(run, "be brief", by=OWNER)
        (world.workspace / "go").touch()
        state = await world.kernel.runs.wait(run)
        roles = [(message.role, message.text) for message in state.messages[-3:]]
        assert [role for role, _ in roles] == ["tool", "user", "assistant"]
        assert roles[1][1] == "be brief"


_TALK = [
    calls(call("write", path="a.txt", content="1"), call("ls", path=".")),
    call("read", path="a.txt"),
    call("nonexistent"),
    say("the end"),
]


async def _history_of(world: World) -> tuple[RunId, tuple[Entry, ...]]:
    state = await world.run()
    await world.kernel.journal.flush()
    return state.run, (await read_history(world.kernel.journal, state.run)).entries


async def test_a_replay_ends_in_the_recorded_state_without_model_or_tool(tmp_path: Path) -> None:
    """Every decision is made again and is the same."""
    async with open_world(tmp_path, _TALK) as world:
        run, entries = await _history_of(world)
        (world.workspace / "a.txt").unlink()
        replayed = await replay(run, (), entries)
        assert replayed.divergence is None
        assert replayed.entries == len(entries)
        assert same_state(replayed.state, await world.kernel.runs.state(run))
        assert not (world.workspace / "a.txt").exists()


@pytest.mark.parametrize("dropped", ["model.reply", "call.outcome", "run.finished"])
async def test_a_replay_of_an_altered_record_names_where_it_differs(tmp_path: Path, dropped: str) -> None:
    """Leaving one entry out is found, or the state is not the recorded one."""
    async with open_world(tmp_path, _TALK) as world:
        run, entries = await _history_of(world)
        index = next(number for number, entry in enumerate(entries) if entry.kind == dropped)
        replayed = await replay(run, (), entries[:index] + entries[index + 1 :])
        recorded = await world.kernel.runs.state(run)
        assert replayed.divergence is not None or not same_state(replayed.state, recorded)


@pytest.mark.parametrize("step", [0, 1, 2])
async def test_a_fork_goes_on_from_the_step_asked_for(tmp_path: Path, step: int) -> None:
    """Its conversation is the original's up to that step, and its own from there."""
    script = [call("write", path="a.txt", content="1"), call("read", path="a.txt"), say("one"), say("two")]
    async with open_world(tmp_path, script) as world:
        original = await world.run()
        fork = await world.kernel.supervisor.fork(original.run, by=OWNER, step=step)
        state = await world.kernel.runs.wait(fork)
        assert (state.status, state.output, state.parent) == ("finished", "two", original.run)
        shared = 2 + 2 * step
        assert state.messages[:shared] == original.messages[:shared]
        assert state.turns == step + 1
        again = (await read_history(world.kernel.journal, fork)).state()
        assert same_state(again, state)


async def test_a_fork_of_a_step_that_never_was_is_refused(tmp_path: Path) -> None:
    """The error says which steps there are."""
    async with open_world(tmp_path, [say("one")]) as world:
        original = await world.run()
        with pytest.raises(Invalid, match="no step 7"):
            await world.kernel.supervisor.fork(original.run, by=OWNER, step=7)


async def test_a_run_is_its_owners_alone(tmp_path: Path) -> None:
    """Another person, whatever they hold, cannot stop it."""
    async with open_world(tmp_path, [Turn(hang=True)]) as world:
        run = await world.start()
        handle = world.kernel.handle(agent(run))
        with pytest.raises(AccessDenied):
            await handle.call("runs.cancel", {"run": run})
        assert run in world.kernel.supervisor.live


async def test_reads_of_one_reply_run_together(tmp_path: Path) -> None:
    """Their results answer the right calls, in order."""
    async with open_world(tmp_path, [calls(*(call("read", path=f"{n}.txt") for n in range(5))), say("done")]) as world:
        for number in range(5):
            (world.workspace / f"{number}.txt").write_text(f"text {number}")
        state = await world.run()
        assert [step.text for step in state.steps] == [f"text {number}" for number in range(5)]


class _Broken(ScriptedProvider):
    """A provider with a fault of its own."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        del request
        raise ZeroDivisionError
        yield Reply("", (), "stop", Usage(), "")


async def test_a_faulty_provider_pauses_its_run_and_not_the_kernel(tmp_path: Path) -> None:
    """An exception nobody foresaw becomes the run's note."""
    async with open_world(tmp_path, provider=_Broken(())) as world:
        state = await world.run()
        assert state.status == "paused"
        assert "ZeroDivisionError" in state.note
        assert world.kernel.journal.writable


@pytest.mark.parametrize(("tokens_max", "told"), [(9_000, 1), (100_000, 0)])
async def test_the_agent_is_told_once_when_most_of_its_budget_is_used(
    tmp_path: Path, tokens_max: int, told: int
) -> None:
    """At four fifths, before its next reply; with plenty left, not at all."""
    big = Usage(input_tokens=7_500, output_tokens=10)
    script = [replace(call("ls"), usage=big), call("ls", path="."), say("done")]
    async with open_world(tmp_path, script) as world:
        state = await world.run(budget=Budget(tokens_max=tokens_max))
        notes = [message for message in state.messages if message.role == "user" and "of your budget" in message.text]
        assert (state.status, len(notes)) == ("finished", told)
