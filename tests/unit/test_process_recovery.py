"""Runs that a restart, a crash or a provider cut off."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kernel.errors import Invalid, ProviderDown
from kernel.ids import RunId, agent, call_id
from kernel.journal.entry import Draft
from kernel.jsontypes import JsonObject
from kernel.ports.provider import ModelEvent, ModelRequest, Reply, Usage
from kernel.testing.provider import ScriptedProvider, Turn, call, say
from tests.world import OWNER, World, open_world, until

pytestmark = pytest.mark.anyio


async def test_a_provider_that_is_down_pauses_the_run_and_a_resume_goes_on(tmp_path: Path) -> None:
    """Nothing of what was done is lost."""
    down = Turn(error=ProviderDown("it is down", remedy="wait"))
    script = [call("write", path="a.txt", content="x"), down, down, down, say("done")]
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


async def test_a_run_that_the_kernel_left_goes_on_in_the_next_one(tmp_path: Path) -> None:
    """Closing the kernel interrupts, a new kernel resumes, finished calls are not repeated."""
    async with open_world(tmp_path, [call("write", path="a.txt", content="x"), Turn(hang=True)]) as world:
        run = await world.start()
        await until(world.workspace / "a.txt")
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
        await until(world.workspace / "log")
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
        await until(world.workspace / "log")
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
