"""A stream of events ends with what opened it: nobody who is no user any more, or signed out, goes on listening."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from anyio.abc import SocketStream

from kernel.handle.people import new_token
from tests.web.api_world import ALL, Api, serve_api
from tests.world import OWNER
from webui import sse

pytestmark = pytest.mark.anyio
WAIT_S: Final = 10
"""Less than a heartbeat, at which a stream would end too."""


@asynccontextmanager
async def listening(api: Api, path: str, *headers: str) -> AsyncGenerator[SocketStream]:
    """A stream that is open."""
    host = api.url.removeprefix("http://")
    asked = "\r\n".join((f"GET {path} HTTP/1.0", f"Host: {host}", *headers, "", ""))
    async with await anyio.connect_tcp("127.0.0.1", int(host.rpartition(":")[2])) as stream:
        await stream.send(asked.encode())
        await read_until(stream, b": connected")
        yield stream


async def read_until(stream: SocketStream, words: bytes) -> None:
    seen = b""
    with anyio.fail_after(WAIT_S):
        while words not in seen:
            seen += await stream.receive()


async def ended(stream: SocketStream) -> None:
    with anyio.fail_after(WAIT_S):
        try:
            while await stream.receive():
                continue
        except anyio.EndOfStream:
            return


async def act(api: Api, syscall: str, /, **arguments: Any) -> None:
    await api.kernel.handle(OWNER).call(syscall, arguments)


def cookie(api: Api, name: str) -> str:
    """Of a browser that followed a link."""
    doors = api.house.doors
    return doors.by_link(doors.issue_link(name).partition("#")[2], "192.0.2.1")


async def _remove(api: Api, name: str) -> None:
    await act(api, "users.remove", name=name)


async def _another_role(api: Api, name: str) -> None:
    await act(api, "users.change", name=name, role="viewer")


async def _revoke(api: Api, name: str) -> None:
    for token in api.kernel.users.tokens():
        if token.owner == f"user:{name}":
            await act(api, "tokens.revoke", token=token.id)


async def _new_password(api: Api, name: str) -> None:
    await act(api, "users.password", name=name, ticket=api.kernel.passwords.deposit("correct horse battery"))


async def _sign_out_everywhere(api: Api, name: str) -> None:
    api.house.doors.sign_out_everywhere(api.kernel.users.known(name))


async def test_a_token_s_streams_end_when_what_it_stands_on_is_taken(tmp_path: Path) -> None:
    """A user who goes or gets another role, a token that is revoked; another user's stream goes on."""
    async with serve_api(tmp_path) as api:
        await act(api, "users.create", name="bob")
        bearer = f"Authorization: Bearer {await api.token('bob')}"
        async with listening(api, "/api/events?kinds=session.*", bearer) as his:
            for name, take in (("ada", _remove), ("eve", _another_role), ("kim", _revoke)):
                await act(api, "users.create", name=name)
                bearer = f"Authorization: Bearer {await api.token(name)}"
                async with listening(api, "/events", bearer) as hers, listening(api, "/api/events", bearer) as too:
                    await take(api, name)
                    await ended(hers)
                    await ended(too)
            async with await api.program("bob") as client:
                await client.post("/api/sessions", json={"name": "his"})
            await read_until(his, b"event: session.created")


async def test_a_browser_s_stream_ends_with_its_session(tmp_path: Path) -> None:
    """As above, and where its session has ended."""
    async with serve_api(tmp_path) as api:
        for take in (_remove, _another_role, _new_password, _sign_out_everywhere):
            name = f"u{take.__name__.replace('_', '-')}"
            await act(api, "users.create", name=name)
            async with listening(api, "/events", f"Cookie: {api.house.doors.cookie}={cookie(api, name)}") as stream:
                await take(api, name)
                await ended(stream)


async def test_signing_out_ends_this_browser_s_stream_and_no_other(tmp_path: Path) -> None:
    """Two browsers of one user are two sessions."""
    async with serve_api(tmp_path) as api:
        doors = api.house.doors
        one, other = cookie(api, ""), cookie(api, "")
        async with (
            listening(api, "/events", f"Cookie: {doors.cookie}={one}") as first,
            listening(api, "/events", f"Cookie: {doors.cookie}={other}") as second,
        ):
            doors.sign_out(one)
            await ended(first)
            await act(api, "users.create", name="ada")
            await read_until(second, b"event: users")


async def test_a_token_that_runs_out_ends_its_stream_at_a_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is told of time passing, so the stream asks itself; one whose token is good goes on."""
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.02)
    async with serve_api(tmp_path) as api:
        text, digest = new_token()
        said = {"owner": "tester", "name": "short", "digest": digest, "scopes": list(ALL), "expires_s": 1.0}
        good = await api.token()
        await act(api, "tokens.create", **said)
        async with (
            listening(api, "/events", f"Authorization: Bearer {text}") as short,
            listening(api, "/events", f"Authorization: Bearer {good}") as long,
        ):
            await ended(short)
            await read_until(long, b": alive")
