"""The turn loop over scripted steps: what it asks, what it calls, when it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest

from kernel.ids import RunId, call_id
from kernel.jsontypes import JsonObject
from kernel.runtime.loop import LoopBounds, Purpose, run_loop
from kernel.runtime.state import CallState, RunState

RUN = RunId("r1")
_START: JsonObject = {
    "directive": {"goal": "g"},
    "env": {"mounts": []},
    "owner": "user:a",
    "grant": "worker",
    "system": "s",
    "user": "u",
}


@dataclass(slots=True)
class ScriptedSteps:
    """Replies are tuples of `(tool, arguments)`, or a final text; `answer` gives each call's result."""

    replies: list[Sequence[tuple[str, str]] | str]
    answer: Callable[[str, str], tuple[bool, str]] = lambda tool, arguments: (True, f"{tool} {arguments}")
    reads: frozenset[str] = frozenset({"read"})
    log: list[str] = field(default_factory=list[str])
    live: int = 0
    live_max: int = 0

    async def ask(self, state: RunState, purpose: Purpose) -> None:
        self.log.append(purpose)
        self.record(state, "model.request", {"purpose": purpose})
        reply = self.replies.pop(0)
        calls: Sequence[tuple[str, str]] = () if isinstance(reply, str) else reply
        first = state.calls_made + 1
        payload: JsonObject = {
            "text": reply if isinstance(reply, str) else "",
            "purpose": purpose,
            "calls": [
                {"call": call_id(RUN, first + n), "id": f"m{first + n}", "name": tool, "arguments": arguments}
                for n, (tool, arguments) in enumerate(calls)
            ],
        }
        self.record(state, "model.reply", payload)

    async def call(self, state: RunState, call: CallState) -> None:
        self.live += 1
        self.live_max = max(self.live_max, self.live)
        await anyio.lowlevel.checkpoint()
        ok, text = self.answer(call.tool, call.arguments)
        self.live -= 1
        self.record(state, "call.outcome", {"call": call.id, "ok": ok, "text": text})

    def parallel(self, call: CallState) -> bool:
        return call.tool in self.reads

    def record(self, state: RunState, kind: str, payload: JsonObject) -> None:
        self.log.append(kind)
        state.apply(kind, payload, len(self.log))


def _run(steps: ScriptedSteps, turns_max: int = 20, state: RunState | None = None) -> RunState:
    if state is None:
        state = RunState(RUN)
        state.apply("run.started", _START, 0)
    anyio.run(run_loop, state, steps, LoopBounds(turns_max))
    return state


def test_a_text_without_calls_ends_the_run() -> None:
    """The final answer is the output."""
    state = _run(ScriptedSteps(["done"]))
    assert (state.status, state.output, state.turns) == ("finished", "done", 1)


def test_results_enter_the_conversation_in_the_order_of_the_calls() -> None:
    """Each tool message answers its call by id, in order."""
    state = _run(ScriptedSteps([[("read", "a"), ("write", "b"), ("read", "c")], "end"]))
    tools = [(message.call_id, message.text) for message in state.messages if message.role == "tool"]
    assert tools == [("m1", "read a"), ("m2", "write b"), ("m3", "read c")]


def test_contiguous_reads_overlap_and_writes_do_not() -> None:
    """Three reads are live at once; a write is alone."""
    reads = ScriptedSteps([[("read", "a"), ("read", "b"), ("read", "c")], "end"])
    _run(reads)
    assert reads.live_max == 3
    writes = ScriptedSteps([[("write", "a"), ("write", "b"), ("read", "c")], "end"])
    _run(writes)
    assert writes.live_max == 1


@pytest.mark.parametrize(("turns_max", "status"), [(2, "paused"), (3, "finished")])
def test_the_turn_limit_pauses_the_run_exactly_there(turns_max: int, status: str) -> None:
    """A run of three turns finishes within three and pauses within two."""
    state = _run(ScriptedSteps([[("read", "1")], [("read", "2")], "end"]), turns_max)
    assert state.status == status


def test_an_empty_answer_after_tools_is_asked_for_again_as_a_summary() -> None:
    """The summary's text becomes the output."""
    steps = ScriptedSteps([[("read", "a")], "", "what I found"])
    state = _run(steps)
    assert (state.status, state.output) == ("finished", "what I found")
    assert "summary" in steps.log


def test_an_empty_summary_leaves_a_plain_list_of_what_was_done() -> None:
    """Nothing is invented: the output names the steps."""
    state = _run(ScriptedSteps([[("read", "a")], "", ""]))
    assert "1. read: ok" in state.output


def test_empty_replies_without_any_tool_fail_after_three() -> None:
    """The model is told twice; then the run fails and says why."""
    state = _run(ScriptedSteps(["", "", ""]))
    assert state.status == "failed"
    assert "empty" in state.note


def test_the_same_failing_call_is_hinted_at_once_and_then_ends_the_run() -> None:
    """Three times the same error brings a hint, three more end it."""
    steps = ScriptedSteps([[("write", "x")] for _ in range(10)], answer=lambda _tool, _arguments: (False, "no"))
    state = _run(steps)
    assert state.status == "failed"
    assert "stuck" in state.note
    assert state.turns == 6
    assert steps.log.count("run.steered") == 1


def test_different_results_are_not_stuck() -> None:
    """Polling something that changes goes on."""
    ticks = iter(range(100))
    steps = ScriptedSteps([*([[("read", "x")]] * 8), "end"], answer=lambda _tool, _arguments: (True, str(next(ticks))))
    assert _run(steps).status == "finished"


def test_a_message_said_meanwhile_keeps_the_run_going() -> None:
    """A queued message is heard before the run may finish."""
    state = RunState(RUN)
    state.apply("run.started", _START, 0)
    state.apply("run.steered", {"text": "also this"}, 0)
    _run(ScriptedSteps(["done"]), state=state)
    assert [message.text for message in state.messages if message.role == "user"] == ["u", "also this"]
    assert state.status == "finished"


def test_a_resumed_run_answers_only_what_was_not_answered() -> None:
    """Of two calls, the finished one is not made again."""
    state = RunState(RUN)
    state.apply("run.started", _START, 0)
    calls = [{"call": f"r1.{n}", "id": f"m{n}", "name": "write", "arguments": str(n)} for n in (1, 2)]
    state.apply("model.reply", {"text": "", "calls": calls}, 1)
    state.apply("call.outcome", {"call": "r1.1", "ok": True, "text": "first"}, 2)
    made: list[str] = []
    steps = ScriptedSteps(["end"], answer=lambda _tool, arguments: (made.append(arguments) or True, "second"))
    _run(steps, state=state)
    assert made == ["2"]
    assert [message.text for message in state.messages if message.role == "tool"] == ["first", "second"]
