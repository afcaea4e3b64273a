"""Wrong addresses under a whole kernel, over both wire formats: what a run says, and what it pays."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kernel.directive import Directive, ExecEnv, Mount
from kernel.gate.request import Cost
from kernel.ids import RunId
from kernel.runtime.state import RunState
from kernel.testing.model_server import Answer, Fault, Raw, Reaction, Scene
from tests.e2e.provider_place import DONE, HALF, OWNER, WIRES, WRITE, Place, fault, nothing_is_lost, place

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("wire", WIRES)]

PAGE = Raw(b"<html><head><title>Sign in to ACME</title></head></html>", "text/html")
ACCOUNT = RunId("s1")


@contextmanager
def _nobody() -> Generator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


async def _run(here: Place) -> RunState:
    """A run that draws on a capped account, which stays open after it."""
    await here.kernel.handle(OWNER, run=ACCOUNT).call("budget.open", {"tokens_max": 200_000})
    env = ExecEnv(mounts=(Mount(str(here.work)),), model="bad/m")
    run = await here.kernel.runs.start(Directive("Write a.txt."), env, owner=OWNER, account=ACCOUNT)
    return await here.kernel.runs.wait(run)


async def _paid(here: Place, state: RunState) -> tuple[int, list[int]]:
    """Tokens that the ledger, the run's own fold and its receipts agree on; and those of each failure."""
    failed = [int(str(one.get("tokens", 0))) for one in await here.said(state.run, "model.failed")]
    replies = await here.said(state.run, "model.reply")
    used = here.kernel.supervisor.dispatcher.budgets.used(ACCOUNT)
    assert used.tokens == state.spent.tokens
    answered = state.usage.input_tokens + state.usage.output_tokens
    assert used.tokens == sum(failed) + answered
    assert len(await here.said(state.run, "model.reserved")) == len(failed) + len(replies)
    return used.tokens, failed


async def test_where_nobody_listens_nothing_is_owed(tmp_path: Path, wire: str) -> None:
    """Three attempts under a cap, each settled at nothing; the run pauses, and says where it looked."""
    with _nobody() as url:
        async with place(tmp_path, wire, [], {"providers.bad.base_url": url}) as here:
            state = await _run(here)
            assert state.status == "paused"
            assert f"cannot be reached at {url}" in state.note
            assert "Connection refused" in state.note
            assert "check providers.bad.base_url and the network; then resume the run" in state.note
            assert await _paid(here, state) == (0, [0, 0, 0])
            assert state.spent == Cost(calls=0)


@pytest.mark.parametrize(
    "reaction", [Scene(Raw(b""), then="drop"), Scene(HALF, then="drop"), fault(524), fault(502), fault(408)]
)
async def test_what_may_have_been_answered_is_owed_in_full(tmp_path: Path, wire: str, reaction: Reaction) -> None:
    """A connection that was lost after the request, or a gateway that gave up on it, stays charged."""
    async with place(tmp_path, wire, [reaction, DONE]) as here:
        state = await _run(here)
        assert (state.status, state.output) == ("finished", DONE.text), state.note
        reserved = (await here.said(state.run, "model.reserved"))[0]
        _, failed = await _paid(here, state)
        assert failed == [reserved["tokens"]]


@pytest.mark.parametrize("reaction", [fault(500), fault(503), fault(529), fault(429)])
async def test_what_was_refused_is_not_owed(tmp_path: Path, wire: str, reaction: Reaction) -> None:
    """The model's own server said that it answers nothing."""
    async with place(tmp_path, wire, [reaction, DONE]) as here:
        state = await _run(here)
        assert (state.status, state.output) == ("finished", DONE.text), state.note
        _, failed = await _paid(here, state)
        assert failed == [0]


@pytest.mark.parametrize("page", [PAGE, Raw(b"Ollama is running", "text/plain"), Fault(204)])
async def test_a_page_is_asked_once_and_costs_nothing(tmp_path: Path, wire: str, page: Reaction) -> None:
    """The run pauses with what was received and what to check, and goes on once the address is right."""
    async with place(tmp_path, wire, [WRITE, page]) as here:
        state = await _run(here)
        assert (state.status, len(here.server.requests)) == ("paused", 2), state.note
        assert "check providers.bad.base_url" in state.note
        assert "resume the run" in state.note
        _, failed = await _paid(here, state)
        assert failed == [0]
        await nothing_is_lost(here, state)


async def test_a_page_is_answered_by_the_next_model(tmp_path: Path, wire: str) -> None:
    """Another provider stands in at once, and the record says why."""
    async with place(tmp_path, wire, [PAGE], second=[DONE]) as here:
        state = await here.run()
        assert (state.status, state.output, len(here.server.requests)) == ("finished", DONE.text, 1), state.note
        (fell,) = await here.said(state.run, "model.fallback")
        assert "Sign in to ACME" in str(fell["reason"])
        assert [one["class"] for one in await here.said(state.run, "model.failed")] == ["address"]


async def test_another_format_is_asked_once_and_owed(tmp_path: Path, wire: str) -> None:
    """A model that speaks otherwise has answered, and its owner may bill it."""
    answer = Raw(b'{"output": "hello"}', "application/json")
    async with place(tmp_path, wire, [answer]) as here:
        state = await _run(here)
        assert (state.status, len(here.server.requests)) == ("paused", 1), state.note
        assert '\'{"output": "hello"}\'' in state.note
        reserved = (await here.said(state.run, "model.reserved"))[0]
        _, failed = await _paid(here, state)
        assert failed == [reserved["tokens"]]


async def test_an_answer_is_never_made_of_nothing(tmp_path: Path, wire: str) -> None:
    """An empty object is no empty answer: the run does not end with it."""
    async with place(tmp_path, wire, [WRITE, Raw(b"{}", "application/json"), Answer("unused")]) as here:
        state = await here.run()
        assert (state.status, len(here.server.requests)) == ("paused", 2), state.note
