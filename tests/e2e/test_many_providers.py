"""Several providers, each of its own wire format: where one cannot answer another does."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel.testing.model_server import Answer, Asked, Fault, Raw, Reaction, Scene, ScriptedCall
from tests.e2e.provider_place import (
    DONE,
    HALF,
    WIRES,
    WRITE,
    fault,
    names,
    nothing_is_lost,
    place,
)

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("wire", WIRES)]

FAILS = [
    ("401", fault(401), "auth"),
    ("402", fault(402), "billing"),
    ("404 model", fault(404, "model_not_found"), "model_unknown"),
    ("400", fault(400, "invalid_request_error"), "request"),
    ("408", fault(408), "timeout"),
    ("429", fault(429), "rate_limit"),
    ("500", fault(500), "server"),
    ("529", fault(529, "overloaded_error"), "overloaded"),
    ("hang before the stream", Scene(DONE, silent=True), "timeout"),
    ("hang inside the stream", Scene(HALF, then="hang"), "timeout"),
    ("dropped", Scene(HALF, then="drop"), "network"),
    ("garbage", Raw(b"data: {broken\n\n"), "malformed"),
]


@pytest.mark.parametrize("case", FAILS, ids=names(FAILS))
async def test_another_provider_takes_over_in_the_middle_of_a_run(
    tmp_path: Path, wire: str, case: tuple[str, Reaction, str]
) -> None:
    """It is given the whole conversation in its own format; the record names who failed and who answered."""
    _, reaction, kind = case
    async with place(tmp_path, wire, [WRITE, *[reaction] * 3], second=[DONE]) as here:
        state = await here.run()
        assert (state.status, state.output, state.note) == ("finished", DONE.text, "")
        assert (here.work / "a.txt").read_text() == "kept\n"
        assert {str(one["class"]) for one in await here.said(state.run, "model.failed")} == {kind}
        [moved] = await here.said(state.run, "model.fallback")
        assert (moved["from"], moved["to"]) == ("bad/m", "good/m")
        assert str(moved["reason"]).startswith(f"{kind}: ")
        replies = await here.said(state.run, "model.reply")
        assert [str(one["model"]).partition("/")[0] for one in replies] == ["bad", "good"]
        [asked] = here.second.requests
        assert "a.txt" in str(asked.body["messages"])
        assert here.second.unexpected == []


async def test_with_all_providers_dead_the_run_waits_and_names_each(tmp_path: Path, wire: str) -> None:
    """Paused, resumable, with what every model said; while all are dead a resume pauses again, and nothing is lost."""
    async with place(tmp_path, wire, [], second=[]) as here:
        here.server.respond = lambda _asked: Fault(503) if here.server.requests[1:] else WRITE
        here.second.respond = lambda _asked: Fault(529)
        state = await here.run()
        assert state.status == "paused"
        assert all(part in state.note for part in ("bad/m: ", "503", "good/m: ", "529", "resume the run"))
        state = await here.resume(state)
        assert state.status == "paused"
        here.clock.ahead_s += 60
        here.second.respond = lambda _asked: DONE
        ended = await here.resume(state)
        assert (ended.status, ended.output) == ("finished", DONE.text), ended.note
        assert (await here.said(ended.run, "model.reply"))[-1]["model"] == "good/scripted-1"
        assert (await here.kinds(ended.run)).count("call.outcome") == 1


async def test_dead_providers_that_say_for_how_long_are_waited_for(tmp_path: Path, wire: str) -> None:
    """With every model of every provider busy, the request waits for the first and goes on by itself."""

    def react(_asked: Asked) -> Reaction:
        if len(here.server.requests) == 1:
            return WRITE
        return fault(429, Retry_After="100")

    def answer(_asked: Asked) -> Reaction:
        return fault(429, Retry_After="40") if here.clock.ahead_s < 40 else DONE

    async with place(tmp_path, wire, [], {"routing.wait_s": "200"}, second=[]) as here:
        here.server.respond, here.second.respond = react, answer
        state = await here.run()
        assert (state.status, state.output, state.note) == ("finished", DONE.text, "")
        assert 40 <= here.clock.ahead_s <= 130
        waits = await here.said(state.run, "model.waiting")
        assert sum(float(str(one["seconds"])) for one in waits) >= 35
        assert all(part in str(waits[-1]["why"]) for part in ("bad/m: ", "good/m: "))


async def test_a_drop_that_nobody_saw_is_asked_again(tmp_path: Path, wire: str) -> None:
    """A watched reply that broke off before its first visible word, or within a call, is begun anew unnoticed."""
    comment = Scene(Raw(b": hello\n\n"), then="drop")
    call = Answer(
        calls=(ScriptedCall("write", '{"path": "b.txt", "content": "x"}'),), finish=None, usage=None, done=False
    )
    async with place(tmp_path, wire, [WRITE, comment, Scene(call, then="drop"), DONE]) as here:
        shown: list[str] = []
        here.kernel.bus.subscribe(None, lambda event: shown.append(event.text))
        state = await here.run()
        assert (state.status, state.output, "".join(shown)) == ("finished", DONE.text, DONE.text), state.note
        assert not (here.work / "b.txt").exists()


OVERFLOWS = [
    ("by its code", fault(400, "context_length_exceeded")),
    ("by its words", fault(400, "invalid_request_error", "prompt is too long: 9 tokens > 5 maximum")),
    ("413", fault(413, "request_too_large")),
]


@pytest.mark.parametrize("case", OVERFLOWS, ids=names(OVERFLOWS))
async def test_an_overflow_is_compacted_and_asked_again(tmp_path: Path, wire: str, case: tuple[str, Fault]) -> None:
    """Older steps become a summary by the model; the shorter conversation keeps the goal and is answered."""
    reads = [Answer(calls=(ScriptedCall("read", f'{{"path": "{number}.txt"}}'),)) for number in range(6)]
    script = [WRITE, *reads, case[1], Answer("What was done so far."), DONE]
    async with place(tmp_path, wire, script) as here:
        for number in range(6):
            (here.work / f"{number}.txt").write_text(f"file {number}\n" * 400)
        state = await here.run()
        assert (state.status, state.output, state.compactions) == ("finished", DONE.text, 1), state.note
        refused, summing, last = (str(asked.body) for asked in here.server.requests[-3:])
        assert "older steps are taken out" in summing
        assert "What was done so far." in last
        assert "Write a.txt." in last
        assert len(last) < len(refused)
        assert here.server.unexpected == []


async def test_what_overflows_one_model_goes_to_a_larger_one(tmp_path: Path, wire: str) -> None:
    """Where nothing can be taken out, a fallback that takes more is asked."""
    larger = {"models.bad/m.context": "8000", "models.good/m.context": "200000"}
    async with place(tmp_path, wire, [WRITE, *[fault(413)] * 3], larger, second=[DONE]) as here:
        state = await here.run()
        assert (state.status, state.output) == ("finished", DONE.text), state.note
        assert len(here.second.requests) == 1


async def test_a_dead_run_is_not_lost_with_its_providers(tmp_path: Path, wire: str) -> None:
    """After a pause the first provider may be the one that is back."""
    async with place(tmp_path, wire, [WRITE, *[fault(500)] * 3], second=[fault(500)] * 3) as here:
        state = await here.run()
        assert state.status == "paused"
        await nothing_is_lost(here, state)
