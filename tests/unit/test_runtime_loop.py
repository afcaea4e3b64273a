"""The turn loop over scripted steps: what it asks, what it calls, when it ends."""

from __future__ import annotations

import pytest

from tests.unit.loop_world import FILTERED, ScriptedSteps, run_steps, started


def test_a_text_without_calls_ends_therun_steps() -> None:
    """The final answer is the output."""
    state = run_steps(ScriptedSteps(["done"]))
    assert (state.status, state.output, state.turns) == ("finished", "done", 1)


def test_results_enter_the_conversation_in_the_order_of_the_calls() -> None:
    """Each tool message answers its call by id, in order."""
    state = run_steps(ScriptedSteps([[("read", "a"), ("write", "b"), ("read", "c")], "end"]))
    tools = [(message.call_id, message.text) for message in state.messages if message.role == "tool"]
    assert tools == [("m1", "read a"), ("m2", "write b"), ("m3", "read c")]


def test_contiguous_reads_overlap_and_writes_do_not() -> None:
    """Three reads are live at once; a write is alone."""
    reads = ScriptedSteps([[("read", "a"), ("read", "b"), ("read", "c")], "end"])
    run_steps(reads)
    assert reads.live_max == 3
    writes = ScriptedSteps([[("write", "a"), ("write", "b"), ("read", "c")], "end"])
    run_steps(writes)
    assert writes.live_max == 1


@pytest.mark.parametrize(("turns_max", "status"), [(2, "paused"), (3, "finished")])
def test_the_turn_limit_pauses_the_run_exactly_there(turns_max: int, status: str) -> None:
    """A run of three turns finishes within three and pauses within two."""
    state = run_steps(ScriptedSteps([[("read", "1")], [("read", "2")], "end"]), turns_max)
    assert state.status == status


def test_an_empty_answer_after_tools_is_asked_for_again_as_a_summary() -> None:
    """The summary's text becomes the output."""
    steps = ScriptedSteps([[("read", "a")], "", "what I found"])
    state = run_steps(steps)
    assert (state.status, state.output) == ("finished", "what I found")
    assert "summary" in steps.log


def test_an_empty_summary_leaves_a_plain_list_of_what_was_done() -> None:
    """Nothing is invented: the output names the steps."""
    state = run_steps(ScriptedSteps([[("read", "a")], "", ""]))
    assert "1. read: ok" in state.output


def test_empty_replies_without_any_tool_fail_after_three() -> None:
    """The model is told twice; then the run fails and says why."""
    state = run_steps(ScriptedSteps(["", "", ""]))
    assert state.status == "failed"
    assert "empty" in state.note


@pytest.mark.parametrize("text", ["", "The first half of"])
def test_an_answer_that_a_content_filter_ended_is_no_answer(text: str) -> None:
    """The run fails at once, says why, and shows what there was."""
    state = run_steps(ScriptedSteps([text + FILTERED]))
    assert (state.status, state.output, state.turns) == ("failed", text, 1)
    assert "content filter" in state.note


def test_the_same_failing_call_is_hinted_at_once_and_then_ends_therun_steps() -> None:
    """Three times the same error brings a hint, three more end it."""
    steps = ScriptedSteps([[("write", "x")] for _ in range(10)], answer=lambda _tool, _arguments: (False, "no"))
    state = run_steps(steps)
    assert state.status == "failed"
    assert "stuck" in state.note
    assert state.turns == 6
    assert steps.log.count("run.steered") == 1


def test_different_results_are_not_stuck() -> None:
    """Polling something that changes goes on."""
    ticks = iter(range(100))
    steps = ScriptedSteps([*([[("read", "x")]] * 8), "end"], answer=lambda _tool, _arguments: (True, str(next(ticks))))
    assert run_steps(steps).status == "finished"


def test_a_message_said_meanwhile_keeps_the_run_going() -> None:
    """A queued message is heard before the run may finish."""
    state = started()
    state.apply("run.steered", {"text": "also this"}, 0)
    run_steps(ScriptedSteps(["done"]), state=state)
    assert [message.text for message in state.messages if message.role == "user"] == ["u", "also this"]
    assert state.status == "finished"


def test_a_resumed_run_answers_only_what_was_not_answered() -> None:
    """Of two calls, the finished one is not made again."""
    state = started()
    calls = [{"call": f"r1.{n}", "id": f"m{n}", "name": "write", "arguments": str(n)} for n in (1, 2)]
    state.apply("model.reply", {"text": "", "calls": calls}, 1)
    state.apply("call.outcome", {"call": "r1.1", "ok": True, "text": "first"}, 2)
    made: list[str] = []
    steps = ScriptedSteps(["end"], answer=lambda _tool, arguments: (made.append(arguments) or True, "second"))
    run_steps(steps, state=state)
    assert made == ["2"]
    assert [message.text for message in state.messages if message.role == "tool"] == ["first", "second"]
