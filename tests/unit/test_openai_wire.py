"""The OpenAI wire format without a network: events cut anywhere, replies put together, refusals typed."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.adapters.providers.body import PIECE_BYTES
from kernel.adapters.providers.chat.assemble import Assembly
from kernel.adapters.providers.chat.encode import WIRE, encode_request
from kernel.adapters.providers.refusal import Asked, refusal, refusal_in_stream, retry_after_s
from kernel.adapters.providers.sse import EVENT_BYTES_MAX, EventReader
from kernel.errors import Invalid, OxiosError, ProviderDown
from kernel.ports.provider import (
    ContextOverflow,
    KeyRefused,
    Message,
    ModelRequest,
    ModelUnknown,
    Overloaded,
    QuotaSpent,
    RateLimited,
    Reply,
    TextDelta,
    TimedOut,
    ToolCall,
    ToolSpec,
)
from kernel.testing.chat_format import encode_stream
from kernel.testing.model_script import Answer, ScriptedCall

ASKED = Asked("local", "http://127.0.0.1/v1/chat/completions", "m", "LOCAL_KEY")
STREAM = encode_stream(
    Answer("schön 🌍 is it", (ScriptedCall("read", '{"path": "ü"}'), ScriptedCall("ls")), reasoning="let me sée")
)


def assemble(*bodies: bytes) -> Reply:
    reader, assembly = EventReader(), Assembly(ASKED)
    for body in bodies:
        assembly.take(reader.feed(body))
    assembly.take(reader.close())
    return assembly.reply(3)


def deltas(*found: dict[str, Any], finish: str | None = "tool_calls") -> Reply:
    assembly = Assembly(ASKED)
    assembly.take([{"choices": [{"delta": one}]} for one in found])
    assembly.take([{"choices": [{"delta": {}, "finish_reason": finish}]}])
    return assembly.reply(3)


def call_delta(arguments: object, **more: Any) -> dict[str, Any]:
    name = more.pop("name", None)
    return {"tool_calls": [{**more, "function": {"name": name, "arguments": arguments}}]}


WHOLE = assemble(STREAM)


@given(st.lists(st.integers(0, len(STREAM)), max_size=60), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_where_a_stream_is_cut_makes_no_difference(cuts: list[int], line_end: bytes) -> None:
    """Any cut, within a character, a line end or a field name, gives the same reply."""
    stream = STREAM.replace(b"\n", line_end)
    places = [0, *sorted(cuts), len(stream)]
    assert assemble(*(stream[start:end] for start, end in pairwise(places))) == WHOLE


def test_the_stream_says_what_it_is_meant_to() -> None:
    """The reply that the cuts are compared with is the right one."""
    assert (WHOLE.text, WHOLE.reasoning, WHOLE.finish) == ("schön 🌍 is it", "let me sée", "tool_calls")
    assert [(call.name, call.arguments) for call in WHOLE.calls] == [("read", '{"path": "ü"}'), ("ls", "{}")]
    assert (WHOLE.usage.input_tokens, WHOLE.usage.output_tokens, WHOLE.usage.cached_tokens) == (100, 20, 40)
    assert WHOLE.model == "local/scripted-1"


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbfdata: {"a":1}\n\n',
        b': a comment\nevent: x\nid: 1\nretry: 9\ndata:{"a":1}\n\n',
        b'data: {"a":\ndata: 1}\n\n',
        b'data: {"a":1}',
        b'\n\n\ndata: {"a":1}\n\n\n\ndata: [DONE]\n\ndata: {"late":1}\n\n',
    ],
)
def test_every_form_of_an_event_is_read(body: bytes) -> None:
    """Byte order mark, comments, other fields, several data lines, no last newline, nothing after the end."""
    reader = EventReader()
    assert reader.feed(body) + reader.close() == [{"a": 1}]


def test_events_without_a_blank_line_between_are_two() -> None:
    """A server that forgets the separator is understood."""
    assert EventReader().feed(b'data: {"a":1}\ndata: {"b":2}\n') == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("body", [b"data: {broken\n\n", b"data: [1]\n\n", b"data: " + b"x" * (EVENT_BYTES_MAX + 1)])
def test_what_is_no_event_is_a_typed_error(body: bytes) -> None:
    """Broken JSON, JSON that is no object, and an event without end each end the request."""
    with pytest.raises(ProviderDown):
        EventReader().feed(body)


def test_an_event_just_below_the_bound_is_read() -> None:
    """The bound on one event is where it says."""
    text = "x" * (EVENT_BYTES_MAX - 100)
    assert EventReader().feed(b'data: {"t":"' + text.encode() + b'"}\n\n') == [{"t": text}]


def test_interleaved_calls_keep_their_own_arguments() -> None:
    """Deltas of two calls, mixed, land in the call of their index."""
    reply = deltas(
        call_delta("", index=0, id="a", name="read"),
        call_delta("", index=1, id="b", name="ls"),
        call_delta('{"x"', index=0),
        call_delta('{"y"', index=1),
        call_delta(":1}", index=0),
        call_delta(":2}", index=1),
    )
    assert reply.calls == (ToolCall("a", "read", '{"x":1}'), ToolCall("b", "ls", '{"y":2}'))


@pytest.mark.parametrize("index", [{"index": 0}, {}])
def test_calls_that_share_an_index_or_have_none_are_told_apart_by_id(index: dict[str, int]) -> None:
    """Servers that number every call 0, or none, still give two calls."""
    reply = deltas(
        call_delta('{"x":1}', id="a", name="read", **index),
        call_delta('{"y":', id="b", name="ls", **index),
        call_delta("2}", **index),
    )
    assert reply.calls == (ToolCall("a", "read", '{"x":1}'), ToolCall("b", "ls", '{"y":2}'))


def test_concatenated_arguments_become_parallel_calls() -> None:
    """`{…}{…}` in one call is one call for each object, with ids of their own."""
    reply = deltas(call_delta('{"a": 1}{"a": 2} {"a": 3}', index=0, id="x", name="read"))
    assert [call.arguments for call in reply.calls] == ['{"a": 1}', '{"a": 2}', '{"a": 3}']
    assert len({call.id for call in reply.calls}) == 3


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ("", "{}"),
        (None, "{}"),
        ("  ", "{}"),
        ({"a": 1}, '{"a": 1}'),
        ('{"a": ', '{"a":'),
        ('{"a": 1}{"b"', '{"a": 1}{"b"'),
        ("[1]", "[1]"),
        ("nonsense", "nonsense"),
    ],
)
def test_odd_arguments(arguments: object, kept: str) -> None:
    """Nothing becomes an empty object; what is no JSON object is passed on for the model to correct."""
    assert [call.arguments for call in deltas(call_delta(arguments, index=0, id="x", name="read")).calls] == [kept]


def test_ids_are_unique_and_never_empty() -> None:
    """Missing and repeated ids are replaced; the others stay."""
    reply = deltas(*(call_delta("{}", index=n, id=one, name="ls") for n, one in enumerate(["a", "", "a", "", "a_3"])))
    ids = [call.id for call in reply.calls]
    assert ids[0] == "a"
    assert len(set(ids)) == 5
    assert all(ids)


@pytest.mark.parametrize(
    ("said", "calls", "meant"),
    [
        ("stop", 1, "tool_calls"),
        ("tool_calls", 0, "stop"),
        ("length", 1, "length"),
        ("content_filter", 0, "content_filter"),
        ("weird", 0, "other"),
    ],
)
def test_the_reason_to_stop_agrees_with_the_reply(said: str, calls: int, meant: str) -> None:
    """A reply with calls was not simply finished, one without was; a cut one is said to be cut."""
    found = [call_delta("{}", index=n, id=f"c{n}", name="ls") for n in range(calls)]
    assert deltas(*found, finish=said).finish == meant


def test_content_in_parts_is_joined() -> None:
    """A server that gives content as a list of parts is understood."""
    assert deltas({"content": [{"type": "text", "text": "a"}, {"type": "x"}, "y"]}, {"content": "b"}).text == "ab"


_CALL_KEYS = ("tool_calls", "function", "name", "arguments", "id", "index")
_KEYS = (
    "choices",
    "delta",
    "message",
    "finish_reason",
    "usage",
    "prompt_tokens",
    "content",
    "reasoning",
    "error",
    "model",
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "tool_calls", "function", "usage", "content", "error"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(["choices", "usage", "error", "model", "object"]), _JSON), max_size=4))
def test_chunks_of_any_shape_give_a_reply_or_a_typed_error(chunks: list[dict[str, Any]]) -> None:
    """Whatever a server sends, nothing but an OxiosError comes out of it."""
    assembly = Assembly(ASKED)
    try:
        assembly.take(chunks)
        reply = assembly.reply(1)
    except OxiosError:
        return
    assert isinstance(reply, Reply)
    for text in (reply.text, reply.reasoning, reply.model, *(f"{c.id}{c.name}{c.arguments}" for c in reply.calls)):
        assert text.encode() is not None
    assert isinstance(reply.usage.input_tokens, int)


def test_a_character_split_over_two_deltas_is_whole() -> None:
    """Half a surrogate pair waits for the other; a lone half becomes U+FFFD, in text and arguments."""
    assembly = Assembly(ASKED)
    first, second, third = (json.loads(f'"{one}"') for one in ("a\\ud83c", "\\udf0d b", "\\udf0d"))
    events = [
        event
        for part in (first, second, third)
        for event in assembly.take([{"choices": [{"delta": {"content": part}}]}])
    ]
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["a", "🌍 b", "\ufffd"]
    assert assembly.reply(1).text == "a🌍 b\ufffd"


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (401, '{"error":{"message":"bad key"}}', KeyRefused, "LOCAL_KEY"),
        (403, "", KeyRefused, "LOCAL_KEY"),
        (402, "{}", QuotaSpent, "top up"),
        (404, '{"error":{"message":"The model `m` does not exist"}}', ModelUnknown, "'m'"),
        (400, '{"error":{"code":"context_length_exceeded","message":"x"}}', ContextOverflow, "shorten"),
        (400, '{"error":{"message":"This model\'s maximum context length is 8 tokens"}}', ContextOverflow, "shorten"),
        (413, "too big", ContextOverflow, "shorten"),
        (400, '{"error":{"code":"model_not_found"}}', ModelUnknown, "'m'"),
        (400, '{"error":"no such parameter"}', Invalid, "no such parameter"),
        (422, '{"detail":[{"msg":"field required"}]}', Invalid, "field required"),
        (307, "", Invalid, "base_url"),
        (408, "", TimedOut, "again"),
        (429, '{"error":{"message":"Rate limit reached"}}', RateLimited, "Rate limit"),
        (429, '{"error":{"code":"insufficient_quota"}}', QuotaSpent, "top up"),
        (500, "<html>oops</html>", ProviderDown, "oops"),
        (529, '[{"error":{"message":"overloaded"}}]', Overloaded, "overloaded"),
    ],
)
def test_a_status_and_a_body_are_one_error(status: int, body: str, error: type[OxiosError], words: str) -> None:
    """Each refusal has its type, says what the provider said, and what to do."""
    found = refusal(ASKED, status, body.encode(), {})
    assert type(found) is error
    assert found.remedy
    assert words in found.explain()
    assert str(status) in found.message


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("overloaded", Overloaded),
        ("broken", ProviderDown),
        ({"message": "x", "code": 429}, RateLimited),
        ({"message": "x", "code": 401}, KeyRefused),
        ({"message": "maximum context length is 5"}, ContextOverflow),
        ({"type": "insufficient_quota"}, QuotaSpent),
        ({"code": "invalid_api_key"}, KeyRefused),
        ({"code": "model_not_found"}, ModelUnknown),
        ({"type": "invalid_request_error", "message": "bad tool"}, Invalid),
        ({}, ProviderDown),
    ],
)
def test_an_error_inside_a_stream_is_typed_too(error: object, kind: type[OxiosError]) -> None:
    """A stream that began with 200 can still say what went wrong."""
    assert type(refusal_in_stream(ASKED, error)) is kind


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "999999"}, 3600.0),
        ({"retry-after-ms": "-5"}, 0.0),
        ({"retry-after": "Fri, 01 Jan 2027 00:00:30 GMT", "date": "Fri, 01 Jan 2027 00:00:00 GMT"}, 30.0),
        ({"retry-after": "Fri, 01 Jan 1999 00:00:30 GMT"}, 0.0),
        ({"retry-after": "Fri, 01 Jan 2999 00:00:30 GMT"}, 3600.0),
        ({"retry-after": "soon", "date": "never"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds or a date against the server's own clock, or else ours, bounded; nonsense is nothing."""
    assert retry_after_s(headers) == seconds


