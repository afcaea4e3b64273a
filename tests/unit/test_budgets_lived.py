"""Budgets as runs, sessions and their models live them: told at 80 %, stopped at 100 %, raised, and counted alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.lowlevel
import pytest

from kernel.boot import Kernel, open_kernel
from kernel.clock import SystemClock
from kernel.directive import Budget, Directive, ExecEnv, Mount
from kernel.errors import AccessDenied, BudgetExhausted, Invalid, NotFound
from kernel.ids import RunId, user
from kernel.ports.provider import ModelEvent, ModelRequest, Overloaded, ProviderDown, Usage
from kernel.runtime.state import RunState
from kernel.settings import load_settings
from kernel.testing.provider import ScriptedProvider, Turn, call, say
from tests.cycle_world import TRIVIAL, open_cycle, told
from tests.world import OWNER, World, open_world

pytestmark = pytest.mark.anyio
ACCOUNT: Final = RunId("s1")
PRICED: Final = {
    "providers.scripted.base_url": "http://127.0.0.1:9/v1",
    "providers.scripted.input_usd_per_mtok": "1",
    "providers.scripted.output_usd_per_mtok": "1",
}
"""So that a token costs a micro-dollar."""
_CAP: Final = 20_000
_BIG: Final = Usage(input_tokens=40, output_tokens=8_000)
_LOST: Final = Turn(error=ProviderDown("dropped", kind="network", retry_after_s=0))
_REFUSED: Final = Turn(error=Overloaded("busy", retry_after_s=0))


def _ls(number: int, usage: Usage = _BIG) -> Turn:
    return replace(call("ls", path="./" * number), usage=usage)


async def _payloads(world: World, run: RunId, kind: str) -> list[dict[str, Any]]:
    return [dict(entry.payload or {}) for entry in await world.entries(run, kind)]


async def _asked(provider: ScriptedProvider, times: int) -> None:
    with anyio.fail_after(10):
        while len(provider.requests) < times:
            await anyio.lowlevel.checkpoint()


def _told(state: RunState) -> list[str]:
    return [message.text for message in state.messages if message.role == "user" and "of your budget" in message.text]


async def _start(world: World, budget: Budget, account: str = "") -> RunId:
    env = ExecEnv(mounts=(Mount(str(world.workspace)),), budget=budget, model="scripted/model")
    return await world.kernel.runs.start(Directive("go"), env, owner=OWNER, account=account)


async def _call(world: World, name: str, stream: RunId = ACCOUNT, **arguments: Any) -> None:
    await world.kernel.handle(OWNER, run=stream).call(name, arguments)


@pytest.mark.parametrize("shared", [False, True], ids=["run", "account"])
@pytest.mark.parametrize(("cap", "flag"), [("tokens", "--tokens"), ("micro_usd", "--usd")])
async def test_told_at_four_fifths_stopped_at_the_cap_and_gone_on_with_more(
    tmp_path: Path, cap: str, flag: str, shared: bool
) -> None:
    """Of a run's own budget and of one it shares; the note names the command that raises which."""
    caps: dict[str, Any] = {f"{cap}_max": _CAP}
    script = [_ls(1), _ls(2), _ls(3, Usage(3_500, 200)), _ls(4), say("done")]
    async with open_world(tmp_path, script, settings=PRICED) as world:
        if shared:
            await _call(world, "budget.open", **caps)
        run = await _start(world, Budget() if shared else Budget(**caps), ACCOUNT if shared else "")
        state = await world.kernel.runs.wait(run)
        assert state.status == "paused"
        assert len(_told(state)) == 1
        assert f"of {_CAP} {cap.replace('micro_usd', 'micro-dollars')} of" in _told(state)[0]
        command = f"oxios sessions budget {ACCOUNT} {flag}" if shared else f"oxios runs resume {run} {flag}"
        assert command in state.note
        spent = state.spent.tokens if cap == "tokens" else state.spent.micro_usd
        assert _CAP * 0.8 <= spent <= _CAP
        if shared:
            await _call(world, "budget.raise", ACCOUNT, **dict.fromkeys(caps, 100_000))
            await _call(world, "runs.resume", run=run)
        else:
            await _call(world, "runs.resume", ACCOUNT, run=run, **{cap: 100_000})
        assert (await world.kernel.runs.wait(run)).status == "finished"


