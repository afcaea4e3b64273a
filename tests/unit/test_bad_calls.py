"""Every kind of bad call comes back to the model as words to correct it by, and the run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel.journal import codec
from kernel.limits import CALL_ERROR_CHARS_MAX, CALLS_PER_TURN_MAX, ENTRY_PAYLOAD_BYTES_MAX, REPLY_CALLS_MAX
from kernel.ports.provider import Reply, ToolCall, Usage
from kernel.runtime.recordable import recordable
from kernel.testing.provider import Turn, call, say
from tests.world import open_world

BAD: Final = {
    "unknown tool": ("reed", '{"path": "a"}', "there is no tool 'reed'. the tools are ask_user, edit"),
    "no name": ("", "{}", "there is no tool ''"),
    "tool not offered": ("runs.start", "{}", "there is no tool 'runs.start'"),
    "no JSON": ("write", "{path: a}", "Invalid JSON"),
    "quotes of another language": ("write", "{'path': 'a'}", "Invalid JSON"),
    "in a fence": ("write", '```json\n{"path": "a"}\n```', "Invalid JSON"),
    "two objects": ("write", '{"path": "a", "content": ""}{"path": "b", "content": ""}', "trailing characters"),
    "cut off": ("write", '{"path": "a", "content": "abc', "they end in the middle"),
    "a list": ("write", '["a"]', "Input should be an object"),
    "a text": ("write", '"a"', "Input should be an object"),
    "null": ("write", "null", "Input should be an object"),
    "wrong type": ("write", '{"path": "a", "content": 3}', "content: Input should be a valid string"),
    "out of range": ("read", '{"path": "a", "offset": 0}', "offset: Input should be greater than or equal to 1"),
    "missing": ("write", '{"path": "a"}', "content: Field required"),
    "nothing at all": ("write", "", "path: Field required; content: Field required"),
    "unknown argument": (
        "write",
        '{"path": "a", "content": "", "mode": 1}',
        "mode: there is none; it takes path, content",
    ),
    "too deep": ("write", "[" * 100_000, "recursion limit"),
    "half a surrogate": ("write", '{"path": "\\ud800", "content": ""}', "Invalid JSON"),
    "no number": ("read", '{"path": "a", "offset": 1e400}', "offset: Input should be a finite number"),
    "too long to be kept": ("write", json.dumps({"path": "a", "content": "x" * 300_000}), "they end in the middle"),
    "an endless name": ("n" * 300_000, "{}", "there is no tool 'nnnn"),
    "an endless argument name": (
        "write",
        json.dumps({"k" * 100_000: 1}),
        "kkkk: there is none; it takes path, content",
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize(("tool", "arguments", "said"), BAD.values(), ids=BAD)
async def test_a_bad_call_is_told_does_nothing_and_is_corrected(
    tmp_path: Path, tool: str, arguments: str, said: str
) -> None:
    """The model reads what was wrong; its next, right call is carried out; the run finishes."""
    turns = [Turn(calls=(ToolCall("c1", tool, arguments),)), call("write", path="a", content="right"), say("done")]
    async with open_world(tmp_path, turns) as world:
        state = await world.run()
        assert (state.status, state.output) == ("finished", "done")
        wrong, right = state.steps
        assert not wrong.ok
        assert said in wrong.text
        assert len(wrong.text) <= CALL_ERROR_CHARS_MAX
        assert right.ok
        assert [path.name for path in world.workspace.iterdir()] == ["a"]
        (refused,) = await world.entries(state.run, "call.invalid")
        assert not await world.entries(state.run, "call.denied")
        assert (refused.payload or {})["call"] == wrong.call


@pytest.mark.anyio
@pytest.mark.parametrize("model_id", ["", "same", "\ud800", "i" * 5_000])
async def test_calls_with_equal_or_odd_ids_are_each_carried_out_and_answered_once(
    tmp_path: Path, model_id: str
) -> None:
    """A model's ids are labels: two calls under one are two calls, answered in order; whoever resumes knows both."""
    both = tuple(ToolCall(model_id, "write", json.dumps({"path": name, "content": name})) for name in "ab")
    async with open_world(tmp_path, [Turn(calls=both), say("done")]) as world:
        state = await world.run()
        assert state.status == "finished"
        assert [(step.ok, json.loads(step.arguments)["path"]) for step in state.steps] == [(True, "a"), (True, "b")]
        assert len({step.call for step in state.steps}) == 2
        assert len([message for message in state.messages if message.role == "tool"]) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("count", [CALLS_PER_TURN_MAX, CALLS_PER_TURN_MAX + 1, REPLY_CALLS_MAX + 1])
async def test_calls_beyond_the_bound_of_a_reply_are_told_so(tmp_path: Path, count: int) -> None:
    """At the bound all are carried out; beyond it each is answered with the bound, up to those that are kept."""
    many = tuple(ToolCall(f"c{number}", "ls", "{}") for number in range(count))
    async with open_world(tmp_path, [Turn(calls=many), say("done")]) as world:
        state = await world.run()
        assert state.status == "finished"
        assert sum(step.ok for step in state.steps) == min(count, CALLS_PER_TURN_MAX)
        assert len(state.steps) == min(count, REPLY_CALLS_MAX)


@pytest.mark.anyio
async def test_an_answer_too_long_for_an_entry_is_kept_as_far_as_it_goes(tmp_path: Path) -> None:
    """The run finishes, and its output says that it was cut."""
    async with open_world(tmp_path, [say("long " * 100_000)]) as world:
        state = await world.run()
        assert state.status == "finished"
        assert state.output.startswith("long long ")
        assert state.output.endswith("too long to be kept]")


_LETTERS: Final = st.sampled_from('x"\\\n\x01é漢😀\ud800')
_SIZES: Final = st.sampled_from([0, 1, 30, 1_000, 40_000, 300_000])


@settings(max_examples=30)
@given(_LETTERS, st.tuples(_SIZES, _SIZES, _SIZES, _SIZES), st.integers(0, REPLY_CALLS_MAX + 2))
@example("\x01", (30, 30, 30, 300_000), REPLY_CALLS_MAX)
def test_whatever_a_model_says_fits_an_entry(letter: str, sizes: tuple[int, int, int, int], count: int) -> None:
    """Any text, any calls, of any letters: what is kept can be stored, and no call becomes one without arguments."""
    text, identity, name, arguments = (letter * size for size in sizes)
    reply = Reply(text, (ToolCall(identity, name, arguments),) * count, "stop", Usage(), "m/m")
    kept = recordable(reply)
    told = [{"call": "r" * 30, "id": one.id, "name": one.name, "arguments": one.arguments} for one in kept.calls]
    assert len(codec.canonical({"text": kept.text, "calls": told})) <= ENTRY_PAYLOAD_BYTES_MAX - 8_192
    assert all(bool(one.arguments) == bool(arguments) for one in kept.calls)


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.text(st.characters(codec="utf-8"), max_size=200))
def test_a_reply_that_fits_is_left_as_it_is(text: str, arguments: str) -> None:
    """Nothing of an ordinary reply is touched."""
    reply = Reply(text, (ToolCall("c", "t", arguments),), "stop", Usage(), "m/m")
    assert recordable(reply) is reply
