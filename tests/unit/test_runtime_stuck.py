"""Going in circles: each of the five patterns at its threshold, and one below it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from kernel.limits import (
    STUCK_ALTERNATIONS,
    STUCK_COMPACTIONS,
    STUCK_ERROR_STEPS,
    STUCK_MONOLOGUE_TURNS,
    STUCK_RESULT_STEPS,
    STUCK_STALE_STEPS,
)
from kernel.ports.provider import KERNEL_NOTE
from kernel.runtime.history import read_history
from kernel.runtime.novelty import Novelty
from kernel.runtime.replay import replay, same_state
from kernel.runtime.state import RunState, Step
from kernel.runtime.stuck import no_news, repetition, stuck_pattern
from kernel.testing.provider import Turn, call, say
from tests.unit.loop_world import CUT, ScriptedSteps, run_steps
from tests.world import open_world


def _ok(arguments: str = "a", text: str = "same", tool: str = "read") -> Step:
    return Step(tool, arguments, ok=True, text=text)


def _failed(arguments: str = "a", text: str = "no", tool: str = "exec") -> Step:
    return Step(tool, arguments, ok=False, text=text)


CASES: Final[dict[str, tuple[list[Step], str]]] = {
    "same call, same result": ([_ok()] * STUCK_RESULT_STEPS, "same arguments and result"),
    "same call, same error": ([_failed()] * STUCK_ERROR_STEPS, "the same arguments and the same error"),
    "same error, other arguments": ([_failed(str(n)) for n in range(STUCK_RESULT_STEPS)], "with the same error"),
    "alternation": ([_ok("a"), _ok("b")] * STUCK_ALTERNATIONS, "took turns"),
}


@pytest.mark.parametrize(("steps", "said"), CASES.values(), ids=CASES)
def test_a_repetition_is_noticed_at_its_threshold_and_not_below(steps: list[Step], said: str) -> None:
    """The whole pattern is named; without its first step, or with another step last, nothing is."""
    assert said in repetition(steps)
    assert repetition(steps[1:]) == ""
    assert repetition([*steps, _ok("other", "news")]) == ""


def test_two_long_results_are_the_same_by_their_digest() -> None:
    """A cut result names its own call, so its text always differs: what counts is the whole."""
    same = [Step("exec", "a", True, f"cut, call {n}", blob="d1") for n in range(STUCK_RESULT_STEPS)]
    assert repetition(same)
    other = [Step("exec", "a", True, "cut alike", blob=f"d{n}") for n in range(STUCK_RESULT_STEPS)]
    assert repetition(other) == ""


def _news(told: Sequence[tuple[str, bool]], news: Novelty | None = None) -> Novelty:
    news = news or Novelty()
    for text, ok in told:
        news.step(("read", "x", text), ok=ok, chars=len(text))
    return news


def test_steps_with_nothing_new_are_noticed_at_the_threshold_and_not_below() -> None:
    """A round of three known results, or failures of every kind, is growth without progress; one new result is not."""
    known = [("a", True), ("b", True), ("c", True)]
    rounds = known * (STUCK_STALE_STEPS // 3)
    assert "nothing new in it" in no_news(_news([*known, *rounds]))
    assert no_news(_news([*known, *rounds[1:]])) == ""
    assert no_news(_news([*known, *rounds, ("news", True)])) == ""
    assert no_news(_news([(str(number), False) for number in range(STUCK_STALE_STEPS)]))
    assert no_news(_news([(str(number), True) for number in range(STUCK_STALE_STEPS * 3)])) == ""


def test_reading_again_after_a_compaction_is_no_circle_but_compacting_again_and_again_is() -> None:
    """What was cut out may be read once more; where that is all that happens, it is noticed."""
    known = [(str(number), True) for number in range(STUCK_STALE_STEPS)]
    news = _news(known)
    for _ in range(STUCK_COMPACTIONS - 1):
        news.compacted()
        news.replied()
        _news(known, news)
        assert no_news(news) == ""
    news.compacted()
    assert no_news(news) == "", "a request that was decided on is not decided on again while it is made"
    news.replied()
    assert "cut" in no_news(news)
    _news([("never seen", True)], news)
    assert no_news(news) == ""


def test_what_was_told_counts_from_there() -> None:
    """After a hint the same steps are not held against the agent again."""
    state = RunState(run_steps(ScriptedSteps(["done"])).run)
    state.steps = [_failed()] * STUCK_ERROR_STEPS
    assert stuck_pattern(state)
    state.apply("run.steered", {"text": f"{KERNEL_NOTE}stop", "by": "kernel", "hint": True}, 1)
    assert stuck_pattern(state) == ""
    state.steps += [_failed()] * STUCK_ERROR_STEPS
    assert stuck_pattern(state)


def test_a_circle_of_three_calls_is_hinted_at_and_then_ends_the_run() -> None:
    """No two neighbours repeat, and still nothing comes of it."""
    steps = ScriptedSteps([[("read", name)] for name in "abc" * 20])
    state = run_steps(steps, turns_max=60)
    assert state.status == "failed"
    assert "nothing new in it" in state.note
    assert steps.log.count("run.steered") == 1
    assert state.turns == 3 + 2 * STUCK_STALE_STEPS


@pytest.mark.parametrize("pieces", [1, STUCK_MONOLOGUE_TURNS - 1])
def test_an_answer_that_was_cut_off_goes_on_and_is_joined(pieces: int) -> None:
    """The output is the whole answer, however many replies it took, below the bound."""
    replies = [f"part {number} {CUT}" for number in range(pieces)]
    state = run_steps(ScriptedSteps([[("read", "a")], *replies, "the end"]))
    assert state.status == "finished"
    assert state.output == "".join(f"part {number} " for number in range(pieces)) + "the end"


def test_a_reply_that_never_ends_is_a_monologue() -> None:
    """Cut off again and again, without a call: the run ends, and says why."""
    state = run_steps(ScriptedSteps([f"words {CUT}"] * (STUCK_MONOLOGUE_TURNS + 2)))
    assert (state.status, state.turns) == ("failed", STUCK_MONOLOGUE_TURNS)
    assert "neither called a tool nor came to an end" in state.note


def test_a_call_between_long_replies_is_no_monologue() -> None:
    """Talking at length and then acting starts the count again, and the next answer starts afresh."""
    talk = [f"words {CUT}"] * (STUCK_MONOLOGUE_TURNS - 1)
    state = run_steps(ScriptedSteps([*talk, [("read", "a")], *talk, "end"]))
    assert state.status == "finished"
    assert state.output == "words " * len(talk) + "end"


@pytest.mark.anyio
async def test_a_monologue_is_recorded_and_replayed_alike(tmp_path: Path) -> None:
    """Through the real kernel: the hint stands in the record, and a replay decides the same."""
    turns = [Turn("first half, ", cut_off=True), say("second half")]
    async with open_world(tmp_path, turns) as world:
        state = await world.run()
        assert (state.status, state.output) == ("finished", "first half, second half")
        (hint,) = await world.entries(state.run, "run.steered")
        assert hint.payload is not None
        assert "length limit" in str(hint.payload["text"])
        history = await read_history(world.kernel.journal, state.run)
        replayed = await replay(state.run, history.prefix, history.entries)
        assert replayed.divergence is None
        assert same_state(replayed.state, state)


@pytest.mark.anyio
async def test_the_same_long_output_again_and_again_is_noticed(tmp_path: Path) -> None:
    """Results that are cut for the model, each naming its own call, still count as the same."""
    loud = "i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done"
    turns = [call("exec", command=loud)] * STUCK_RESULT_STEPS * 2
    async with open_world(tmp_path, turns, settings={"approval.mode": "auto"}) as world:
        state = await world.run()
        assert state.status == "failed"
        assert "same arguments and result" in state.note
