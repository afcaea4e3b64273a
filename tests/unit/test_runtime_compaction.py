"""Runs longer than their model's window: cut, summed up, and gone on with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from kernel.ports.provider import ContextOverflow, ModelEvent, ModelRequest, Reply, TextDelta, Usage
from kernel.runtime.history import read_history
from kernel.runtime.live import LiveEvent, LiveText
from kernel.runtime.replay import replay, same_state
from kernel.testing.provider import ScriptedProvider, Turn, call, say
from tests.world import MODEL, World, open_world

pytestmark = pytest.mark.anyio

_SMALL = 6_000


class _Remote(ScriptedProvider):
    """A scripted model that counts as a real one: asked to sum up, it does, beside its script."""

    @property
    def endpoint(self) -> str:
        return "model.example:443"

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        if "older steps are taken out" in request.messages[0].text:
            yield TextDelta("A model's summary.")
            yield Reply("A model's summary.", (), "stop", Usage(50, 7), "scripted/model")
            return
        async for event in super().stream(request):
            yield event


def _reads(count: int) -> list[Turn]:
    quiet = Usage(reported=False)
    return [replace(call("read", path=f"{number}.txt"), usage=quiet) for number in range(count)]


def _fill(world: World, count: int) -> None:
    for number in range(count):
        (world.workspace / f"{number}.txt").write_text(f"file {number}\n" + f"{number} " * 1500)


_NARROW: Final = {f"models.{MODEL}.context": str(_SMALL)}


async def test_a_long_run_is_cut_within_its_window_and_finishes(tmp_path: Path) -> None:
    """Every request fits, the goal stays, and the record says what was taken out."""
    provider = ScriptedProvider([*_reads(12), say("done")])
    async with open_world(tmp_path, provider=provider, settings=_NARROW) as world:
        _fill(world, 12)
        state = await world.run("keep this goal")
        assert (state.status, state.output) == ("finished", "done")
        assert state.compactions >= 1
        assert len(await world.entries(state.run, "context.compacted")) == state.compactions
        assert "keep this goal" in state.messages[1].text
        assert "read" in state.messages[2].text


async def test_a_model_sums_up_what_is_taken_out(tmp_path: Path) -> None:
    """Its words stand in the place of the steps, and cost is counted."""
    provider = _Remote([*_reads(4), say("done")])
    async with open_world(tmp_path, provider=provider, settings=_NARROW) as world:
        _fill(world, 4)
        state = await world.run()
        assert state.status == "finished"
        assert "> A model's summary." in state.messages[2].text
        assert state.usage.input_tokens >= 50


async def test_what_is_shown_as_it_comes_is_what_the_agent_says(tmp_path: Path) -> None:
    """A summary of what was taken out is nothing that the agent says; its own text names its request."""
    heard: list[LiveEvent] = []
    async with open_world(tmp_path, provider=_Remote([*_reads(4), say("done")]), settings=_NARROW) as world:
        _fill(world, 4)
        world.kernel.bus.subscribe(None, heard.append)
        state = await world.run()
        assert state.compactions >= 1
    assert heard == [LiveText(state.run, "done", 5)]


async def test_an_overflow_is_cut_and_asked_again_once(tmp_path: Path) -> None:
    """A provider that says it is too long gets a shorter conversation; a second time the run fails."""
    overflow = Turn(error=ContextOverflow("too long", remedy="send less"))
    once = ScriptedProvider([*_reads(6), overflow, say("done")])
    async with open_world(tmp_path, provider=once) as world:
        _fill(world, 6)
        state = await world.run()
        assert (state.status, state.compactions) == ("finished", 1)


async def test_an_overflow_that_stays_ends_the_run(tmp_path: Path) -> None:
    """Nothing loops: after one cut the provider's word is final."""
    overflow = Turn(error=ContextOverflow("too long", remedy="send less"))
    async with open_world(tmp_path, [*_reads(6), overflow, overflow]) as world:
        _fill(world, 6)
        state = await world.run()
        assert state.status == "failed"
        assert "too long" in state.note


async def test_a_compacted_run_is_read_back_and_replayed_alike(tmp_path: Path) -> None:
    """The fold of the record is the state that lived, and a replay ends in it."""
    overflow = Turn(error=ContextOverflow("too long", remedy="send less"))
    provider = _Remote([*_reads(5), overflow, say("done")])
    async with open_world(tmp_path, provider=provider) as world:
        _fill(world, 5)
        state = await world.run()
        await world.kernel.journal.flush()
        history = await read_history(world.kernel.journal, state.run)
        assert same_state(history.state(), state)
        replayed = await replay(state.run, history.prefix, history.entries)
        assert replayed.divergence is None
        assert same_state(replayed.state, state)
