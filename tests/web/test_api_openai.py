"""Oxios for clients of OpenAI's API: documented forms over real HTTP, turns of sessions behind them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import anyio
import pytest
from yarl import URL

from kernel.errors import ProviderDown
from kernel.testing.provider import Turn, call, calls, say
from tests.cycle_world import SUBSTANTIAL, TRIVIAL, told
from tests.web.api_world import Api, serve_api

pytestmark = pytest.mark.anyio
MODEL = "oxios/scripted/model"
USER = {"role": "user", "content": "write a file"}
PIXEL = b"\x89PNG\r\n\x1a\n" + b"\0" * 32


async def test_models_are_personas_and_the_settings_models(tmp_path: Path) -> None:
    """By id, as OpenAI lists them."""
    async with (
        serve_api(tmp_path) as api,
        _client(await api.token(), api) as client,
        client.get("/v1/models") as answer,
    ):
        listed = await answer.json()
    assert listed["object"] == "list"
    names = [one["id"] for one in listed["data"]]
    assert "writer" in names
    assert MODEL in names
    assert {one["object"] for one in listed["data"]} == {"model"}


async def test_a_model_is_found_by_its_id(tmp_path: Path) -> None:
    """Each that is listed, its slashes as they are or encoded, the same each time; what is not listed is not found."""
    async with serve_api(tmp_path) as api, _client(await api.token(), api) as client:
        async with client.get("/v1/models") as answer:
            listed = (await answer.json())["data"]
        for one in listed:
            for path in (one["id"], quote(one["id"], safe="")):
                async with client.get(URL(f"/v1/models/{path}", encoded=True)) as answer:
                    assert await answer.json() == one
        for other in ("nobody", "oxios/none/such", "oxios/"):
            async with client.get(f"/v1/models/{other}") as answer:
                assert answer.status == 404
                assert (await answer.json())["error"]["type"] == "not_found_error"


async def test_what_a_client_only_offers_is_no_hindrance(tmp_path: Path) -> None:
    """Tools that may be called, and what tunes a sampling, are named as unused; calls of before are quoted."""
    tool = {"type": "function", "function": {"name": "weather"}}
    past = [
        {"role": "user", "content": "how warm is it?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "weather"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "21 degrees"},
        {"role": "assistant", "content": "It is warm."},
    ]
    offers: list[tuple[dict[str, Any], list[str]]] = [
        ({"tools": [tool], "tool_choice": "auto", "temperature": 0.5}, ["temperature", "tools"]),
        ({"tools": [], "tool_choice": "none", "modalities": ["text"], "logprobs": False}, []),
    ]
    script = [told(TRIVIAL), say("done")] * len(offers)
    async with serve_api(tmp_path, script) as api, _client(await api.token(), api) as client:
        for offer, unused in offers:
            body = {"model": MODEL, "messages": [*past, USER], **offer}
            async with client.post("/v1/chat/completions", json=body) as answer:
                assert answer.status == 200, await answer.text()
                assert (await answer.json())["oxios"]["unused"] == unused
        shown = "".join(message.text for message in api.provider.requests[-1].messages)
        assert "weather" in shown
        assert "21 degrees" in shown


async def test_a_conversation_goes_on_after_a_restart(tmp_path: Path) -> None:
    """By what was said in it, as before; another user's same words are none of it."""
    async with serve_api(tmp_path, [told(TRIVIAL), say("one")]) as api, _client(await api.token(), api) as client:
        first = await _complete(client, [USER])
    past = [USER, {"role": "assistant", "content": "one"}, {"role": "user", "content": "go on"}]
    async with serve_api(tmp_path, [told(TRIVIAL), say("two"), told(TRIVIAL), say("three")]) as api:
        async with _client(await api.token(), api) as client:
            again = await _complete(client, past)
        assert (again["oxios"]["session"], again["oxios"]["turn"]) == (first["oxios"]["session"], 2)
        async with await api.person("ada"), _client(await api.token("ada"), api) as client:
            other = await _complete(client, past)
        assert other["oxios"]["turn"] == 1


