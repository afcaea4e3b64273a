"""What servers that call themselves compatible do otherwise, in chat completions and in messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernel.adapters.providers.chat.assemble import Assembly as Chat
from kernel.adapters.providers.form import form_of, words_of
from kernel.adapters.providers.messages.assemble import Assembly as Messages
from kernel.adapters.providers.openai import wire_of
from kernel.adapters.providers.refusal import Asked, refusal
from kernel.errors import OxiosError, ProviderDown
from kernel.ports.provider import (
    CallDelta,
    Message,
    ModelRequest,
    ModelUnknown,
    RateLimited,
    ReasoningDelta,
    Reply,
    TextDelta,
    Usage,
)

ASKED = Asked("local", "http://127.0.0.1/v1/chat/completions", "m", "")


def said(*deltas: dict[str, Any], finish: str = "stop", **more: Any) -> Reply:
    assembly = Chat(ASKED)
    assembly.take([{"choices": [{"delta": one}]} for one in deltas])
    assembly.take([{"choices": [{"delta": {}, "finish_reason": finish, **more}]}])
    return assembly.reply(3)


def called(*calls: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Each call in a delta of its own; then all of them in one."""
    apart = said(*({"tool_calls": [one]} for one in calls)).calls
    together = said({"tool_calls": list(calls)}).calls
    assert apart == together
    return [(one.id, one.name, one.arguments) for one in apart]


def named(name: str | None, arguments: str, **more: Any) -> dict[str, Any]:
    return {**more, "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("<think>a < b</thin\n</think>\n\nIt is <b>.", "a < b</thin\n", "It is <b>."),
        ("\n <think></think>yes", "", "yes"),
        ("<think>never closed </th", "never closed </th", ""),
        ("<thin", "", "<thin"),
        (" <thing>", "", " <thing>"),
        ("say <think>x</think>", "", "say <think>x</think>"),
        ("<think>a</think> <think>b</think>", "a", "<think>b</think>"),
        ("  ", "", "  "),
    ],
)
def test_thoughts_between_tags_are_no_answer(text: str, thoughts: str, answer: str) -> None:
    """Where the text begins with them, in one piece and in pieces of each length; elsewhere a tag is text."""
    for size in range(1, len(text) + 1):
        reply = said(*({"content": text[at : at + size]} for at in range(0, len(text), size)))
        assert (reply.reasoning, reply.text) == (thoughts, answer)


@pytest.mark.parametrize("finish", ["abort", "insufficient_system_resource", "error"])
def test_a_reply_that_the_server_gave_up_is_none(finish: str) -> None:
    """vLLM's, DeepSeek's and Mistral's words for it: what came before is not the answer."""
    with pytest.raises(ProviderDown, match=finish):
        said({"content": "half of"}, finish=finish)


@pytest.mark.parametrize(
    ("finish", "meant"),
    [("model_length", "length"), ("MAX_TOKENS", "length"), ("STOP", "stop"), ("content_filter: X", "content_filter")],
)
def test_reasons_to_stop_are_known_in_other_words(finish: str, meant: str) -> None:
    """Mistral's and Gemini's."""
    assert said({"content": "x"}, finish=finish).finish == meant


@pytest.mark.parametrize("more", [{}, {"index": 0}, {"index": 0, "id": "c"}, {"id": "c"}])
def test_calls_of_two_tools_that_share_everything_are_two(more: dict[str, Any]) -> None:
    """Without ids and indices, or with one for both: another name is another call, and no tool gets another's words."""
    found = called(named("read", '{"a":1}', **more), named("exec", '{"b":2}', **more))
    assert [one[1:] for one in found] == [("read", '{"a":1}'), ("exec", '{"b":2}')]
    assert len({one[0] for one in found}) == 2


