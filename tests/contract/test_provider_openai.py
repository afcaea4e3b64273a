"""The OpenAI-compatible client against servers that fail, hang, lie and drop, over real sockets."""

from __future__ import annotations

import json
import socket

import anyio
import pytest

from kernel.adapters.providers.exchange import REPLY_BYTES_MAX
from kernel.adapters.providers.openai import openai_client
from kernel.errors import DeadlinePassed, Invalid, ProviderDown
from kernel.ports.provider import KeyRefused, Message, ModelRequest, ProviderConfig, TimedOut, Waits
from kernel.testing.chat_format import encode_stream
from kernel.testing.model_server import (
    Answer,
    Fault,
    Raw,
    Scene,
    in_pieces,
)
from tests.contract.wire_client import HALF, QUICK, WireUnderTest, ask

KEY = "sk-not-to-be-seen"


_WIRE = WireUnderTest("local", "openai", openai_client)
serving, raised_by, replied_by = _WIRE.serving, _WIRE.raised_by, _WIRE.replied_by


def test_a_stream_without_done_is_whole_once_its_reason_came() -> None:
    """`[DONE]` may be missing where finish_reason was seen."""
    assert replied_by(Answer("all", done=False)).text == "all"


def test_a_stream_with_done_alone_is_whole() -> None:
    """finish_reason may be missing where `[DONE]` was seen."""
    assert replied_by(Answer("all", finish=None)).finish == "stop"


def test_a_stream_that_ends_early_is_an_error() -> None:
    """Neither seen: the reply may be half of one, and is not given as whole."""
    assert "broke off" in raised_by(ProviderDown, HALF).message


def test_a_dropped_connection_is_an_error() -> None:
    """A connection that dies within a reply is ProviderDown."""
    assert "dropped" in raised_by(ProviderDown, Scene(HALF, then="drop")).message


@pytest.mark.parametrize("then", ["hang", "drop"])
def test_a_connection_that_fails_after_the_reply_does_no_harm(then: str) -> None:
    """Once the reason to stop was seen, what follows is not needed."""
    scene = Scene(Answer("all", done=False), then="hang" if then == "hang" else "drop")
    assert replied_by(scene).text == "all"


def test_silence_before_the_answer_has_a_deadline() -> None:
    """A server that accepts and says nothing is given up after first_byte_s."""
    assert "did not answer within 0.2 s" in raised_by(TimedOut, Scene(HALF, silent=True)).message


def test_silence_within_the_answer_has_a_deadline() -> None:
    """A stream that stops moving is given up after idle_s."""
    assert "was silent for 0.1 s" in raised_by(TimedOut, Scene(HALF, then="hang")).message


@pytest.mark.parametrize("silent", [True, False])
def test_the_whole_request_has_a_deadline(silent: bool) -> None:
    """Patient waits do not outlast the request's own deadline."""
    error = raised_by(
        DeadlinePassed, Scene(HALF, then="hang", silent=silent), waits=Waits(9.0, 9.0, 9.0), deadline_s=0.15
    )
    assert "0.15 s" in error.message


def test_a_stream_that_keeps_moving_is_not_ended_by_the_idle_deadline() -> None:
    """The idle deadline counts from the last bytes, not from the first: a slow model may take its time."""
    slow = Scene(Answer("word " * 12), in_pieces(400), pause_s=QUICK.idle_s / 3)
    assert len(encode_stream(Answer("word " * 12))) / 400 * slow.pause_s > QUICK.idle_s
    assert replied_by(slow).text == "word " * 12


def test_nobody_listening_is_an_error_that_names_the_address() -> None:
    """A refused connection is ProviderDown, not a stack trace."""

    async def main() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
            provider = openai_client(ProviderConfig("local", "openai", url, waits=QUICK), {})
            with pytest.raises(ProviderDown, match="cannot be reached") as raised:
                await ask(provider)
            assert url in raised.value.message
            await provider.aclose()

    anyio.run(main)


@pytest.mark.parametrize(
    "body",
    [
        Raw(b"not json", "application/json"),
        Raw(b"[]", "application/json"),
        Raw(b""),
        Raw(b"data: nonsense\n\n"),
        Raw(b'data: {"choices": 5}\n\n'),
        Raw(b'data: {"error": {"message": "broken inside"}}\n\n'),
    ],
)
def test_an_answer_that_is_none_is_a_typed_error(body: Raw) -> None:
    """200 and something else than a reply is ProviderDown."""
    raised_by(ProviderDown, body)


