"""Many who look: each is told of its own streams alone, a user's pages get the same bytes, who is slow is let go."""

from __future__ import annotations

import socket
from pathlib import Path

import anyio
import pytest

from kernel.ids import Principal
from kernel.journal.entry import Draft, Entry
from tests.web.browser import Site, open_site
from tests.web.talk_world import TalkWorld, open_talks
from tests.world import OWNER
from webui import audiences as audiences_module
from webui import sse
from webui.audiences import Audiences
from webui.stream import TOPICS, Lagged, Seeing, everything
from webui.viewer import VIEWER_BYTES_MAX, Viewer

pytestmark = pytest.mark.anyio


async def _append(world: TalkWorld, stream: str, kind: str = "run.steered", **payload: str) -> None:
    await world.kernel.journal.append(Draft(OWNER, stream, kind, dict(payload)))


async def test_a_follower_of_one_stream_is_not_asked_about_others(tmp_path: Path) -> None:
    """What happens in a thousand other streams costs it nothing."""
    asked: list[str] = []

    def sees(stream: str) -> bool:
        asked.append(stream)
        return True

    async with open_talks(tmp_path) as world, world.hub.following(sees, ("mine",)) as follower:
        for number in range(1_000):
            world.kernel.journal.append(Draft(OWNER, f"other-{number}", "run.steered", {}))
        await _append(world, "mine")
        frames = await follower.waiting()
        assert [frame.stream for frame in frames if isinstance(frame, Entry)] == ["mine"]
    assert asked == ["mine"]


async def test_runs_of_a_session_are_followed_with_it(tmp_path: Path) -> None:
    """A run that is begun for it, its undone calls, and runs that were named later; each frame once."""
    async with open_talks(tmp_path) as world, world.hub.following(everything, ("s1",)) as follower:
        begun = {"env": {"persona": ""}, "directive": {"goal": "x"}, "owner": OWNER, "account": "s1"}
        await world.kernel.journal.append(Draft(OWNER, "r1", "run.started", {**begun, "model": "m", "grant": ""}))
        world.hub.watch_too(follower, ("r1", "r2"))
        for stream in ("r1", "r2", "r3"):
            await _append(world, stream)
        await _append(world, "kernel", "call.undone", call="r2.1")
        await _append(world, "kernel", "call.undone", call="r3.1")
        frames = [(one.stream, one.kind) for one in await follower.waiting() if isinstance(one, Entry)]
    assert frames == [
        ("r1", "run.started"),
        ("r1", "run.steered"),
        ("r2", "run.steered"),
        ("kernel", "call.undone"),
    ]


async def test_who_left_is_forgotten(tmp_path: Path) -> None:
    """Nothing of a follower stays behind in the index."""
    async with open_talks(tmp_path) as world:
        async with world.hub.following(everything, ("a", "b")) as follower:
            world.hub.watch_too(follower, ("c",))
        await _append(world, "c")
        assert not follower.frames
        assert world.hub.followers == 0
        assert world.hub._by_stream == {}  # pyright: ignore[reportPrivateUsage] -- that it is empty shows in nothing else


async def test_sight_is_decided_anew_when_capabilities_change(tmp_path: Path) -> None:
    """Not at each frame; at the next one after a change, and when SIGHT_S are over."""
    decided: list[bool] = []
    now_s, allowed = 0.0, True

    def sees_all() -> bool:
        decided.append(allowed)
        return allowed

    async with open_talks(tmp_path) as world:
        sees = Seeing(world.hub, Principal("user:guest"), sees_all, lambda: now_s)
        assert all(sees("anybody's") for _ in range(1_000))
        assert len(decided) == 1
        allowed = False
        assert sees("anybody's")
        await _append(world, "kernel", "capability.used")
        assert not sees("anybody's")
        allowed, now_s = True, 5.0
        assert sees("anybody's")
    assert decided == [True, False, True]


