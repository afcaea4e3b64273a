"""Anthropic's events without a network: cut anywhere, out of order, unknown, malformed or dishonest."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.adapters.providers.gather import TOKENS_MAX
from kernel.adapters.providers.messages.assemble import Assembly
from kernel.adapters.providers.refusal import Asked
from kernel.adapters.providers.sse import EventReader
from kernel.errors import Invalid, OxiosError, ProviderDown
from kernel.ports.provider import (
    CallDelta,
    ContextOverflow,
    KeyRefused,
    ModelEvent,
    Overloaded,
    QuotaSpent,
    RateLimited,
    ReasoningDelta,
    Reply,
    TextDelta,
    Usage,
)
from kernel.testing.messages_format import encode_stream, encode_whole
from kernel.testing.model_script import Answer, ScriptedCall

ASKED = Asked("claude", "http://127.0.0.1/v1/messages", "m", "ANTHROPIC_API_KEY")
ANSWER = Answer("schön 🌍 is it", (ScriptedCall("read", '{"path": "ü"}'), ScriptedCall("ls")), reasoning="let me sée")
STREAM = encode_stream(ANSWER)


def assemble(*bodies: bytes) -> Reply:
    reader, assembly = EventReader(), Assembly(ASKED)
    for body in bodies:
        assembly.take(reader.feed(body))
    assembly.take(reader.close())
    return assembly.reply(3)


def start(index: object, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: object, **what: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": what}


def part(index: object, text: str) -> dict[str, Any]:
    return delta(index, type="input_json_delta", partial_json=text)


def use(index: object, name: str, call_id: str = "", **more: Any) -> dict[str, Any]:
    return start(index, type="tool_use", id=call_id, name=name, **more)


def end(reason: str | None = "tool_use", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


def taken(*events: dict[str, Any]) -> tuple[Reply, list[ModelEvent]]:
    assembly = Assembly(ASKED)
    found: list[ModelEvent] = []
    for event in events:
        found += assembly.take([event])
    return assembly.reply(3), found


WHOLE = assemble(STREAM)


@given(st.lists(st.integers(0, len(STREAM)), max_size=60), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_where_a_stream_is_cut_makes_no_difference(cuts: list[int], line_end: bytes) -> None:
    """Any cut, within a character, a line end or a field name, gives the same reply."""
    stream = STREAM.replace(b"\n", line_end)
    places = [0, *sorted(cuts), len(stream)]
    assert assemble(*(stream[begin:stop] for begin, stop in pairwise(places))) == WHOLE


def test_the_stream_says_what_it_is_meant_to() -> None:
    """The reply that the cuts are compared with is the right one, and a whole message says the same."""
    assert (WHOLE.text, WHOLE.reasoning, WHOLE.finish) == ("schön 🌍 is it", "let me sée", "tool_calls")
    assert [(call.name, call.arguments) for call in WHOLE.calls] == [("read", '{"path": "ü"}'), ("ls", "{}")]
    assert WHOLE.usage == Usage(100, 20, 40)
    assert WHOLE.model == "claude/scripted-1"
    assembly = Assembly(ASKED)
    assembly.take([json.loads(encode_whole(ANSWER))])
    whole = assembly.reply(3)
    assert (whole.text, whole.reasoning, whole.finish, whole.usage) == (
        WHOLE.text, WHOLE.reasoning, WHOLE.finish, WHOLE.usage,
    )  # fmt: skip
    assert [json.loads(call.arguments) for call in whole.calls] == [{"path": "ü"}, {}]


def test_interleaved_blocks_keep_their_own_fragments() -> None:
    """Fragments land by index: between each other, after text, and before their block's beginning."""
    reply, events = taken(
        use(2, "b", "tb"), part(1, '{"x":'), part(2, '{"y":'), use(1, "a", "ta"), part(2, "2}"), part(1, "1}"),
        delta(0, type="text_delta", text="said"), end(),
    )  # fmt: skip
    assert [(call.id, call.name, call.arguments) for call in reply.calls] == [
        ("tb", "b", '{"y":2}'), ("ta", "a", '{"x":1}'),
    ]  # fmt: skip
    assert reply.text == "said"
    for index, call in enumerate(reply.calls):
        fragments = [event.fragment for event in events if isinstance(event, CallDelta) and event.index == index]
        assert "".join(fragments) == call.arguments


def test_ids_are_made_unique() -> None:
    """Missing and repeated ids become ids of their own."""
    reply, _ = taken(use(0, "a", "t"), use(1, "b", "t"), use(2, "c"), use(3, "d"), end())
    assert [call.name for call in reply.calls] == ["a", "b", "c", "d"]
    assert len({call.id for call in reply.calls} - {""}) == 4


def test_one_index_for_two_blocks_is_two_calls() -> None:
    """A server that numbers every block 0 is understood."""
    reply, _ = taken(use(0, "a", "t1"), part(0, '{"x":1}'), use(0, "b", "t2"), part(0, '{"x":2}'), end())
    assert [(call.name, call.arguments) for call in reply.calls] == [("a", '{"x":1}'), ("b", '{"x":2}')]


@pytest.mark.parametrize(
    ("parts", "arguments"),
    [((), ["{}"]), (('{"a":',), ['{"a":']), (("{}{}",), ["{}", "{}"]), (("[" * 100_000,), ["[" * 100_000])],
)
def test_arguments_that_are_none_reach_the_runtime(parts: tuple[str, ...], arguments: list[str]) -> None:
    """Empty is an object; broken and bottomless stay as they are; two objects are two calls."""
    reply, _ = taken(use(0, "a", "t"), *(part(0, text) for text in parts), end())
    assert [call.arguments for call in reply.calls] == arguments


