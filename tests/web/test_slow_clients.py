"""Whoever keeps the server waiting is let go: heads, bodies and their sizes; whoever does not, is served."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast

import anyio
import anyio.to_thread
import httpx
import pytest
from anyio.abc import SocketStream

from oxios.server import http, protocol
from oxios.server.http import HttpServer
from tests.web.api_world import Api, serve_api

pytestmark = pytest.mark.anyio
WAIT_S: Final = 10
"""Less than any bound of the protocol that a test leaves as it is."""


@asynccontextmanager
async def connected(api: Api, *said: bytes) -> AsyncGenerator[SocketStream]:
    async with await anyio.connect_tcp("127.0.0.1", int(api.url.rpartition(":")[2])) as stream:
        for part in said:
            await stream.send(part)
        yield stream


async def answered(stream: SocketStream) -> bytes:
    """All that comes until the other end closes."""
    seen = b""
    with anyio.fail_after(WAIT_S):
        try:
            while True:
                seen += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return seen


def head(api: Api, path: str = "/sign-in", method: str = "POST", *more: str) -> bytes:
    lines = (f"{method} {path} HTTP/1.1", f"Host: {api.url.removeprefix('http://')}", *more)
    return "\r\n".join(lines).encode() + b"\r\n"


def narrow(api: Api) -> socket.socket:
    """A connection that has room for little that was not read."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    made.settimeout(WAIT_S)
    made.connect(("127.0.0.1", int(api.url.rpartition(":")[2])))
    return made


def whole_of(connection: socket.socket) -> bytes:
    """All that comes, in small parts, until the other end closes."""
    seen = b""
    try:
        while part := connection.recv(2_048):
            seen += part
    except ConnectionError:
        pass
    return seen


async def test_a_head_that_is_not_whole_in_time_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing said, a part of the first request, a part of the next one."""
    monkeypatch.setattr(protocol, "HEAD_S", 0.3)
    async with serve_api(tmp_path) as api:
        whole = head(api, "/health", "GET") + b"\r\n"
        for said, answers in ((b"", 0), (whole[:-2] + b"X-A: ", 0), (whole, 1)):
            async with connected(api, said) as stream:
                if answers:
                    assert b'{"status":"ok"}' in await stream.receive()
                    await stream.send(b"GET /hea")
                assert (await answered(stream)).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_hardly_comes_is_given_up_and_a_slow_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is judged by what came since it was judged last; a request that stands whole is never too slow."""
    monkeypatch.setattr(protocol, "BODY_S", 0.3)
    monkeypatch.setattr(protocol, "BODY_BYTES_MIN", 2)
    async with serve_api(tmp_path) as api:
        begun = head(api, "/sign-in", "POST", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 9")
        async with connected(api, begun + b"\r\n", b"code=") as stream:
            assert (await answered(stream)).startswith(b"HTTP/1.1 408 ")
        async with connected(api, begun + b"Connection: close\r\n\r\n", b"code=") as stream:
            await stream.send(b"none")
            assert (await answered(stream)).startswith(b"HTTP/1.1 403 ")
        quiet = head(api, "/events", "GET", f"Authorization: Bearer {await api.token()}") + b"\r\n"
        async with connected(api, quiet) as stream:
            with anyio.move_on_after(1.0) as listened:
                while await stream.receive():
                    continue
            assert listened.cancelled_caught


async def test_an_answer_that_nobody_takes_is_given_up_and_a_slow_reader_gets_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server lets go of who takes nothing; who takes a little now and then has it to the end."""
    monkeypatch.setattr(http, "UNREAD_S", 0.5)
    async with serve_api(tmp_path) as api:
        asked = head(api, "/api/schema/openapi.json", "GET", f"Authorization: Bearer {await api.token()}")
        server = cast("HttpServer", api.server)
        with narrow(api) as deaf, narrow(api) as slow:
            deaf.sendall(asked + b"\r\n")
            slow.sendall(asked + b"Connection: close\r\n\r\n")
            read = await anyio.to_thread.run_sync(whole_of, slow)
            assert read.endswith(b"}")
            with anyio.fail_after(WAIT_S - 1):  # Sooner than any other bound would let it go.
                while server.server_state.connections:  # noqa: ASYNC110 -- by nobody told
                    await anyio.sleep(0.01)
            assert len(whole_of(deaf)) < len(read)


async def test_what_strangers_send_fills_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is no HTTP is answered 400, without a line; nor is there one for each write to who is gone."""
    async with serve_api(tmp_path) as api:
        for said in (b"\x16\x03\x01\x02\x00", b"HELLO\r\n\r\n"):
            async with connected(api, said) as stream:
                assert (await answered(stream)).startswith(b"HTTP/1.1 400 ")
        logging.getLogger("asyncio").warning("socket.send() raised exception.")
    assert not [record for record in caplog.records if record.name.startswith(("uvicorn", "asyncio"))]


async def test_a_head_without_end_is_refused(tmp_path: Path) -> None:
    """Of the first request, and of one that is sent while the one before is answered."""
    async with serve_api(tmp_path) as api:
        quiet = head(api, "/events", "GET", f"Authorization: Bearer {await api.token()}") + b"\r\n"
        for first in (b"", quiet):
            async with connected(api, first, head(api) + b"X-A: ") as stream:
                with anyio.fail_after(WAIT_S), pytest.raises(anyio.BrokenResourceError):
                    await stream.send(b"a" * 64 * 1024 * 1024)


async def test_more_connections_than_there_is_room_for_are_closed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ones before are served, and new ones as soon as there is room."""
    async with serve_api(tmp_path) as api:
        monkeypatch.setattr(protocol, "room", lambda: 2)
        async with connected(api) as one, connected(api):
            async with connected(api) as third:
                assert await answered(third) == b""
            await one.send(head(api, "/health", "GET", "Connection: close") + b"\r\n")
            assert b'{"status":"ok"}' in await answered(one)
        async with httpx.AsyncClient(base_url=api.url) as client:
            assert (await client.get("/health")).status_code == 200


async def test_what_can_be_read_answers_to_head(tmp_path: Path) -> None:
    """The headers of GET and no body, a stream of events too; refusals are those of GET."""
    async with serve_api(tmp_path) as api, httpx.AsyncClient(base_url=api.url, timeout=WAIT_S) as client:
        token = {"authorization": f"Bearer {await api.token()}"}
        for path, headers, status in (
            ("/health", {}, 200),
            ("/api/runs", {}, 401),
            ("/api/runs", token, 200),
            ("/events", token, 200),
            ("/api/events", token, 200),
            ("/nowhere", {}, 404),
        ):
            answer = await client.head(path, headers=headers)
            assert (answer.status_code, answer.content) == (status, b""), path
        got = await client.get("/health")
        assert (await client.head("/health")).headers["content-length"] == got.headers["content-length"]


async def test_a_path_that_is_none_says_so_with_the_request_s_id(tmp_path: Path) -> None:
    """As every refusal: a problem document, or a page for a browser."""
    async with serve_api(tmp_path) as api, httpx.AsyncClient(base_url=api.url) as client:
        for method, path, status in (("GET", "/api/nope", 404), ("PUT", "/health", 405), ("POST", "/nope", 404)):
            answer = await client.request(method, path, headers={"x-request-id": "mine-1"})
            assert answer.status_code == status
            assert answer.headers["x-request-id"] == "mine-1"
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["remedy"]
        page = await client.get("/nope", headers={"accept": "text/html"})
        assert "there is nothing at this address" in page.text
        assert len(page.headers["x-request-id"]) == 16