async def test_pages_of_one_user_get_the_same_bytes(tmp_path: Path) -> None:
    """Encoded once, however many they are; another user's get none of it."""
    async with open_talks(tmp_path) as world, anyio.create_task_group() as tasks:
        audiences = Audiences(world.hub, tasks)
        async with (
            audiences.joined(OWNER, everything) as one,
            audiences.joined(OWNER, everything) as other,
            audiences.joined(Principal("user:guest"), lambda _: False) as stranger,
        ):
            await anyio.wait_all_tasks_blocked()
            await _append(world, "r1", "run.steered", text="x")
            await anyio.wait_all_tasks_blocked()
            (got,) = one.events
            assert got.startswith(b"id: ")
            assert b"event: runs\n" in got
            assert other.events[0] is got
            assert not stranger.events
        tasks.cancel_scope.cancel()


async def test_who_comes_back_behind_is_told_every_topic(tmp_path: Path) -> None:
    """Who has the newest entry is told nothing."""
    async with open_talks(tmp_path) as world, anyio.create_task_group() as tasks:
        audiences = Audiences(world.hub, tasks)
        async with audiences.joined(OWNER, everything, world.hub.seq) as newest:
            assert not newest.events
        async with audiences.joined(OWNER, everything, world.hub.seq - 1) as behind:
            told = (await behind.next()).decode()
        assert all(f"event: {topic}\n" in told for topic in TOPICS)
        tasks.cancel_scope.cancel()


def test_a_tick_grows_with_the_browsers() -> None:
    """Few are told soon, many are not told more often than the server can bear."""
    assert audiences_module.TICK_S < 0.5
    assert audiences_module.EACH_S * 500 == 1.0


async def test_what_waits_for_a_browser_is_bounded() -> None:
    """At the bound everything is there; beyond it the browser is let go, and holds nothing."""
    viewer = Viewer()
    piece = b"x" * (VIEWER_BYTES_MAX // 4)
    for _ in range(4):
        viewer.put(piece)
    assert viewer.waiting_bytes == VIEWER_BYTES_MAX
    viewer.put(b"y")
    assert (viewer.waiting_bytes, len(viewer.events)) == (0, 0)
    with pytest.raises(Lagged):
        await viewer.next()


async def test_one_event_beyond_the_bound_is_told() -> None:
    """A page that is drawn anew for one browser may be large: that alone loses nobody."""
    viewer = Viewer()
    viewer.put(b"x" * (VIEWER_BYTES_MAX + 1))
    assert len(await viewer.next()) == VIEWER_BYTES_MAX + 1


async def test_a_browser_that_takes_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays connected and reads nothing: its stream ends, and the server keeps nothing for it."""
    monkeypatch.setattr(sse, "STALLED_S", 0.3)
    async with open_site(tmp_path) as site:
        with socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2]))) as browser:
            await _listen(site, browser)
            for number in range(200):
                text = f"{number} " + "x" * 60_000
                site.kernel.journal.append(Draft(OWNER, "r-loud", "run.steered", {"text": text}))
            await site.kernel.journal.flush()
            with anyio.fail_after(20):
                while site.house.hub.followers:  # noqa: ASYNC110 -- the server makes it so
                    await anyio.sleep(0.02)


async def _listen(site: Site, browser: socket.socket) -> None:
    """Follow every entry over the API, with a signed-in session's cookie, and read no more than the head."""
    browser.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    issued = site.house.doors.issue_link().partition("#")[2]
    form = f"code={issued}".encode()
    host = site.url.removeprefix("http://")
    head = f"POST /sign-in HTTP/1.1\r\nHost: {host}\r\nOrigin: {site.url}\r\nContent-Length: {len(form)}\r\n"
    kind = "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    answer = await anyio.to_thread.run_sync(_exchange, browser, (head + kind).encode() + form)
    cookie = answer.lower().split("set-cookie: ")[1].split(";")[0]
    cookie = answer[answer.lower().index(cookie) :][: len(cookie)]
    follow = f"GET /api/events HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n".encode()
    assert " 200 " in await anyio.to_thread.run_sync(_exchange, browser, follow)
    with anyio.fail_after(10):
        while not site.house.hub.followers:  # noqa: ASYNC110 -- the server makes it so
            await anyio.sleep(0.01)


def _exchange(browser: socket.socket, request: bytes) -> str:
    browser.sendall(request)
    return browser.recv(4096).decode()