@pytest.mark.parametrize("shared", [False, True], ids=["run", "account"])
async def test_calls_are_told_of_at_four_fifths_and_refused_at_the_cap(tmp_path: Path, shared: bool) -> None:
    """The model reads the refusal and ends with what there is."""
    script = [_ls(number, Usage(10, 5)) for number in range(1, 8)]
    async with open_world(tmp_path, [*script, say("done")]) as world:
        if shared:
            await _call(world, "budget.open", calls_max=5)
        run = await _start(world, Budget() if shared else Budget(calls_max=5), ACCOUNT if shared else "")
        state = await world.kernel.runs.wait(run)
        assert (state.status, state.spent.calls, len(_told(state))) == ("finished", 5, 1)
        assert [step.ok for step in state.steps] == [True] * 5 + [False] * 2
        assert ("oxios sessions budget" in state.steps[-1].text) is shared


class _Ahead(SystemClock):
    """Its time is moved on by the provider."""

    ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


@dataclass(slots=True)
class _Slow:
    """Each answer takes 45 of a clock's seconds."""

    clock: _Ahead
    scripted: ScriptedProvider
    name: str = "scripted"
    endpoint: str = ""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.clock.ahead_s += 45
        async for event in self.scripted.stream(request):
            yield event

    async def aclose(self) -> None:
        await self.scripted.aclose()


async def test_seconds_are_told_of_and_stop_the_run_until_there_are_more(tmp_path: Path) -> None:
    """Of a hundred seconds, ninety are four fifths; resumed with two hundred it ends."""
    clock = _Ahead()
    slow = _Slow(clock, ScriptedProvider([*(_ls(number) for number in range(1, 4)), say("done")]))
    settings = load_settings(home=tmp_path / "home", cwd=tmp_path, env={})
    async with open_kernel(settings, operator=OWNER, clock=clock, more_providers={"scripted": slow}) as kernel:
        world = World(kernel, tmp_path)
        run = await _start(world, Budget(seconds_max=100.0))
        state = await kernel.runs.wait(run)
        assert (state.status, len(_told(state))) == ("paused", 1)
        assert "seconds" in _told(state)[0]
        assert f"oxios runs resume {run} --seconds" in state.note
        await _call(world, "runs.resume", run=run, seconds=400)
        assert (await kernel.runs.wait(run)).status == "finished"


async def test_ledger_and_record_agree_on_every_kind_of_attempt(tmp_path: Path) -> None:
    """What may have been billed counts in full, a refusal nothing, a claim beyond the bound what can be true."""
    script = [_REFUSED, _ls(1, Usage(reported=False)), _LOST, _ls(2, Usage(10**9, 10**9)), say("done")]
    async with open_world(tmp_path, script, settings=PRICED) as world:
        await _call(world, "budget.open", tokens_max=10**6, micro_usd_max=10**6)
        state = await world.kernel.runs.wait(await _start(world, Budget(), ACCOUNT))
        assert state.status == "finished", state.note
        used = world.kernel.supervisor.dispatcher.budgets.used(ACCOUNT)
        assert used == state.spent
        failed = await _payloads(world, state.run, "model.failed")
        assert [one.get("tokens", 0) > 0 for one in failed] == [False, True]
        reserved = await _payloads(world, state.run, "model.reserved")
        replies = await _payloads(world, state.run, "model.reply")
        assert [one.get("tokens") for one in replies[:2]] == [reserved[1]["tokens"], reserved[3]["tokens"]]
        assert len(reserved) == len(failed) + len(replies) == 5
    async with open_world(tmp_path, [], settings=PRICED) as world:
        await _call(world, "budget.open", tokens_max=1)
        assert world.kernel.supervisor.dispatcher.budgets.used(ACCOUNT) == used