def body_of(request: ModelRequest) -> dict[str, Any]:
    return json.loads(b"".join(encode_request(request, "m", "max_tokens")))


def conversation(rounds: int, size: int = 10) -> list[Message]:
    messages = [Message("system", "sys"), Message("user", "gö")]
    for number in range(rounds):
        messages.append(Message("assistant", "", (ToolCall(f"c{number}", "read", '{"p":1}'),)))
        messages.append(Message("tool", "x" * size, call_id=f"c{number}"))
    return messages


def test_a_body_is_what_the_protocol_asks_for() -> None:
    """Messages, calls, results, tools and options stand where a server looks for them."""
    tool = ToolSpec("read", "Read.", {"type": "object"})
    body = body_of(ModelRequest("m", conversation(1), (tool,), output_tokens_max=9, temperature=0.5))
    assert body["messages"][2] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c0", "type": "function", "function": {"name": "read", "arguments": '{"p":1}'}}],
    }
    assert body["messages"][3] == {"role": "tool", "content": "x" * 10, "tool_call_id": "c0"}
    assert body["tools"][0]["function"] == {"name": "read", "description": "Read.", "parameters": {"type": "object"}}
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    assert (body["max_tokens"], body["temperature"], body["model"]) == (9, 0.5, "m")
    assert "tools" not in body_of(ModelRequest("m", conversation(0)))