@pytest.mark.parametrize("more", [{}, {"index": 0}, {"index": 0, "id": "c"}])
def test_a_name_that_every_delta_repeats_is_one_call(more: dict[str, Any]) -> None:
    """Its arguments go on."""
    found = called(named("read", '{"a"', **more), named("read", ":1}", **more), named("read", "", **more))
    assert [one[1:] for one in found] == [("read", '{"a":1}')]


def test_deltas_without_an_index_go_to_the_call_of_their_id() -> None:
    """Two calls in turns, told apart by nothing else."""
    first, second = named("read", '{"a"', id="x"), named("exec", '{"b"', id="y")
    found = called(first, second, named(None, ":1}", id="x"), named(None, ":2}", id="y"))
    assert found == [("x", "read", '{"a":1}'), ("y", "exec", '{"b":2}')]


def test_the_call_of_an_old_server_is_a_call() -> None:
    """`function_call`, as it was before there were several."""
    parts = ({"function_call": {"name": "read", "arguments": '{"a"'}}, {"function_call": {"arguments": ":1}"}})
    reply = said(*parts, finish="function_call")
    assert [(one.name, one.arguments) for one in reply.calls] == [("read", '{"a":1}')]


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"thinking": "hm"},
        {"reasoning": None, "reasoning_details": [{"type": "reasoning.text", "text": "h"}, {"summary": "m"}, 5]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
    ],
)
def test_thoughts_are_reasoning_wherever_they_stand(delta: dict[str, Any]) -> None:
    """The fields of vLLM, DeepSeek, OpenRouter, Ollama and Mistral; none of it is the answer."""
    reply = said(delta, {"content": [{"type": "text", "text": "yes"}]})
    assert (reply.reasoning, reply.text) == ("hm", "yes")


def test_parts_that_say_nothing_are_no_events() -> None:
    """An empty list of parts, or parts of a kind nobody knows."""
    events = Chat(ASKED).take([{"choices": [{"delta": {"content": [{"type": "image"}], "reasoning_details": [{}]}}]}])
    assert events == []


def test_a_refusal_is_said_in_the_models_own_words() -> None:
    """It is the answer, not silence."""
    assert said({"content": None, "refusal": "I will not."}).text == "I will not."