async def test_a_completion_is_a_turn_of_a_session_and_goes_on_with_it(tmp_path: Path) -> None:
    """What the agent did stands behind it; said back with something new, the same session goes on."""
    script = [told(TRIVIAL), call("write", path="a.txt", content="hi"), say("written"), told(TRIVIAL), say("nothing")]
    async with serve_api(tmp_path, script) as api, _client(await api.token(), api) as client:
        system = {"role": "system", "content": "be brief"}
        first = await _complete(client, [system, USER])
        assert first["object"] == "chat.completion"
        message = first["choices"][0]["message"]
        assert message["content"] == "written"
        assert first["choices"][0]["finish_reason"] == "stop"
        assert first["usage"] == {"prompt_tokens": 30, "completion_tokens": 15, "total_tokens": 45}
        assert (api.workspace / "a.txt").read_text() == "hi"
        assert "be brief" in api.provider.requests[1].messages[0].text + api.provider.requests[1].messages[1].text
        answered = {"role": "assistant", "content": "written"}
        then = await _complete(client, [system, USER, answered, {"role": "user", "content": "and then?"}])
        assert then["oxios"]["session"] == first["oxios"]["session"]
        assert then["oxios"]["turn"] == 2


async def test_going_on_from_an_earlier_place_forks_and_an_unknown_past_is_shown(tmp_path: Path) -> None:
    """The first conversation stays as it was; words that were never said here are quoted to the agent."""
    script = [told(TRIVIAL), say("one")] * 1 + [
        told(TRIVIAL),
        say("two"),
        told(TRIVIAL),
        say("three"),
        told(TRIVIAL),
        say("4"),
    ]
    async with serve_api(tmp_path, script) as api, _client(await api.token(), api) as client:
        first = await _complete(client, [USER])
        past = [USER, {"role": "assistant", "content": "one"}]
        second = await _complete(client, [*past, {"role": "user", "content": "go on"}])
        other = await _complete(client, [*past, {"role": "user", "content": "go elsewhere"}])
        assert second["oxios"]["session"] == first["oxios"]["session"]
        assert other["oxios"]["session"] != first["oxios"]["session"]
        assert other["oxios"]["turn"] == 2
        strange = [USER, {"role": "assistant", "content": "never said"}, {"role": "user", "content": "go on"}]
        new = await _complete(client, strange)
        assert new["oxios"]["turn"] == 1
        assert "never said" in "".join(message.text for message in api.provider.requests[-1].messages)


async def test_a_stream_has_what_is_done_as_reasoning_and_the_reply_as_content(tmp_path: Path) -> None:
    """Chunks in OpenAI's form, usage where it was asked for, `[DONE]` last."""
    script = [told(TRIVIAL), call("write", path="a.txt", content="hi"), say("written")]
    async with serve_api(tmp_path, script) as api, _client(await api.token(), api) as client:
        chunks = await _stream(client, [USER], stream_options={"include_usage": True})
    assert {one["object"] for one in chunks} == {"chat.completion.chunk"}
    assert len({one["id"] for one in chunks}) == 1
    deltas = [one["choices"][0]["delta"] for one in chunks if one["choices"]]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content") or "" for delta in deltas) == "written"
    assert "[write " in "".join(delta.get("reasoning_content") or "" for delta in deltas)
    assert [one["choices"][0]["finish_reason"] for one in chunks if one["choices"]][-1] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] == 45


async def test_what_the_agent_writes_is_content_while_it_is_written(tmp_path: Path) -> None:
    """It comes while the turn is under way; what is called stands beside it, and the reply is not said twice."""
    first = calls(call("ask_user", question="which?"), text="I have to ask.")
    body = {"model": MODEL, "messages": [USER], "stream": True}
    async with (
        serve_api(tmp_path, [told(TRIVIAL), first, say("It is blue.")]) as api,
        _client(await api.token(), api) as client,
        client.post("/v1/chat/completions", json=body) as answer,
    ):
        early = await _until(answer, "ask_user")
        assert _content(early) == "I have to ask."
        (run,) = api.kernel.supervisor.live
        with anyio.fail_after(20):
            while api.house.asker.waiting(run) is None:  # noqa: ASYNC110 -- by nobody told
                await anyio.sleep(0.01)
        api.house.asker.answer(run, "blue")
        late = await _until(answer, 'finish_reason": "stop')
    assert _content([*early, *late]) == "I have to ask.\n\nIt is blue."
    assert "I have to ask" not in "".join(one.get("reasoning_content") or "" for one in _deltas([*early, *late]))


async def test_an_answer_that_was_cut_off_goes_on_without_a_gap(tmp_path: Path) -> None:
    """As the record joins its parts."""
    script = [told(TRIVIAL), Turn(text="It is half ", cut_off=True), say("done.")]
    async with serve_api(tmp_path, script) as api, _client(await api.token(), api) as client:
        assert _content(await _stream(client, [USER])) == "It is half done."