def test_a_reply_without_bound_is_ended() -> None:
    """A server that never stops sending is stopped."""
    line = b": " + b"x" * 1_000_000 + b"\n"
    assert "more than" in raised_by(ProviderDown, Raw(line * (REPLY_BYTES_MAX // len(line) + 2))).message


@pytest.mark.parametrize(
    "url", ["", "api.example.com/v1", "ftp://x/v1", "http:///v1", "http://a..b/v1", f"http://{'a' * 64}.test/v1"]
)
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    """A wrong base_url is said when the provider is made, by name of its setting."""
    with pytest.raises(Invalid, match=r"providers\.local\.base_url"):
        openai_client(ProviderConfig("local", "openai", url), {})


def test_the_key_goes_into_the_header_and_nowhere_else() -> None:
    """The key is read from the environment at each request, sent as a bearer token, and kept out of errors."""

    async def main() -> None:
        echo = Fault(401, json.dumps({"error": {"message": f"key {KEY} is wrong"}}))
        environ = {"LOCAL_KEY": f" {KEY}\n"}
        async with serving(Answer("a"), echo, key_env="LOCAL_KEY", environ=environ) as (provider, server):
            await ask(provider)
            assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"
            with pytest.raises(KeyRefused) as raised:
                await ask(provider)
            assert KEY not in raised.value.explain()
            assert KEY not in repr(raised.value.__context__)
            assert "LOCAL_KEY" in raised.value.remedy

    anyio.run(main)


@pytest.mark.parametrize("value", [None, "", "  ", "a\nb", "sché"])
def test_a_key_that_cannot_be_sent_is_refused_before_sending(value: str | None) -> None:
    """No key, or one no header can carry, is said with the variable's name, and nothing is sent."""

    async def main() -> None:
        environ = {} if value is None else {"LOCAL_KEY": value}
        async with serving(Answer("a"), key_env="LOCAL_KEY", environ=environ) as (provider, server):
            with pytest.raises(KeyRefused, match="key"):
                await ask(provider)
            assert server.requests == []

    anyio.run(main)


def test_without_key_env_no_key_is_sent() -> None:
    """A server that wants no key gets no header."""

    async def main() -> None:
        async with serving(Answer("a")) as (provider, server):
            await ask(provider)
            assert "Authorization" not in server.requests[0].headers

    anyio.run(main)


def test_a_redirect_is_not_followed() -> None:
    """The key and the conversation go to base_url alone."""

    async def main() -> None:
        async with serving(Answer("stolen")) as (elsewhere, there):
            moved = Fault(307, "", {"Location": f"{there.url}/chat/completions"})
            async with serving(moved) as (provider, _):
                with pytest.raises(Invalid, match="307"):
                    await ask(provider)
            assert there.requests == []
            assert elsewhere.endpoint

    anyio.run(main)


@pytest.mark.parametrize("stream", [True, False])
def test_connections_are_used_again(stream: bool) -> None:
    """Ten requests one after another take one connection."""

    async def main() -> None:
        async with serving(*[Answer("a", stream=stream)] * 10) as (provider, server):
            for _ in range(10):
                await ask(provider)
            assert len(server.connections) == 1

    anyio.run(main)


def test_a_long_conversation_is_sent_whole_and_not_chunked() -> None:
    """More than a megabyte arrives byte for byte with its length, and no warning is raised."""

    async def main() -> None:
        messages = [Message("user", f"{number} " + "x" * 50_000) for number in range(30)]
        async with serving(Answer("a")) as (provider, server):
            await ask(provider, ModelRequest("", messages, deadline_s=20.0))
        asked = server.requests[0]
        assert [one["content"] for one in asked.body["messages"]] == [one.text for one in messages]
        assert int(asked.headers["Content-Length"]) == len(asked.raw)
        assert "Transfer-Encoding" not in asked.headers
        assert asked.body["model"] == "default-model"

    anyio.run(main)


def test_an_unexpected_request_is_seen_by_the_test() -> None:
    """The scripted server answers beyond its script with an error, and keeps the request for the test."""

    async def main() -> None:
        async with serving(Answer("a")) as (provider, server):
            await ask(provider)
            with pytest.raises(ProviderDown, match="the script has ended"):
                await ask(provider)
            assert len(server.unexpected) == 1

    anyio.run(main)
