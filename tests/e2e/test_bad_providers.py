"""Providers that refuse, hang, drop and lie, over both wire formats, under a whole kernel.

Each case writes a file first, meets the fault in the middle of its work, and is then looked at: how
the run stands, what it says, that the write is neither lost nor repeated, and that the run (or a
fork of one that has ended) comes to its end once the provider is well.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from kernel.boot import Kernel, open_kernel
from kernel.clock import SystemClock
from kernel.directive import Budget, Directive, ExecEnv, Mount
from kernel.ids import RunId, user
from kernel.ports.provider import Usage
from kernel.runtime.state import RunState
from kernel.settings import load_settings
from kernel.testing.model_server import Answer, Fault, ModelServer, Raw, Reaction, Scene, ScriptedCall, model_server

OWNER = user("tester")
WIRES = ("openai", "anthropic")
WRITE = Answer(calls=(ScriptedCall("write", '{"path": "a.txt", "content": "kept\\n"}'),))
DONE = Answer("It is written.")
HALF = Answer("I think that", finish=None, usage=None, done=False)
NOW = {"Retry-After": "0"}
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("wire", WIRES)]


class Hasty(SystemClock):
    """Waits between attempts take no time, and time has passed after them; deadlines of a minute and more last."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        if seconds >= 60:
            await super().sleep(seconds)
        else:
            self.ahead_s += seconds
            await anyio.lowlevel.checkpoint()


@dataclass(frozen=True, slots=True)
class Place:
    """A kernel whose only model is the scripted server's."""

    kernel: Kernel
    server: ModelServer
    work: Path

    async def run(self, budget: Budget | None = None) -> RunState:
        env = ExecEnv(mounts=(Mount(str(self.work)),), model="bad/m", budget=budget or Budget())
        run = await self.kernel.runs.start(Directive("Write a.txt."), env, owner=OWNER)
        return await self.kernel.runs.wait(run)

    async def go_on(self, state: RunState) -> RunState:
        """The run to its end, or a fork of it where it has ended, with a provider that is well."""
        self.server.script += [DONE] * 3
        self.kernel.supervisor.desk.engine.health.forget("bad")  # As after a while, or a restart.
        run = state.run
        if state.status == "paused":
            await self.kernel.supervisor.resume(run, by=OWNER)
        else:
            run = await self.kernel.supervisor.fork(run, by=OWNER)
        return await self.kernel.runs.wait(run)

    async def kinds(self, run: RunId) -> list[str]:
        await self.kernel.journal.flush()
        return [entry.kind for entry in await self.kernel.journal.read(stream=run)]


@asynccontextmanager
async def place(tmp_path: Path, wire: str, script: Sequence[Reaction]) -> AsyncGenerator[Place]:
    work = tmp_path / "work"
    work.mkdir()
    async with model_server(script) as server:
        said = {
            "providers.bad.kind": wire,
            "providers.bad.base_url": server.url,
            "providers.bad.first_byte_s": "0.3",
            "providers.bad.idle_s": "0.2",
            "routing.wait_s": "0",
        }
        settings = load_settings(home=tmp_path / "home", cwd=tmp_path, overrides=said, env={})
        async with open_kernel(settings, operator=OWNER, clock=Hasty()) as kernel:
            yield Place(kernel, server, work)


def fault(status: int, code: str = "", message: str = "as scripted", **headers: str) -> Fault:
    return Fault(status, json.dumps({"error": {"code": code, "type": code, "message": message}}), headers)


REFUSED = [
    ("401", fault(401, message="bad key"), "paused", "bad key. name the variable that holds its key"),
    ("401 without a body", Fault(401), "paused", "answered 401"),
    ("402", fault(402), "paused", "top up"),
    ("403", fault(403), "paused", "answered 403"),
    ("404 model", fault(404, "model_not_found"), "failed", "check the model name 'm'"),
    ("400", fault(400, "invalid_request_error"), "failed", "the request is at fault"),
    ("429 for good", fault(429, "insufficient_quota"), "paused", "top up"),
    ("301", Fault(301, "", {"Location": "http://127.0.0.1:9/"}), "failed", "never sent after a redirect"),
]
DOWN = [
    ("408", fault(408, **NOW), "answered 408"),
    ("429 with Retry-After", fault(429, **NOW), "answered 429"),
    ("429 without", fault(429), "answered 429"),
    ("500", fault(500), "answered 500"),
    ("502 of a proxy", Fault(502, "<html>Bad Gateway</html>"), "Bad Gateway"),
    ("503", fault(503, **NOW), "answered 503"),
    ("529", fault(529, "overloaded_error"), "answered 529"),
    ("hang before the stream", Scene(DONE, silent=True), "did not answer within 0.3 s"),
    ("hang inside the stream", Scene(HALF, then="hang"), "was silent for 0.2 s"),
    ("dropped before visible text", Scene(Raw(b": hello\n\n"), then="drop"), "dropped the connection"),
    ("dropped after visible text", Scene(HALF, then="drop"), "dropped the connection"),
    ("ended early", HALF, "broke off before its reply was whole"),
    ("no events at all", Raw(b""), "broke off"),
    ("a login page", Raw(b"<html>login</html>", "text/html"), "broke off"),
    ("garbage", Raw(b"data: {broken\n\n"), "not JSON"),
    ("an error inside", Raw(b'data: {"type":"error","error":{"message":"inside"}}\n\n'), "inside"),
]


