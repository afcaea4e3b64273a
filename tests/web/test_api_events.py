"""Events by HTTP: each entry once and in order, whatever the line does; only what the user may see."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from anyio.abc import SocketStream

from kernel.ids import RunId
from kernel.journal.entry import Draft
from kernel.runtime.live import LiveText
from tests.web.api_world import Api, serve_api
from tests.world import OWNER
from webui.rest import events

pytestmark = pytest.mark.anyio
DISCONNECTS: Final = 1_000


@dataclass
class Client:
    """Reads one stream, is cut off, and comes back with the id of the last event that it got whole."""

    api: Api
    token: str
    path: str = "/api/events"
    last: int | None = None
    seen: list[int] = field(default_factory=list[int])
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    _rest: bytes = b""
    _head: bool = False

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[SocketStream]:
        self._rest, self._head = b"", False
        host = self.api.url.removeprefix("http://")
        port = int(host.rpartition(":")[2])
        again = "" if self.last is None else f"Last-Event-ID: {self.last}\r\n"
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            asked = f"GET {self.path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: Bearer {self.token}\r\n{again}\r\n"
            await stream.send(asked.encode())
            yield stream

    async def read(self, stream: SocketStream) -> None:
        """What comes next, as the network cut it."""
        self._rest += await stream.receive(random.Random(len(self.seen)).choice((1, 7, 300, 65_536)))
        if not self._head:
            head, found, rest = self._rest.partition(b"\r\n\r\n")
            if not found:
                return
            assert b" 200 " in head.split(b"\r\n")[0], head
            self._rest, self._head = rest, True
        while b"\n\n" in self._rest:
            block, _, self._rest = self._rest.partition(b"\n\n")
            self._take(block.decode())

    def _take(self, block: str) -> None:
        lines = [line.partition(": ") for line in block.split("\n") if not line.startswith(":")]
        fields = {name: value for name, _, value in lines}
        if "data" not in fields:
            return
        self.told.append((fields["event"], json.loads(fields["data"])))
        if "id" in fields:
            self.last = int(fields["id"])
            self.seen.append(self.last)


async def test_a_thousand_disconnects_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    """Cut off anywhere, within an event too, while entries are committed: each came once, in order."""
    chance = random.Random(4)
    async with serve_api(tmp_path, settings={"journal.synchronous": "normal"}) as api:
        journal = api.kernel.journal
        client = Client(api, await api.token())
        await journal.flush()
        start = client.last = journal.size

        def commit(most: int) -> None:
            for number in range(chance.randint(0, most)):
                journal.append(Draft(OWNER, "kernel", "test.noted", {"number": number}))

        for _ in range(DISCONNECTS):
            commit(2)
            async with client.connected() as stream:
                commit(2)
                for _ in range(chance.randint(0, 4)):
                    if client.last == journal.size:
                        break
                    await client.read(stream)
        await journal.flush()
        with anyio.fail_after(60):
            async with client.connected() as stream:
                while client.last != journal.size:
                    await client.read(stream)
        assert client.seen == list(range(start + 1, journal.size + 1))
        assert len(client.seen) > DISCONNECTS


async def test_only_the_kinds_that_were_asked_for_come_and_live_ones_have_no_id(tmp_path: Path) -> None:
    """`kinds` names kinds, or their beginnings."""
    async with serve_api(tmp_path) as api:
        journal = api.kernel.journal
        client = Client(api, await api.token(), "/api/events?kinds=test.*,live.text&after=0")
        for kind in ("test.one", "other.one", "test.two"):
            await journal.append(Draft(OWNER, "kernel", kind, {}))
        with anyio.fail_after(20):
            async with client.connected() as stream:
                while len(client.told) < 2:
                    await client.read(stream)
                api.kernel.bus.publish(LiveText(RunId("r-1"), "hello"))
                while len(client.told) < 3:
                    await client.read(stream)
        assert [kind for kind, _ in client.told] == ["test.one", "test.two", "live.text"]
        assert client.told[-1][1] == {"run": "r-1", "text": "hello"}
        assert len(client.seen) == 2


async def test_a_user_hears_of_their_own_alone(tmp_path: Path) -> None:
    """Neither entries nor live text of another's run, from the beginning of the journal on."""
    async with serve_api(tmp_path) as api, await api.person("ada") as ada:
        run = await _run(api)
        session = (await ada.post("/api/sessions", json={"name": "mine"})).json()["session"]
        token = await api.token("ada")
        client = Client(api, token, "/api/events?after=0")
        with anyio.fail_after(20):
            async with client.connected() as stream:
                api.kernel.bus.publish(LiveText(run, "secret"))
                while not client.told:
                    await client.read(stream)
                await ada.patch(f"/api/sessions/{session}", json={"name": "still mine"})
                while len(client.told) < 2:
                    await client.read(stream)
        assert {said["stream"] for _, said in client.told} == {session}
        assert (await ada.get(f"/api/runs/{run}/events")).status_code == 404


async def test_a_stream_ends_so_that_a_revoked_token_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After STREAM_S; whoever may still, comes back."""
    monkeypatch.setattr(events, "STREAM_S", 0.05)
    async with serve_api(tmp_path) as api, await api.program() as client:
        run = await _run(api)
        with anyio.fail_after(20):
            answer = await client.get(f"/api/runs/{run}/events?after=0")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "event: run.started" in answer.text
        assert "event: run.finished" in answer.text


async def _run(api: Api) -> Any:
    """A run of the operator's that has ended."""
    async with await api.program() as client:
        made = await client.post("/api/runs", json={"goal": "x", "model": "embedded/planner"})
    run = made.json()["run"]
    await api.kernel.runs.wait(run)
    await api.kernel.journal.flush()
    return run
