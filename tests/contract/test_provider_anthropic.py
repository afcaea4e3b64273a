"""The Anthropic client against servers that fail, hang, lie and drop, over real sockets."""

from __future__ import annotations

import json

import anyio
import pytest

from kernel.adapters.providers.anthropic import VERSION, anthropic_client
from kernel.errors import DeadlinePassed, Invalid, OxiosError, ProviderDown
from kernel.ports.provider import (
    ContextOverflow,
    KeyRefused,
    Message,
    ModelRequest,
    ModelUnknown,
    Overloaded,
    ProviderConfig,
    QuotaSpent,
    RateLimited,
    TimedOut,
    Waits,
)
from kernel.testing.model_server import Answer, Fault, Raw, Scene, ScriptedCall, model_server
from tests.contract.wire_client import HALF, REQUEST, WireUnderTest, ask

KEY = "sk-ant-not-to-be-seen"


_WIRE = WireUnderTest("claude", "anthropic", anthropic_client)
serving, raised_by, replied_by = _WIRE.serving, _WIRE.raised_by, _WIRE.replied_by


def test_a_stream_without_its_stop_is_whole_once_its_reason_came() -> None:
    """`message_stop` may be missing where a stop reason was seen."""
    assert replied_by(Answer("all", done=False)).text == "all"


@pytest.mark.parametrize("then", ["hang", "drop"])
def test_a_connection_that_fails_after_the_reply_does_no_harm(then: str) -> None:
    """Once the reason to stop was seen, what follows is not needed."""
    scene = Scene(Answer("all", done=False), then="hang" if then == "hang" else "drop")
    assert replied_by(scene).text == "all"


def test_a_stream_that_ends_early_is_an_error() -> None:
    """Neither seen: the reply may be half of one, and is not given as whole."""
    assert "broke off" in raised_by(ProviderDown, HALF).message
    assert "dropped" in raised_by(ProviderDown, Scene(HALF, then="drop")).message


def test_silence_has_deadlines() -> None:
    """Before the answer, within it, and for the request as a whole."""
    assert "did not answer within 0.2 s" in raised_by(TimedOut, Scene(HALF, silent=True)).message
    assert "was silent for 0.1 s" in raised_by(TimedOut, Scene(HALF, then="hang")).message
    late = raised_by(DeadlinePassed, Scene(HALF, then="hang"), waits=Waits(9.0, 9.0, 9.0), deadline_s=0.15)
    assert "0.15 s" in late.message


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, "invalid_request_error", Invalid),
        (401, "authentication_error", KeyRefused),
        (402, "billing_error", QuotaSpent),
        (403, "permission_error", KeyRefused),
        (404, "not_found_error", ModelUnknown),
        (413, "request_too_large", ContextOverflow),
        (429, "rate_limit_error", RateLimited),
        (500, "api_error", ProviderDown),
        (504, "timeout_error", ProviderDown),
        (529, "overloaded_error", Overloaded),
    ],
)
def test_every_documented_error_is_typed(status: int, error: str, kind: type[OxiosError]) -> None:
    """The API's own table of errors, each with what it says."""
    body = json.dumps({"type": "error", "error": {"type": error, "message": "as documented"}})
    assert "as documented" in raised_by(kind, Fault(status, body)).message


@pytest.mark.parametrize(
    "body",
    [
        Raw(b"[]", "application/json"),
        Raw(b""),
        Raw(b"event: message_start\ndata: nonsense\n\n"),
        Raw(b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"x"}}\n\n'),
    ],
)
def test_an_answer_that_is_none_is_a_typed_error(body: Raw) -> None:
    """200 and something else than a message is ProviderDown."""
    raised_by(ProviderDown, body)


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_the_address_may_name_its_version(suffix: str) -> None:
    """With and without /v1, requests go to the same place, with the version of the format beside them."""

    async def main() -> None:
        async with model_server([Answer("a")]) as server:
            url = server.url.removesuffix("/v1") + suffix
            provider = anthropic_client(ProviderConfig("claude", "anthropic", url, model="default-model"), {})
            await ask(provider, ModelRequest("", [Message("user", "hi")]))
            await provider.aclose()
        asked = server.requests[0]
        assert (asked.path, asked.body["model"]) == ("/v1/messages", "default-model")
        assert asked.headers["anthropic-version"] == VERSION
        assert "x-api-key" not in asked.headers

    anyio.run(main)


def test_the_key_goes_into_its_header_and_nowhere_else() -> None:
    """From the environment or from the request; kept out of errors; not sent where there is none."""

    async def main() -> None:
        echo = Fault(401, json.dumps({"error": {"message": f"key {KEY} is wrong"}}))
        environ = {"CLAUDE_KEY": f" {KEY}\n"}
        script = (Answer("a"), Answer("b"), Answer("c"), echo)
        async with serving(*script, key_env="CLAUDE_KEY", environ=environ) as (provider, server):
            await ask(provider)
            await ask(provider, ModelRequest("m", REQUEST.messages, key="sk-other"))
            await ask(provider, ModelRequest("m", REQUEST.messages, key=""))
            with pytest.raises(KeyRefused) as raised:
                await ask(provider)
            assert [asked.headers.get("x-api-key") for asked in server.requests] == [KEY, "sk-other", None, KEY]
            assert not any("Authorization" in asked.headers for asked in server.requests)
        assert KEY not in raised.value.explain() + repr(raised.value.__context__)
        assert "CLAUDE_KEY" in raised.value.remedy

    anyio.run(main)


def test_a_redirect_is_not_followed() -> None:
    """The key and the conversation go to base_url alone."""

    async def main() -> None:
        async with serving(Answer("stolen")) as (_, there):
            moved = Fault(307, "", {"Location": f"{there.url}/messages"})
            async with serving(moved) as (provider, _server):
                with pytest.raises(Invalid, match="307"):
                    await ask(provider)
            assert there.requests == []

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


@pytest.mark.parametrize("stream", [True, False])
def test_malformed_arguments_reach_the_runtime(stream: bool) -> None:
    """What the model wrote is given as it is; the runtime answers it, and the model corrects itself."""
    reply = replied_by(Answer(calls=(ScriptedCall("read", '{"path": '),), stream=stream))
    assert [(call.name, call.arguments) for call in reply.calls] == [("read", '{"path":')]