def test_arguments_that_came_whole_are_taken() -> None:
    """A server that puts the input into the beginning of a block, and sends no fragments."""
    reply, _ = taken(use(0, "a", "t", input={"x": 1}), use(1, "b", "u", input={"x": 1}), part(1, '{"x":2}'), end())
    assert [json.loads(call.arguments) for call in reply.calls] == [{"x": 1}, {"x": 2}]


def test_what_nobody_knows_is_passed_over() -> None:
    """Pings, events, blocks and deltas of other kinds change nothing."""
    reply, events = taken(
        {"type": "ping"}, {"type": "news"}, start(0, type="redacted_thinking", data="x"),
        start(1, type="server_tool_use", id="s", name="web"), delta(0, type="signature_delta", signature="x"),
        delta(1, type="citations_delta", citation={}), {"type": "content_block_stop", "index": 7},
        start(2, type="text", text="a"), delta(2, type="text_delta", text=None), end("end_turn"),
    )  # fmt: skip
    assert (reply.text, reply.calls, reply.reasoning) == ("a", (), "")
    assert events == [TextDelta("a")]


def test_thinking_is_reasoning() -> None:
    """Thinking is streamed as reasoning, before the text of the same packet."""
    assembly = Assembly(ASKED)
    found = assembly.take([delta(1, type="text_delta", text="b"), delta(0, type="thinking_delta", thinking="a")])
    assert found == [ReasoningDelta("a"), TextDelta("b")]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("refusal", "content_filter"),
        ("model_context_window_exceeded", "length"), ("pause_turn", "other"), ("tool_use", "stop"),
    ],
)  # fmt: skip
def test_a_stop_reason_is_one_of_ours(reason: str, finish: str) -> None:
    """Each reason is mapped; calls decide between an answer and calls, not the word."""
    assert taken(end(reason))[0].finish == finish


@pytest.mark.parametrize(
    ("given", "usage"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, Usage(10, 5)),
        (
            {
                "input_tokens": 1,
                "cache_read_input_tokens": 7,
                "cache_creation_input_tokens": 2,
                "output_tokens": 5,
            },
            Usage(10, 5, 7, written_tokens=2),
        ),
        ({"input_tokens": 10, "cache_read_input_tokens": None, "output_tokens": 5}, Usage(10, 5)),
        ({}, Usage(reported=False)),
        ({"input_tokens": 10}, Usage(reported=False)),
        ({"input_tokens": -10, "output_tokens": 5}, Usage(reported=False)),
        ({"input_tokens": 10, "output_tokens": -5}, Usage(reported=False)),
        ({"input_tokens": 10, "output_tokens": TOKENS_MAX + 1}, Usage(reported=False)),
        ({"input_tokens": 10, "output_tokens": float("inf")}, Usage(reported=False)),
        ({"input_tokens": "many", "output_tokens": 5}, Usage(reported=False)),
        ({"input_tokens": 0, "output_tokens": 0}, Usage(reported=False)),
    ],
)
def test_usage_is_counted_or_not_believed(given: dict[str, Any], usage: Usage) -> None:
    """Cached tokens are part of the prompt; a count that cannot be true counts as none."""
    assert taken(end("end_turn", **given))[0].usage == usage


def test_the_newest_count_holds() -> None:
    """The beginning's counts stand until the end corrects them."""
    begin = {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}
    assert taken(begin, end("end_turn", output_tokens=7))[0].usage == Usage(9, 7)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, Overloaded),
        ({"type": "rate_limit_error", "message": "slow"}, RateLimited),
        ({"type": "authentication_error", "message": "no"}, KeyRefused),
        ({"type": "billing_error", "message": "no"}, QuotaSpent),
        ({"type": "api_error", "message": "no"}, ProviderDown),
        ({"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 5 maximum"}, ContextOverflow),
        ({"type": "invalid_request_error", "message": "Your credit balance is too low"}, QuotaSpent),
        ({"type": "invalid_request_error", "message": "bad"}, Invalid),
        (None, ProviderDown),
    ],
)
def test_an_error_event_is_typed(error: object, kind: type[OxiosError]) -> None:
    """A stream that began with 200 can still say what went wrong."""
    with pytest.raises(OxiosError) as raised:
        Assembly(ASKED).take([{"type": "error", "error": error}])
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message"}, {"type": "content_block_delta"}, {"type": "content_block_start", "content_block": 5},
        {"type": "message_start", "message": []}, {"type": "message_delta", "delta": None},
        {"type": "content_block_delta", "index": {}, "delta": {"type": "input_json_delta"}},
    ],
)  # fmt: skip
def test_an_event_of_another_shape_is_a_typed_error(event: dict[str, Any]) -> None:
    """What is no message's event ends the request as ProviderDown, not as a stack trace."""
    with pytest.raises(ProviderDown, match="no message's"):
        Assembly(ASKED).take([event])


def test_an_event_without_a_type_ends_a_message_that_has_begun() -> None:
    """Before one has, it may be another format's, which whoever reads the whole answer says."""
    assembly = Assembly(ASKED)
    assert assembly.take([{}]) == []
    assert not assembly.begun
    with pytest.raises(ProviderDown, match="no type"):
        assembly.take([{"type": "message_start", "message": {}}, {}])