@pytest.mark.parametrize(
    ("usage", "meant"),
    [
        ({"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 399}, Usage(12, 387)),
        ({"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}, Usage(12, 5)),
        ({"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 3}, Usage(12, 5)),
        ({"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 10**15}, Usage(12, 5)),
        ({"prompt_tokens": -1, "completion_tokens": 5, "total_tokens": 99}, Usage(reported=False)),
    ],
)
def test_thoughts_that_only_the_total_counts_are_counted(usage: dict[str, Any], meant: Usage) -> None:
    """As xAI and Gemini bill them: with the answer; a total that cannot be true changes nothing."""
    assert said({"content": "a"}, usage=usage).usage == meant


def test_usage_in_a_last_chunk_without_choices_counts() -> None:
    """As OpenAI sends it; a `null` in the chunks before it is none."""
    assembly = Chat(ASKED)
    assembly.take([{"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}], "usage": None}])
    assembly.take([{"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}}])
    assert assembly.reply(1).usage == Usage(2, 3)


def test_a_count_before_the_answer_is_no_count_of_the_answer() -> None:
    """A message begins with one token of output on its bill; without the last count, nothing is reported."""
    begin = {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}
    end: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    for usage, meant in ((None, Usage(reported=False)), ({"output_tokens": 7}, Usage(9, 7))):
        assembly = Messages(ASKED)
        assembly.take([begin, {**end, "usage": usage}])
        assert assembly.reply(1).usage == meant


@pytest.mark.parametrize(
    ("choice", "error"),
    [
        ({"finish_reason": "error"}, ProviderDown),
        ({"finish_reason": "error", "error": {"code": 429, "message": "busy"}}, RateLimited),
        ({"finish_reason": "stop", "error": {"message": "model 'm' not found"}}, ModelUnknown),
    ],
)
def test_a_reply_that_ended_with_an_error_is_none(choice: dict[str, Any], error: type[OxiosError]) -> None:
    """What came before is not given as if it were whole."""
    assembly = Chat(ASKED)
    assembly.take([{"choices": [{"delta": {"content": "I think"}}]}])
    with pytest.raises(OxiosError) as raised:
        assembly.take([{"choices": [{"delta": {}, **choice}]}])
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("base_url", "tokens", "asks"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens", True),
        ("https://mine.openai.azure.com/openai/v1", "max_completion_tokens", True),
        ("https://api.mistral.ai/v1", "max_tokens", False),
        ("http://127.0.0.1:11434/v1", "max_tokens", True),
        ("https://api.openai.com.example.org/v1", "max_tokens", True),
    ],
)
def test_a_request_has_the_fields_that_its_server_takes(base_url: str, tokens: str, asks: bool) -> None:
    """OpenAI and Azure refuse the old name of the bound, Mistral the asking for usage."""
    wire = wire_of(base_url)
    body = json.loads(b"".join(wire.encode(ModelRequest("m", [Message("user", "hi")]), "m")))
    assert body[tokens] == ModelRequest("m", []).output_tokens_max
    assert len({"max_tokens", "max_completion_tokens"} & body.keys()) == 1
    assert ("stream_options" in body) is asks


@pytest.mark.parametrize(
    ("delay", "headers", "seconds"),
    [
        ("31s", {}, 31.0),
        ("0.5s", {}, 0.5),
        ("9999999s", {}, 3600.0),
        ("soon", {}, None),
        ("31s", {"retry-after": "7"}, 7.0),
    ],
)
def test_a_wait_that_stands_in_the_body_is_kept(delay: str, headers: dict[str, str], seconds: float | None) -> None:
    """Google's field; a header wins, and nonsense is nothing."""
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "RetryInfo", "retryDelay": delay}]}
    found = refusal(ASKED, 429, json.dumps([{"error": error}]).encode(), headers)
    assert isinstance(found, RateLimited)
    assert found.retry_after_s == seconds


def test_events_name_what_they_carry() -> None:
    """Reasoning, text and calls of one packet, in this order."""
    delta = {"thinking": "hm", "content": "yes", "tool_calls": [named("read", "{}", index=0)]}
    found = Chat(ASKED).take([{"choices": [{"delta": delta}]}])
    assert found == [ReasoningDelta("hm"), TextDelta("yes"), CallDelta(0, "read", "{}")]


@pytest.mark.parametrize(
    ("content_type", "first", "form"),
    [
        ("text/event-stream", b"data: {}", "events"),
        ("text/event-stream", b"\n: hello", "events"),
        ("text/plain", b"data: {}", "events"),
        ("text/html", b"data: {}", "events"),
        ("application/octet-stream", b"", "events"),
        ("text/event-stream", b'{"error":1}', "object"),
        ("text/plain", b"\xef\xbb\xbf {", "object"),
        ("application/json", b"[", "object"),
        ("application/problem+json", b" ", "object"),
        ("text/html", b"", "page"),
        ("text/html", b"Welcome", "page"),
        ("text/event-stream", b"\r\n<!DOCTYPE", "page"),
    ],
)
def test_an_answer_is_what_it_begins_like(content_type: str, first: bytes, form: str) -> None:
    """What it is called counts only where its beginning says nothing."""
    assert form_of(content_type, first) == form


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html><head><title> Sign in </title></head><body>x</body></html>", "Sign in"),
        ("<html><head><title></title><style>b{}</style></head><body><h1>Bad</h1> day</body>", "Bad day"),
        ("no page: a < b", "no page: a < b"),
    ],
)
def test_of_a_page_the_words_are_shown(text: str, words: str) -> None:
    """Its title, or what a person would read of it."""
    assert " ".join(words_of(text).split()) == words