async def test_without_a_cap_nothing_is_reserved_on_record(tmp_path: Path) -> None:
    """A run that nothing bounds waits for no commit before its requests."""
    async with open_world(tmp_path, [_ls(1), say("done")]) as world:
        run = await _start(world, Budget(calls_max=5))
        assert (await world.kernel.runs.wait(run)).status == "finished"
        assert await world.entries(run, "model.reserved") == []


async def test_a_fork_spends_from_the_fork_on(tmp_path: Path) -> None:
    """Its budget is as large as its parent's was, and what the parent spent is not in it."""
    script = [_ls(1), _ls(2), say("done"), replace(say("again"), usage=Usage(40, 7_000))]
    async with open_world(tmp_path, script) as world:
        first = await world.kernel.runs.wait(await _start(world, Budget(tokens_max=40_000)))
        assert first.spent.tokens > 16_000
        fork = await world.kernel.supervisor.fork(first.run, by=OWNER, step=2)
        state = await world.kernel.runs.wait(fork)
        assert (state.status, state.spent.tokens, state.spent.calls) == ("finished", 7_040, 0)
        assert state.usage == Usage(40, 7_000)
        assert (await world.kernel.supervisor.state(fork)).spent == state.spent


async def test_a_stopped_request_counts_and_says_so(tmp_path: Path) -> None:
    """Cancelled in the middle of an answer, it is settled in full, with a receipt."""
    provider = ScriptedProvider([Turn(hang=True)])
    async with open_world(tmp_path, provider=provider) as world:
        await _call(world, "budget.open", tokens_max=100_000)
        run = await _start(world, Budget(), ACCOUNT)
        await _asked(provider, 1)
        state = await world.kernel.supervisor.cancel(run, by=OWNER)
        (failed,) = await _payloads(world, run, "model.failed")
        assert failed["class"] == "cancelled"
        assert failed["tokens"] == state.spent.tokens > 0
        assert world.kernel.supervisor.dispatcher.budgets.used(ACCOUNT) == state.spent


async def test_a_run_resumed_apart_from_its_session_still_draws_on_its_budget(tmp_path: Path) -> None:
    """Nobody opened the account in this life: it is opened as the record has it."""
    async with open_world(tmp_path, [_ls(1), *[_LOST] * 3], settings=PRICED) as world:
        await _call(world, "budget.open", tokens_max=_CAP * 3)
        run = await _start(world, Budget(), ACCOUNT)
        before = (await world.kernel.runs.wait(run)).spent
    async with open_world(tmp_path, [_ls(2), say("done")], settings=PRICED) as world:
        budgets = world.kernel.supervisor.dispatcher.budgets
        await _call(world, "runs.resume", run=run)
        state = await world.kernel.runs.wait(run)
        assert state.spent.tokens > before.tokens
        assert budgets.used(ACCOUNT) == state.spent
        assert budgets.remaining(ACCOUNT).tokens_max == _CAP * 3 - state.spent.tokens


async def test_a_question_after_a_restart_draws_on_what_is_left(tmp_path: Path) -> None:
    """Nobody opened the session's budget in this life: asking does, and is refused where nothing is left."""
    asked: dict[str, Any] = {"model": "scripted/model", "purpose": "assess"}
    asked["messages"] = [{"role": "user", "text": "hello"}]
    async with open_world(tmp_path, [replace(say("hi"), usage=_BIG)]) as world:
        await _call(world, "budget.open", tokens_max=8_300)
        await _call(world, "ask_model", **asked)
    async with open_world(tmp_path, [say("never asked")]) as world:
        with pytest.raises(BudgetExhausted, match="of s1 is 8300 tokens"):
            await _call(world, "ask_model", **asked)


