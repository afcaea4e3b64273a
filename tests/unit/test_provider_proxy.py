"""The environment's proxy: whom it is for, and that a model is asked through it."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from kernel.adapters.providers.openai import openai_client
from kernel.adapters.providers.proxy import proxy_of
from kernel.errors import ProviderDown
from kernel.ports.provider import ProviderConfig, Unreachable
from kernel.testing.chat_format import encode_whole
from kernel.testing.model_script import Answer
from tests.contract.wire_client import ask

FAR = "https://api.example.com/v1/chat/completions"
PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        (FAR, {}, None),
        (FAR, {"HTTPS_PROXY": PROXY}, PROXY),
        (FAR, {"https_proxy": PROXY, "HTTPS_PROXY": "http://other:1"}, PROXY),
        (FAR, {"HTTP_PROXY": PROXY}, None),
        (FAR, {"ALL_PROXY": "proxy:3128"}, PROXY),
        (FAR, {"ALL_PROXY": "socks5://proxy:1080"}, None),
        (FAR, {"HTTPS_PROXY": PROXY, "NO_PROXY": "a.test, .example.com"}, None),
        (FAR, {"HTTPS_PROXY": PROXY, "no_proxy": "EXAMPLE.com:443"}, None),
        (FAR, {"HTTPS_PROXY": PROXY, "no_proxy": "example.com:8443,ample.com"}, PROXY),
        (FAR, {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, None),
        ("http://10.1.2.3:8000/v1", {"HTTP_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, None),
        ("http://10.1.2.3:8000/v1", {"HTTP_PROXY": PROXY, "NO_PROXY": "10.2.0.0/16"}, PROXY),
        ("http://127.0.0.1:11434/v1", {"HTTP_PROXY": PROXY, "ALL_PROXY": PROXY}, None),
        ("http://localhost:11434/v1", {"HTTP_PROXY": PROXY}, None),
        ("http://[::1]:11434/v1", {"HTTP_PROXY": PROXY}, None),
    ],
)
def test_the_environment_says_who_is_asked_through_a_proxy(
    url: str, environ: Mapping[str, str], proxy: str | None
) -> None:
    """Never this machine; never what NO_PROXY names; only a proxy that speaks HTTP."""
    assert proxy_of(url, environ) == proxy


def _asked_through(base_url: str, answer: bytes) -> tuple[str, ProviderDown | str]:
    """The first line that a proxy was sent, and what came of it."""
    seen: list[str] = []
    found: list[ProviderDown | str] = []

    async def serve(client: SocketStream) -> None:
        async with client:
            seen.append((await client.receive()).split(b"\r\n")[0].decode())
            await client.send(answer)

    async def main() -> None:
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, serve)
            port = listener.extra(SocketAttribute.local_port)
            environ = {"ALL_PROXY": f"http://user:secret@127.0.0.1:{port}"}
            provider = openai_client(ProviderConfig("far", "openai", base_url, model="m"), environ)
            try:
                found.append((await ask(provider)).text)
            except ProviderDown as error:
                found.append(error)
            await provider.aclose()
            tasks.cancel_scope.cancel()

    anyio.run(main)
    return seen[0], found[0]


def test_a_model_is_asked_through_the_proxy() -> None:
    """An address of plain HTTP is asked for whole, and the answer is the model's."""
    body = encode_whole(Answer("hello"))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    line, reply = _asked_through("http://models.test/v1", head.encode() + body)
    assert (line, reply) == ("POST http://models.test/v1/chat/completions HTTP/1.1", "hello")


def test_a_proxy_that_opens_no_tunnel_was_sent_nothing_of_the_request() -> None:
    """It is Unreachable, tells what the proxy said, and never the proxy's password."""
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    line, error = _asked_through("https://models.test/v1", refusal)
    assert line == "CONNECT models.test:443 HTTP/1.1"
    assert isinstance(error, Unreachable)
    assert "407" in error.message
    assert "secret" not in error.explain()