def names(cases: Sequence[tuple[object, ...]]) -> list[str]:
    return [str(case[0]) for case in cases]


@pytest.mark.parametrize("case", REFUSED, ids=names(REFUSED))
async def test_a_refusal_ends_the_run_and_says_what_to_do(
    tmp_path: Path, wire: str, case: tuple[str, Fault, str, str]
) -> None:
    """It is not asked again; what was done stands, and a fork goes on from it once the cause is removed."""
    _, refusal, status, note = case
    async with place(tmp_path, wire, [WRITE, refusal]) as here:
        state = await here.run()
        assert (state.status, note in state.note) == (status, True), state.note
        assert len(here.server.requests) == 2
        await nothing_is_lost(here, state)


@pytest.mark.parametrize("case", DOWN, ids=names(DOWN))
async def test_a_provider_that_is_down_pauses_the_run(
    tmp_path: Path, wire: str, case: tuple[str, Reaction, str]
) -> None:
    """After at most three attempts the run waits, says why, and goes on where it stood."""
    _, reaction, note = case
    async with place(tmp_path, wire, [WRITE, *[reaction] * 3]) as here:
        state = await here.run()
        assert (state.status, note in state.note) == ("paused", True), state.note
        asked = len(here.server.requests) - 1
        assert 1 <= asked <= 3
        del here.server.script[1 + asked :]
        await nothing_is_lost(here, state)


@pytest.mark.parametrize(
    "reaction", [fault(408), fault(429, **NOW), fault(500), fault(529), Scene(DONE, silent=True), Raw(b"")]
)
async def test_a_provider_that_recovers_is_not_noticed(tmp_path: Path, wire: str, reaction: Reaction) -> None:
    """Twice down and then well is one answer: two further attempts, no word in the conversation."""
    async with place(tmp_path, wire, [WRITE, reaction, reaction, DONE]) as here:
        state = await here.run()
        assert (state.status, state.output, state.note) == ("finished", DONE.text, "")
        assert len(here.server.requests) == 4
        bodies = [asked.body["messages"] for asked in here.server.requests[1:]]
        assert bodies[0] == bodies[1] == bodies[2]


async def test_after_the_first_visible_word_nothing_is_asked_again(tmp_path: Path, wire: str) -> None:
    """A reply that broke off in sight is not begun anew behind the reader's back: the run waits."""
    async with place(tmp_path, wire, [WRITE, Scene(HALF, then="drop")]) as here:
        here.kernel.bus.subscribe(None, lambda _event: None)  # Somebody watches: what came was seen.
        state = await here.run()
        assert (state.status, len(here.server.requests)) == ("paused", 2)
        assert "dropped the connection" in state.note
        await nothing_is_lost(here, state)


BAD_CALLS = [
    ("malformed", ScriptedCall("write", '{"path": "b.txt", '), "Invalid JSON"),
    ("not an object", ScriptedCall("write", '["b.txt"]'), "object"),
    ("wrong types", ScriptedCall("write", '{"path": 5, "content": []}'), "path"),
    ("missing argument", ScriptedCall("write", '{"path": "b.txt"}'), "content"),
    ("unknown tool", ScriptedCall("fly.to/moon", "{}"), "fly"),
    ("no name", ScriptedCall("", "{}"), ""),
]


@pytest.mark.parametrize("case", BAD_CALLS, ids=names(BAD_CALLS))
async def test_a_bad_call_is_answered_and_the_model_goes_on(
    tmp_path: Path, wire: str, case: tuple[str, ScriptedCall, str]
) -> None:
    """The model reads what was wrong, under the id of its call, in a form that its server takes back."""
    _, call, said = case
    bad = Answer(calls=(call,))
    async with place(tmp_path, wire, [WRITE, bad, DONE]) as here:
        state = await here.run()
        assert (state.status, state.output) == ("finished", DONE.text), state.note
        assert here.server.unexpected == []
        answer = state.messages[-2]
        assert answer.is_error
        assert said in answer.text
        assert not (here.work / "b.txt").exists()