async def test_a_live_run_is_put_under_an_account_that_opens_later(tmp_path: Path) -> None:
    """What it has spent, and what is set aside for it, count there from then on."""
    provider = ScriptedProvider([_ls(1), Turn(hang=True)])
    async with open_world(tmp_path, provider=provider) as world:
        budgets = world.kernel.supervisor.dispatcher.budgets
        run = await _start(world, Budget(tokens_max=50_000), ACCOUNT)
        await _asked(provider, 2)
        await _call(world, "budget.open", tokens_max=100_000)
        assert budgets.used(ACCOUNT) == budgets.used(run)
        state = await world.kernel.supervisor.cancel(run, by=OWNER)
        assert budgets.used(ACCOUNT) == state.spent


async def test_an_account_is_its_openers_alone(tmp_path: Path) -> None:
    """Nobody else starts runs on it or raises it; a stream without one has nothing to raise."""
    async with open_world(tmp_path) as world:
        accounts = world.kernel.supervisor.accounts
        await _call(world, "budget.open", tokens_max=5)
        other = user("other")
        with pytest.raises(AccessDenied, match="user:tester's"):
            await accounts.allow(ACCOUNT, Budget(tokens_max=9), by=other)
        with pytest.raises(AccessDenied, match="user:tester's"):
            await accounts.join(ACCOUNT, RunId("r1"), owner=other, by=other)
        with pytest.raises(NotFound, match="no budget was opened"):
            await _call(world, "budget.raise", RunId("s2"), tokens_max=9)
        with pytest.raises(Invalid, match="nothing to raise"):
            await _call(world, "budget.raise")


async def test_a_session_counts_its_failed_phases_and_its_runs_as_the_ledger_does(tmp_path: Path) -> None:
    """Ledger, session and, after a restart, ledger again: the same to the token."""
    script = [_LOST, told(TRIVIAL), _REFUSED, _LOST, call("ls"), say("done")]
    budget = Budget(tokens_max=10**6)
    async with open_cycle(tmp_path, script, budget=budget) as world:
        assert (await world.cycle.run("look around")).status == "done"
        used = _ledger(world.kernel).used(world.session.id)
        session, spent = world.session.id, world.session.tokens
        assert spent == used.tokens > 2 * 8_192
    async with open_cycle(tmp_path, [told(TRIVIAL), say("done")], budget=budget, session=session) as world:
        assert world.session.tokens == spent
        await world.kernel.supervisor.accounts.reopen(session)
        assert _ledger(world.kernel).used(session) == used


async def test_asking_outside_a_run_records_each_attempt_and_takes_the_phase_s_route(tmp_path: Path) -> None:
    """Failures, the model that stood in, and a route of the phase: as in a run, with one receipt an attempt."""
    settings = {
        "providers.scripted.base_url": "http://127.0.0.1:9/v1",
        "routing.phases.assess": "scripted/small",
        "routing.fallbacks": '["scripted/spare"]',
    }
    script = [_LOST, _LOST, _LOST, say("from the spare")]
    arguments: dict[str, Any] = {"model": "scripted/model", "purpose": "assess"}
    arguments["messages"] = [{"role": "user", "text": "hello"}]
    async with open_cycle(tmp_path, script, settings=settings, budget=Budget(tokens_max=10**6)) as world:
        handle = world.kernel.handle(OWNER, run=world.session.id)
        await handle.call("budget.open", {"tokens_max": 10**6})
        result = await handle.call("ask_model", arguments)
        assert result.text == "from the spare"
        asked = [request.model for request in world.provider.requests]
        assert asked == ["small", "small", "small", "model"]
        kinds = [entry.kind for entry in await world.entries() if entry.kind.startswith("model.")]
        attempt = ["model.reserved", "model.failed"]
        assert kinds == ["model.request", *attempt * 3, "model.fallback", "model.reserved", "model.reply"]


def _ledger(kernel: Kernel) -> Any:
    return kernel.supervisor.dispatcher.budgets