async def test_a_later_attempt_stands_apart_and_the_best_one_is_the_reply(tmp_path: Path) -> None:
    """What was written by all of them was sent; where the reply is an earlier one's, it follows once more."""
    draft = {"goal": "write", "criteria": ["file exists: a.txt", "file exists: b.txt"]}
    script = [
        *(told(SUBSTANTIAL), told(draft)),
        *(call("write", path="a.txt", content="x"), say("one")),
        *(call("exec", command="rm a.txt"), say("two")),
    ]
    settings = {"cycle.generations_max": "2", "approval.mode": "auto"}
    async with serve_api(tmp_path, script, settings=settings) as api, _client(await api.token(), api) as client:
        chunks = await _stream(client, [USER])
    sent = _content(chunks)
    assert sent.startswith("one\n\ntwo\n\none\n\nReview notes, not met:")


@pytest.mark.parametrize("sent", ["looking\n\nwritten", "written", " written\n"])
async def test_a_streamed_answer_that_is_sent_back_goes_on_with_its_session(tmp_path: Path, sent: str) -> None:
    """As it was streamed, or as it is on record; whatever space is around it and whatever the instructions say."""
    first = calls(call("write", path="a.txt", content="hi"), text="looking")
    script = [told(TRIVIAL), first, say("written"), told(TRIVIAL), say("more")]
    async with serve_api(tmp_path, script) as api, _client(await api.token(), api) as client:
        chunks = await _stream(client, [_system("it is noon"), USER])
        assert _content(chunks) == "looking\n\nwritten"
        past = [_system("it is one"), USER, {"role": "assistant", "content": sent}]
        then = await _complete(client, [*past, {"role": "user", "content": "go on"}])
    assert then["oxios"]["session"] == chunks[-1]["oxios"]["session"]
    assert then["oxios"]["turn"] == 2
    shown = "".join(message.text for message in api.provider.requests[-1].messages)
    assert "it is one" in shown


async def test_the_whole_answer_tells_apart_what_was_said_on_the_way(tmp_path: Path) -> None:
    """The content is the recorded reply; what was written before it is reasoning, and it is not."""
    first = calls(call("write", path="a.txt", content="hi"), text="looking")
    script = [told(TRIVIAL), first, say("written")]
    async with serve_api(tmp_path, script) as api, _client(await api.token(), api) as client:
        message = (await _complete(client, [USER]))["choices"][0]["message"]
    assert message["content"] == "written"
    assert "looking" in message["reasoning_content"]
    assert "[write " in message["reasoning_content"]
    assert "written" not in message["reasoning_content"]


async def test_a_client_that_goes_ends_the_turn(tmp_path: Path) -> None:
    """Its agent is stopped, as by the button."""
    script = [told(TRIVIAL), call("ask_user", question="which?"), say("never")]
    async with serve_api(tmp_path, script) as api:
        async with _client(await api.token(), api) as client:
            body = {"model": MODEL, "messages": [USER], "stream": True}
            answer = await client.post("/v1/chat/completions", json=body)
            with anyio.fail_after(20):
                while b"ask_user" not in await answer.content.readline():
                    continue
            answer.close()
        with anyio.fail_after(20):
            while api.kernel.supervisor.live or api.house.conversations.busy_ids():  # noqa: ASYNC110 -- by nobody told
                await anyio.sleep(0.01)
        entries = await api.kernel.journal.read(kind="run.finished")
        assert [dict(one.payload or {})["status"] for one in entries] == ["cancelled"]


async def test_refusals_have_openais_form(tmp_path: Path) -> None:
    """Status, type, code and the parameter that is wrong; nothing is begun."""
    async with serve_api(tmp_path) as api, _client(await api.token(), api) as client:
        cases: list[tuple[dict[str, Any], int, str]] = [
            ({"model": "nobody"}, 404, "not_found_error"),
            ({"n": 2}, 400, "invalid_request_error"),
            ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, 400, "invalid_request_error"),
            ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "y"}]}, 422, "invalid_request_error"),
            ({"messages": [{"role": "assistant", "content": "x"}]}, 422, "invalid_request_error"),
            (
                {"messages": [{"role": "user", "content": [_image("https://example.org/x.png")]}]},
                422,
                "invalid_request_error",
            ),
            ({"surprise": 1}, 400, "invalid_request_error"),
        ]
        for more, status, kind in cases:
            async with client.post("/v1/chat/completions", json={"model": MODEL, "messages": [USER], **more}) as answer:
                assert answer.status == status, more
                error = (await answer.json())["error"]
                assert error["type"] == kind
                assert error["message"]
        async with _client("none", api) as stranger, stranger.get("/v1/models") as answer:
            assert answer.status == 401
            assert (await answer.json())["error"]["type"] == "authentication_error"
        async with _client(await api.token("tester", "read"), api) as reader:
            body = {"model": MODEL, "messages": [USER]}
            async with reader.post("/v1/chat/completions", json=body) as answer:
                assert answer.status == 403
        assert not await api.kernel.journal.rows("sessions")


