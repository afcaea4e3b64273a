"""Outputs too long for a model, read page by page by reference."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from kernel.errors import AccessDenied, NotFound
from kernel.ids import Digest, RunId, user
from kernel.limits import MODEL_RESULT_BYTES_MAX
from kernel.ports.provider import CUT_MARK, ModelEvent, ModelRequest
from kernel.runtime.history import read_history
from kernel.runtime.replay import replay, same_state
from kernel.testing.provider import ScriptedProvider, Turn, call, say
from tests.world import World, open_world

pytestmark = pytest.mark.anyio

LINES: Final = 9_000
PRINT: Final = f"i=0; while [ $i -lt {LINES} ]; do echo line $i é; i=$((i+1)); done"
WHOLE: Final = "".join(f"line {number} é\n" for number in range(LINES))


class _Pager(ScriptedProvider):
    """Prints something long, then reads on from where each result says, until the end."""

    def __init__(self) -> None:
        super().__init__([])
        self.pages: list[str] = []

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        last = request.messages[-1].text
        self._script = (*self._script, self._next(last))
        async for event in super().stream(request):
            yield event

    def _next(self, last: str) -> Turn:
        if len(self._script) == 0:
            return call("exec", command=PRINT)
        if CUT_MARK in last:
            name, offset = last.partition('"call": "')[2].split('"', 1)[0], last.partition('"offset": ')[2]
            self.pages.append(last.partition("\n[… ")[0])
            self.reference = name
            return call("read_output", call=name, offset=int(offset.partition("}")[0]))
        self.pages.append(last.rpartition("\n[bytes ")[0])
        more = last.rpartition("offset=")[2].partition("]")[0]
        if not more.isdigit():
            return say("read it all")
        return call("read_output", call=self.reference, offset=int(more), limit=15_000)


async def _printed(world: World, run: RunId) -> str:
    (outcome, *_) = await world.entries(run, "call.outcome")
    assert outcome.payload is not None
    return str(outcome.payload["call"])


async def test_every_byte_of_a_long_output_can_be_read_by_reference(tmp_path: Path) -> None:
    """Head and pages joined are what the program printed, and each fits what a model is given."""
    pager = _Pager()
    async with open_world(tmp_path, provider=pager, settings={"approval.mode": "auto"}) as world:
        state = await world.run()
        assert (state.status, state.output) == ("finished", "read it all")
        assert "".join(pager.pages).startswith(WHOLE)
        assert all(len(message.text.encode()) <= MODEL_RESULT_BYTES_MAX for message in state.messages[2:])
        await world.kernel.journal.flush()
        history = await read_history(world.kernel.journal, state.run)
        replayed = await replay(state.run, history.prefix, history.entries)
        assert replayed.divergence is None
        assert same_state(replayed.state, state)


async def test_an_output_beyond_its_end_and_an_unknown_call_are_told_with_what_there_is(tmp_path: Path) -> None:
    """The error names the last offset, or the outputs that were cut."""
    turns = [
        call("exec", command=PRINT),
        call("read_output", call="nothing.1"),
        call("read_output", call="CALL", offset=10**9),
        say("done"),
    ]
    provider = _Named(turns)
    async with open_world(tmp_path, provider=provider, settings={"approval.mode": "auto"}) as world:
        state = await world.run()
        unknown, beyond = (message.text for message in state.messages if message.role == "tool" and message.is_error)
        named = await _printed(world, state.run)
        assert named in unknown
        assert f"choose an offset from 0 to {len(WHOLE.encode()) - 1}" in beyond


class _Named(ScriptedProvider):
    """Puts the id of the run's first call where a script says CALL."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        shown = next((m.text for m in request.messages if CUT_MARK in m.text), "")
        name = shown.partition('"call": "')[2].split('"', 1)[0]
        index = len(self.requests)
        script = list(self._script)
        script[index] = Turn(
            script[index].text,
            tuple(type(one)(one.id, one.name, one.arguments.replace("CALL", name)) for one in script[index].calls),
        )
        self._script = tuple(script)
        async for event in super().stream(request):
            yield event


async def test_no_run_reads_the_output_of_another_but_a_fork_reads_what_it_was_forked_from(tmp_path: Path) -> None:
    """A reference is no authority: it is looked up in the run's own record, the forked part included."""
    first = [call("exec", command=PRINT), say("printed")]
    async with open_world(tmp_path, first, settings={"approval.mode": "auto"}) as world:
        parent = await world.run()
        reference = await _printed(world, parent.run)
        await world.kernel.journal.flush()

    read = call("read_output", call=reference, offset=20_000, limit=100)
    provider = ScriptedProvider([read, say("stranger"), read, say("fork")])
    async with open_world(tmp_path, provider=provider) as world:
        stranger = await world.run()
        assert [step.ok for step in stranger.steps] == [False]
        assert "no output of a call" in stranger.steps[0].text
        fork = await world.kernel.supervisor.fork(parent.run, by=world.kernel.operator, text="go on")
        state = await world.kernel.runs.wait(fork)
        assert [step.ok for step in state.steps] == [True, True]
        assert state.steps[1].text.partition("\n[bytes ")[0] in WHOLE
        assert "of the output of " + reference in state.steps[1].text


async def test_a_person_reads_only_outputs_of_runs_of_their_own(tmp_path: Path) -> None:
    """Through a handle the same call is refused where the run is another's."""
    async with open_world(tmp_path, [call("ls"), say("done")]) as world:
        state = await world.run()
        (named,) = [step.call for step in state.steps]
        mine = await world.kernel.handle(world.kernel.operator, state.run).call("read_output", {"call": named})
        assert "is empty" in mine.text
        with pytest.raises(AccessDenied):
            await world.kernel.handle(user("other"), state.run).call("read_output", {"call": named})


async def test_an_output_that_was_erased_is_said_to_be_gone(tmp_path: Path) -> None:
    """What was taken out of the journal stays out: the call fails with why."""
    turns = [call("exec", command=PRINT), say("done")]
    async with open_world(tmp_path, turns, settings={"approval.mode": "auto"}) as world:
        state = await world.run()
        step = state.steps[0]
        await world.kernel.journal.erase(Digest(step.blob), by=world.kernel.operator, reason="asked for")
        with pytest.raises(NotFound) as gone:
            await world.kernel.handle(world.kernel.operator, state.run).call("read_output", {"call": step.call})
        assert "erased" in gone.value.explain()
