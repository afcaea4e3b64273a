"""Replays and forks of recorded runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel.errors import Invalid
from kernel.ids import RunId
from kernel.journal.entry import Entry
from kernel.runtime.history import read_history
from kernel.runtime.replay import replay, same_state
from kernel.testing.provider import call, calls, say
from tests.world import OWNER, World, open_world

pytestmark = pytest.mark.anyio
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