@pytest.mark.parametrize("size", [10, PIECE_BYTES // 10, PIECE_BYTES * 2])
def test_a_long_conversation_is_the_same_json_in_pieces(size: int) -> None:
    """Cutting the body into pieces neither loses nor adds a byte, and bounds what is copied at once."""
    messages = conversation(15, size)
    pieces = encode_request(ModelRequest("m", messages), "m", "max_tokens")
    assert [message["role"] for message in json.loads(b"".join(pieces))["messages"]] == [one.role for one in messages]
    if size * 15 < PIECE_BYTES:
        assert len(pieces) == 1
    else:
        assert len(pieces) > 1
        assert max(map(len, pieces)) <= PIECE_BYTES * 2 + size


def test_each_message_and_the_tools_are_encoded_once() -> None:
    """The next round's body begins with this round's bytes, and uses the very same encodings."""
    tools = (ToolSpec("read", "Read.", {}),)
    messages = conversation(3)
    first = b"".join(encode_request(ModelRequest("m", messages, tools), "m", "max_tokens"))
    kept, tool = [message.wire[WIRE] for message in messages], tools[0].wire[WIRE]
    messages += conversation(1)[2:]
    second = b"".join(encode_request(ModelRequest("m", messages, tools), "m", "max_tokens"))
    assert all(message.wire[WIRE] is before for message, before in zip(messages, kept, strict=False))
    assert second.startswith(first[: first.index(b',"tools"') - 1])
    assert tools[0].wire[WIRE] is tool


def test_arguments_that_are_no_json_go_back_as_an_object() -> None:
    """A server that parses the history is not made to fail by what the model once wrote."""
    message = Message("assistant", "", (ToolCall("c", "read", '{"p":'),))
    body = body_of(ModelRequest("m", [message]))
    assert json.loads(body["messages"][0]["tool_calls"][0]["function"]["arguments"]) == {"malformed": '{"p":'}


def test_a_lone_surrogate_does_not_end_the_run() -> None:
    """Text that has no UTF-8 form is sent with a replacement character."""
    assert body_of(ModelRequest("m", [Message("tool", "a\ud800b", call_id="c")]))["messages"][0]["content"] == "a?b"