async def test_a_truncated_call_is_answered_too(tmp_path: Path, wire: str) -> None:
    """Arguments that the bound on output cut off are no call, and are not half carried out."""
    cut = Answer(calls=(ScriptedCall("write", '{"path": "b.txt", "content": "a lo'),), finish="length")
    async with place(tmp_path, wire, [WRITE, cut, DONE]) as here:
        state = await here.run()
        assert state.status == "finished", state.note
        assert not (here.work / "b.txt").exists()


async def test_an_empty_last_word_is_asked_for_again(tmp_path: Path, wire: str) -> None:
    """Tools ran and nothing was said: one more request asks for the answer."""
    async with place(tmp_path, wire, [WRITE, Answer(""), DONE]) as here:
        state = await here.run()
        assert (state.status, state.output) == ("finished", DONE.text), state.note


async def test_a_model_that_never_says_anything_is_given_up(tmp_path: Path, wire: str) -> None:
    """Empty replies without any work end the run with that as its note."""
    async with place(tmp_path, wire, [Answer("")] * 6) as here:
        state = await here.run()
        assert (state.status, "empty replies" in state.note) == ("failed", True)


@pytest.mark.parametrize(
    "overflow",
    [
        fault(400, "context_length_exceeded"),
        fault(400, "invalid_request_error", "prompt is too long: 9 tokens > 5 maximum"),
        fault(413, "request_too_large"),
    ],
)
async def test_an_overflow_is_told_apart(tmp_path: Path, wire: str, overflow: Fault) -> None:
    """A conversation that is too long, and cannot be made shorter, says so; the work stands."""
    async with place(tmp_path, wire, [WRITE, *[overflow] * 4]) as here:
        state = await here.run()
        assert state.status in ("failed", "paused")
        assert "shorten the conversation" in state.note
        del here.server.script[len(here.server.requests) :]
        assert (here.work / "a.txt").read_text() == "kept\n"


LIES = [
    ("negative", Usage(-5_000, -5_000)),
    ("huge", Usage(10**15, 10**15)),
    ("more cached than asked", Usage(10, 5, 10**6)),
    ("missing", None),
    ("nothing at all", Usage(0, 0)),
]


@pytest.mark.parametrize("case", LIES, ids=names(LIES))
async def test_a_provider_that_lies_about_usage_neither_credits_nor_bankrupts_a_run(
    tmp_path: Path, wire: str, case: tuple[str, Usage | None]
) -> None:
    """Within its budget the run ends well; what cannot be true is settled by what was reserved, never below nothing."""
    _, usage = case
    write = Answer(calls=WRITE.calls, usage=usage)
    async with place(tmp_path, wire, [write, Answer(DONE.text, usage=usage)]) as here:
        state = await here.run(Budget(tokens_max=60_000))
        assert (state.status, state.output) == ("finished", DONE.text), state.note
        assert 0 <= state.usage.input_tokens < 60_000
        assert 0 <= state.usage.output_tokens < 60_000
        assert state.usage.cached_tokens <= state.usage.input_tokens


async def test_with_every_provider_dead_the_run_waits_and_says_so(tmp_path: Path, wire: str) -> None:
    """Nobody listens any more: paused with the address in the note, and resumed when somebody does."""
    async with place(tmp_path, wire, [WRITE]) as here:
        respond = here.server.respond
        here.server.respond = lambda _asked: Fault(503) if here.server.requests[1:] else WRITE
        state = await here.run()
        assert state.status == "paused"
        assert "503" in state.note
        here.server.respond = respond
        here.server.script[:] = [DONE] * (len(here.server.requests))
        await nothing_is_lost(here, state)


async def nothing_is_lost(here: Place, state: RunState) -> None:
    """The write stands, once; each request has its reply or failure; the work comes to its end."""
    assert (here.work / "a.txt").read_text() == "kept\n"
    kinds = await here.kinds(state.run)
    assert kinds.count("call.outcome") == 1
    assert kinds.count("model.request") <= kinds.count("model.reply") + kinds.count("model.failed")
    (here.work / "a.txt").write_text("changed by hand\n")
    ended = await here.go_on(state)
    assert (ended.status, ended.output) == ("finished", DONE.text), ended.note
    assert (here.work / "a.txt").read_text() == "changed by hand\n"
    assert here.server.unexpected == []
