"""Providers that refuse, hang, drop and lie, over both wire formats, under a whole kernel.

Each case writes a file first, meets the fault in the middle of its work, and is then looked at: how
the run stands, what it says, that the write is neither lost nor repeated, and that the run (or a
fork of one that has ended) comes to its end once the provider is well.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel.directive import Budget
from kernel.ports.provider import Usage
from kernel.testing.model_server import Answer, Fault, Raw, Reaction, Scene, ScriptedCall
from tests.e2e.provider_place import DONE, HALF, NOW, WIRES, WRITE, fault, names, nothing_is_lost, place

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("wire", WIRES)]


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
    ("garbage", Raw(b"data: {broken\n\n"), "not JSON"),
    ("an error inside", Raw(b'data: {"type":"error","error":{"message":"inside"}}\n\n'), "inside"),
]


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
    """Arguments that the bound on output cut off are not half carried out, and the model hears to send less at once."""
    cut = Answer(calls=(ScriptedCall("write", '{"path": "b.txt", "content": "a lo'),), finish="length")
    async with place(tmp_path, wire, [WRITE, cut, DONE]) as here:
        state = await here.run()
        assert (state.status, state.output) == ("finished", DONE.text), state.note
        assert not (here.work / "b.txt").exists()
        assert state.messages[-2].is_error
        assert "send less in one call" in str(here.server.requests[-1].body)


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