async def test_a_refusal_says_what_an_agent_cannot_mean_and_what_to_do(tmp_path: Path) -> None:
    """In words for a person, naming the field; a path that is not there names those that are."""
    cases: list[tuple[dict[str, Any], str]] = [
        ({"function_call": {"name": "x"}}, "tools of its own"),
        ({"web_search_options": {}}, "tools of its own"),
        ({"audio": {"voice": "x", "format": "wav"}}, "answers in text"),
        ({"tool_choice": "required"}, "tools of its own"),
        ({"response_format": {"type": "json_object"}}, "answers in text"),
        ({"n": 2}, "one answer"),
        ({"logprobs": True}, "no probabilities"),
    ]
    async with serve_api(tmp_path) as api, _client(await api.token(), api) as client:
        for more, words in cases:
            async with client.post("/v1/chat/completions", json={"model": MODEL, "messages": [USER], **more}) as answer:
                error = (await answer.json())["error"]
                assert words in error["message"]
                assert error["param"] == next(iter(more))
        async with client.post("/v1/embeddings", json={}) as answer:
            assert answer.status == 404
            assert "/v1/chat/completions" in (await answer.json())["error"]["message"]


async def test_a_turn_that_fails_is_an_error_and_not_an_answer(tmp_path: Path) -> None:
    """By its status; in a stream, as a chunk with an error."""
    down = Turn(error=ProviderDown("the model is away"))
    settings = {"routing.wait_s": "0", "routing.deadline_s": "1"}
    async with serve_api(tmp_path, [down] * 40, settings=settings) as api, _client(await api.token(), api) as client:
        async with client.post("/v1/chat/completions", json={"model": MODEL, "messages": [USER]}) as answer:
            assert answer.status == 503, await answer.text()
            assert (await answer.json())["error"]["type"] == "server_error"
        chunks = await _stream(client, [USER])
        assert chunks[-1]["error"]["type"] == "server_error"


async def test_an_image_goes_along_with_the_message(tmp_path: Path) -> None:
    """As bytes in the request, kept with the session's message; refused at once where the model takes none."""
    (tmp_path / "blind").mkdir()
    image = _image(f"data:image/png;base64,{b64encode(PIXEL).decode()}")
    message = {"role": "user", "content": [{"type": "text", "text": "what is it?"}, image]}
    settings = {"models.scripted/model.modalities": "text,image"}
    script = [told(TRIVIAL), say("a dot")]
    async with serve_api(tmp_path / "blind") as api, _client(await api.token(), api) as client:
        answer = await client.post("/v1/chat/completions", json={"model": MODEL, "messages": [message]})
        assert answer.status == 422, await answer.text()
    async with serve_api(tmp_path, script, settings=settings) as api, _client(await api.token(), api) as client:
        done = await _complete(client, [message])
        async with client.get(f"/api/sessions/{done['oxios']['session']}/messages") as answer:
            said = (await answer.json())["items"][0]
    assert done["choices"][0]["message"]["content"] == "a dot"
    assert said["attached"][0]["media_type"] == "image/png"


def _system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def _deltas(chunks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [one["choices"][0]["delta"] for one in chunks if one.get("choices")]


def _content(chunks: Sequence[Mapping[str, Any]]) -> str:
    return "".join(delta.get("content") or "" for delta in _deltas(chunks))


async def _until(answer: aiohttp.ClientResponse, text: str) -> list[dict[str, Any]]:
    """The chunks up to one in which `text` stands."""
    chunks: list[dict[str, Any]] = []
    with anyio.fail_after(20):
        while True:
            line = (await answer.content.readline()).decode()
            if line.startswith("data: "):
                chunks.append(json.loads(line.removeprefix("data: ")))
                if text in line:
                    return chunks


def _image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _client(token: str, api: Api) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(api.url, headers={"Authorization": f"Bearer {token}"})


async def _complete(client: aiohttp.ClientSession, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    async with client.post("/v1/chat/completions", json={"model": MODEL, "messages": messages}) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def _stream(
    client: aiohttp.ClientSession, messages: Sequence[Mapping[str, Any]], **more: Any
) -> list[dict[str, Any]]:
    body = {"model": MODEL, "messages": messages, "stream": True, **more}
    async with client.post("/v1/chat/completions", json=body) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        lines = [line for line in (await answer.text()).split("\n") if line and not line.startswith(":")]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
