"""Runs that are resumed with more budget, forked again, and read after an erasure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from kernel.boot import projectors
from kernel.directive import Budget
from kernel.errors import AccessDenied, Conflict, Invalid, OxiosError, ProviderDown
from kernel.ids import RunId, agent
from kernel.journal.entry import SYSTEM_STREAM
from kernel.ports.provider import Usage
from kernel.runtime.history import read_history
from kernel.runtime.replay import replay, same_state
from kernel.testing.provider import Turn, call, calls, say
from tests.journal_world import audit, database
from tests.world import OWNER, World, open_world

pytestmark = pytest.mark.anyio
_TALK = [
    calls(call("write", path="a.txt", content="1"), call("ls", path=".")),
    call("read", path="a.txt"),
    say("the end"),
]
_DOWN = [Turn(error=ProviderDown("gone", remedy="wait", retry_after_s=0))] * 3
"""As often as the engine tries."""
_BIG = Usage(input_tokens=7_500, output_tokens=10)


async def _require_replay(world: World, run: RunId) -> None:
    """The record replays, whole, into the state that the kernel has."""
    await world.kernel.journal.flush()
    history = await read_history(world.kernel.journal, run)
    replayed = await replay(run, history.prefix, history.entries)
    assert replayed.divergence is None
    assert replayed.entries == len(history.entries)
    assert same_state(replayed.state, await world.kernel.runs.state(run))


async def _resume(world: World, run: RunId, **arguments: Any) -> None:
    await world.kernel.handle(OWNER).call("runs.resume", {"run": run, **arguments})


_PRICED = {
    "providers.scripted.kind": "openai",
    "providers.scripted.base_url": "http://127.0.0.1:9/v1",
    "providers.scripted.input_usd_per_mtok": "100",
}


@pytest.mark.parametrize(
    ("budget", "raised"),
    [
        (Budget(tokens_max=8_000), {"tokens": 100_000}),
        (Budget(micro_usd_max=800_000), {"micro_usd": 10_000_000}),
    ],
)
async def test_a_paused_run_goes_on_with_a_raised_budget(
    tmp_path: Path, budget: Budget, raised: dict[str, int]
) -> None:
    """Without more it stops again at once; with more it finishes, and what it spent before counts."""
    script = [replace(call("ls"), usage=_BIG), call("ls", path="."), say("done")]
    async with open_world(tmp_path, script, settings=_PRICED) as world:
        run = await world.start(budget=budget)
        state = await world.kernel.runs.wait(run)
        assert (state.status, state.turns) == ("paused", 1)
        assert f"oxios runs resume {run} --" in state.note
        await _resume(world, run)
        assert (await world.kernel.runs.wait(run)).status == "paused"
        await _resume(world, run, **raised)
        state = await world.kernel.runs.wait(run)
        assert state.status == "finished"
        assert {"tokens": state.env.budget.tokens_max, "micro_usd": state.env.budget.micro_usd_max}.items() >= (
            raised.items()
        )
        assert state.usage.input_tokens > _BIG.input_tokens
        await _require_replay(world, run)


async def test_calls_are_counted_exactly_and_over_a_resume(tmp_path: Path) -> None:
    """Two allowed, two done, a third refused; model requests, refused and repeated calls are no calls."""
    script = [
        call("ls"),
        call("nonexistent"),
        *_DOWN,
        call("ls", path="."),
        call("ls", path="./"),
        say("done"),
    ]
    async with open_world(tmp_path, script) as world:
        run = await world.start(budget=Budget(calls_max=2))
        assert (await world.kernel.runs.wait(run)).status == "paused"
        await _resume(world, run)
        state = await world.kernel.runs.wait(run)
        assert [step.ok for step in state.steps] == [True, False, True, False]
        assert "budget" in state.steps[3].text
        assert (state.status, state.calls_spent) == ("finished", 2)
        await _require_replay(world, run)


async def test_a_budget_of_seconds_stops_a_call_under_way_and_more_lets_it_go_on(tmp_path: Path) -> None:
    """The program does not outlive it; resumed with more, the run goes on with what is in doubt."""
    script = [call("exec", command="echo begun > begun; sleep 300; echo late > late"), say("done")]
    async with open_world(tmp_path, script) as world:
        with anyio.fail_after(20):
            run = await world.start(budget=Budget(seconds_max=1.0))
            state = await world.kernel.runs.wait(run)
        assert state.status == "paused"
        assert f"oxios runs resume {run} --seconds" in state.note
        assert not (world.workspace / "late").exists()
        await _resume(world, run, resolution="skip", seconds=60)
        assert (await world.kernel.runs.wait(run)).status == "finished"
        await _require_replay(world, run)


async def test_only_one_of_two_resumes_at_once_is_taken(tmp_path: Path) -> None:
    """The run is carried once, however many ask for it in the same moment."""
    script = [*_DOWN, call("write", path="a", content="1"), say("done")]
    async with open_world(tmp_path, script) as world:
        run = await world.start()
        await world.kernel.runs.wait(run)
        refused: list[OxiosError] = []

        async def one() -> None:
            try:
                await world.kernel.supervisor.resume(run, by=OWNER)
            except Conflict as error:
                refused.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(one)
        assert (await world.kernel.runs.wait(run)).status == "finished"
        assert len(refused) == 2
        assert len(await world.entries(run, "run.resumed")) == 1


async def test_nobody_but_its_owner_raises_a_runs_budget(tmp_path: Path) -> None:
    """The agent itself, above all, does not."""
    async with open_world(tmp_path, _DOWN) as world:
        run = await world.start()
        await world.kernel.runs.wait(run)
        with pytest.raises(AccessDenied):
            await world.kernel.handle(agent(run)).call("runs.resume", {"run": run, "tokens": 10**9})
        with pytest.raises(Invalid, match="tokens"):
            await _resume(world, run, tokens=0)


async def test_a_fork_of_a_fork_goes_on_from_every_step_it_inherited(tmp_path: Path) -> None:
    """Steps of the first run, of the fork, and its final answer with something to say to it."""
    async with open_world(tmp_path, [*_TALK, say("second"), *[say(f"third {n}") for n in range(5)]]) as world:
        first = await world.run()
        second = await world.kernel.supervisor.fork(first.run, by=OWNER, step=2)
        await world.kernel.runs.wait(second)
        for step in range(3):
            third = await world.kernel.supervisor.fork(second, by=OWNER, step=step)
            state = await world.kernel.runs.wait(third)
            assert (state.status, state.output, state.turns) == ("finished", f"third {step}", step + 1)
            assert state.messages[: 2 + step] == first.messages[: 2 + step]
            await _require_replay(world, third)
        with pytest.raises(Invalid, match="no step 3") as refused:
            await world.kernel.supervisor.fork(second, by=OWNER, step=3)
        assert "0, 1, 2" in refused.value.remedy
        third = await world.kernel.supervisor.fork(second, by=OWNER, step=3, text="and then?")
        state = await world.kernel.runs.wait(third)
        assert [message.text for message in state.messages[-3:]] == ["second", "and then?", "third 3"]
        await _require_replay(world, third)


@pytest.mark.parametrize("kind", ["run.started", "model.reply", "call.intent", "call.outcome"])
async def test_a_run_of_which_something_was_erased_says_so_and_does_not_go_on(tmp_path: Path, kind: str) -> None:
    """It is neither resumed (what was done could be done again) nor forked after that point; it can be cancelled."""
    script = [call("write", path="a", content="secret"), *_DOWN]
    async with open_world(tmp_path, script) as world:
        run = (await world.run()).run
        entry = (await world.entries(run, kind))[0]
        await world.kernel.journal.erase(entry.digest, OWNER, "a secret")
        with pytest.raises(Invalid, match="erased") as refused:
            await _resume(world, run)
        assert str(entry.seq) in refused.value.message
        with pytest.raises(Invalid, match="erased"):
            await world.kernel.supervisor.fork(run, by=OWNER)
        if kind != "run.started":
            await world.kernel.handle(OWNER).call("runs.cancel", {"run": run})
            rows = await world.kernel.journal.rows("runs", {"id": run})
            assert rows[0]["status"] == "cancelled"


async def test_a_run_forks_before_what_was_erased(tmp_path: Path) -> None:
    """A step that rests on nothing erased is as good as before."""
    async with open_world(tmp_path, [*_TALK, say("again")]) as world:
        run = (await world.run()).run
        entry = (await world.entries(run, "model.reply"))[1]
        await world.kernel.journal.erase(entry.digest, OWNER, "a secret")
        fork = await world.kernel.supervisor.fork(run, by=OWNER, step=1)
        assert (await world.kernel.runs.wait(fork)).output == "again"
        with pytest.raises(Invalid, match="erased"):
            await world.kernel.supervisor.fork(run, by=OWNER, step=2)


async def test_words_that_are_erased_leave_the_derived_tables_too(tmp_path: Path) -> None:
    """The goal is in no list and nowhere in the database any more; the run is listed still, and all verifies."""
    secret = "tell nobody about the blue door"
    async with open_world(tmp_path, [say("done")]) as world:
        run = await world.start(secret)
        await world.kernel.runs.wait(run)
        for kind, stream in (("run.started", run), ("call.intent", SYSTEM_STREAM)):
            for entry in await world.kernel.journal.read(stream=stream, kind=kind):
                if secret in str(entry.payload):
                    await world.kernel.journal.erase(entry.digest, OWNER, "private")
        rows = await world.kernel.journal.rows("runs", {"id": run})
        assert (rows[0]["goal"], rows[0]["status"]) == ("", "finished")
    assert secret.encode() not in database(tmp_path / "home").read_bytes()
    report = audit(tmp_path / "home", projectors=projectors({}))
    assert report.findings == []


async def test_an_approval_whose_question_was_erased_is_listed_without_it(tmp_path: Path) -> None:
    """Who was asked and what was answered stays."""
    async with open_world(tmp_path, [call("exec", command="echo blue-door"), say("done")]) as world:
        run = await world.start(approve="manual")
        await world.kernel.runs.wait(run)
        asked = (await world.entries(run, "approval.asked"))[0]
        await world.kernel.journal.erase(asked.digest, OWNER, "private")
        (row,) = await world.kernel.approvals.listed()
        assert (row.status, row.question.target, row.run) == ("denied", "", run)
