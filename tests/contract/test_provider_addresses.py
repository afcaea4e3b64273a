"""What is found at a wrong address, over both wire formats: nobody, somebody else, or another format."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
import anyio
import pytest

from kernel.adapters.providers.anthropic import anthropic_client
from kernel.adapters.providers.network import faults
from kernel.adapters.providers.openai import openai_client
from kernel.errors import OxiosError, ProviderDown
from kernel.ports.provider import ModelUnknown, NoModelServer, ProviderConfig, Unreachable
from kernel.testing.chat_format import encode_whole as chat_whole
from kernel.testing.messages_format import encode_stream as messages_stream
from kernel.testing.messages_format import encode_whole as messages_whole
from kernel.testing.model_server import Answer, Fault, Raw, Reaction, Scene, model_server
from tests.contract.wire_client import HALF, QUICK, WireUnderTest, ask

WIRES = {
    "openai": WireUnderTest("local", "openai", openai_client),
    "anthropic": WireUnderTest("local", "anthropic", anthropic_client),
}
pytestmark = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
PAGE = b"<!DOCTYPE html><html><head><title>Sign in to ACME</title></head><body>...</body></html>"


@dataclass
class _Refused:
    error: OxiosError | None = None


def _raised_at(wire: WireUnderTest, url: str) -> OxiosError:
    found = _Refused()

    async def main() -> None:
        provider = wire.make(ProviderConfig("local", wire.kind, url, waits=QUICK), {})
        with pytest.raises(OxiosError) as raised:
            await ask(provider)
        found.error = raised.value
        await provider.aclose()

    anyio.run(main)
    assert found.error is not None
    return found.error


@contextmanager
def _nobody() -> Generator[str]:
    """A port of 127.0.0.1 that is taken and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_where_nobody_listens_nothing_was_sent(wire: WireUnderTest) -> None:
    """The error's type says so; its words name the address once, why, and the setting."""
    with _nobody() as place:
        error = _raised_at(wire, f"http://{place}/v1")
    assert type(error) is Unreachable
    assert error.message.count(place) == 1
    assert "Connection refused" in error.message
    assert "providers.local.base_url" in error.remedy


def test_a_host_that_can_be_none_was_sent_nothing(wire: WireUnderTest) -> None:
    """Four numbers that are no address; it is told like any other that cannot be reached."""
    error = _raised_at(wire, "http://256.1.1.1/v1")
    assert type(error) is Unreachable
    assert "256.1.1.1" in error.message


def test_where_no_tls_is_spoken_nothing_was_sent(wire: WireUnderTest) -> None:
    """A handshake that fails comes before the first byte of a request."""

    async def main() -> None:
        async with model_server([Answer("never")]) as server:
            provider = wire.make(ProviderConfig("local", wire.kind, server.url.replace("http:", "https:")), {})
            with pytest.raises(Unreachable, match="cannot be reached"):
                await ask(provider)
            assert server.requests == []
            await provider.aclose()

    anyio.run(main)


def test_every_failure_before_a_connection_is_told_from_those_after(wire: WireUnderTest) -> None:
    """Name, certificate, silence and a proxy's refusal are before it; a broken connection may be after."""
    del wire
    before = (
        aiohttp.ClientConnectorDNSError,
        aiohttp.ClientConnectorCertificateError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.ClientProxyConnectionError,
    )
    after = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError, ConnectionResetError)
    assert all(issubclass(one, faults().unreached) and issubclass(one, faults().lost) for one in before)
    assert not any(issubclass(one, faults().unreached) for one in after)
    assert all(issubclass(one, faults().lost) for one in after)


@pytest.mark.parametrize("reaction", [Scene(Raw(b""), then="drop"), Scene(HALF, then="drop")])
def test_a_connection_that_is_lost_after_the_request_is_no_unreachable_server(
    wire: WireUnderTest, reaction: Reaction
) -> None:
    """Something was sent, and may have been answered and billed."""
    wire.raised_by(ProviderDown, reaction)


@pytest.mark.parametrize(
    "body",
    [Raw(PAGE, "text/html"), Raw(PAGE, "text/plain"), Raw(PAGE), Raw(b"It works!", "text/plain"), Fault(204)],
    ids=["page", "page called text", "page called events", "text", "204"],
)
def test_a_page_says_what_was_received_and_what_to_check(wire: WireUnderTest, body: Reaction) -> None:
    """A login page or another program is told by its words, with the setting that led there."""
    error = wire.raised_by(NoModelServer, body)
    assert isinstance(error, NoModelServer)
    assert error.page
    assert any(words in error.message for words in ("'Sign in to ACME'", "'It works!'", "204"))
    assert "providers.local.base_url" in error.remedy


def test_another_format_says_so_and_may_be_billed(wire: WireUnderTest) -> None:
    """Streamed or whole, the reply of another format, and an object that is no reply, are never an empty answer."""
    other = messages_whole if wire.kind == "openai" else chat_whole
    bodies = [Raw(other(Answer("hello")), "application/json"), Raw(b"{}", "application/json")]
    if wire.kind == "openai":
        bodies.append(Raw(messages_stream(Answer("hello"))))
    for body in bodies:
        error = wire.raised_by(NoModelServer, body)
        assert isinstance(error, NoModelServer)
        assert not error.page
        assert "and its kind" in error.remedy


def test_an_object_is_read_whatever_it_is_called(wire: WireUnderTest) -> None:
    """A server that does not stream may call its one object text, or events."""
    whole = chat_whole if wire.kind == "openai" else messages_whole
    for content_type in ("text/plain", "text/event-stream", "application/json"):
        assert wire.replied_by(Raw(b"\n" + whole(Answer("hello")), content_type)).text == "hello"


def test_an_error_that_came_without_its_event_is_read(wire: WireUnderTest) -> None:
    """As one line of JSON in a response that was to be events."""
    wire.raised_by(ModelUnknown, Raw(b'{"type":"error","error":{"message":"model \'m\' not found"}}\n'))


def test_the_whole_address_of_the_endpoint_is_taken_too(wire: WireUnderTest) -> None:
    """Pasted as the documentation of a server shows it."""

    async def main() -> None:
        path = "/chat/completions" if wire.kind == "openai" else "/messages"
        async with model_server([Answer("hello")]) as server:
            provider = wire.make(ProviderConfig("local", wire.kind, f"{server.url}{path}", model="m"), {})
            assert (await ask(provider)).text == "hello"
            await provider.aclose()

    anyio.run(main)
