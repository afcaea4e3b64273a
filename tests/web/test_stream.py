"""The hub: nothing lost, nothing twice, nobody waited for, nothing shown to who may not see it."""

from __future__ import annotations

import random
from contextlib import aclosing
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from kernel.ids import CallId, Principal, RunId, user
from kernel.journal.entry import Draft, Entry
from kernel.runtime.live import LiveProgress, LiveText
from tests.web.talk_world import TalkWorld, open_talks
from tests.world import OWNER
from webui.stream import FOLLOWER_FRAMES_MAX, Follower, Lagged, everything

pytestmark = pytest.mark.anyio
STREAM = "r-test"


async def _append(world: TalkWorld, count: int, stream: str = STREAM) -> None:
    for number in range(count):
        world.kernel.journal.append(Draft(OWNER, stream, "test.happened", {"number": number}))
    await world.kernel.journal.flush()


async def test_a_thousand_disconnects_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Whoever leaves after any entry and comes back with its number gets the rest, once and in order."""
    chance = random.Random(7)
    async with open_talks(tmp_path) as world:
        got: list[int] = []
        total = 3_000
        begin = world.hub.seq
        after = begin

        async def write() -> None:
            for _ in range(total // 30):
                await _append(world, 30)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            group.start_soon(write)
            while len(got) < total:
                leaves_after = chance.randint(1, 5)
                async with aclosing(world.hub.follow(everything, lambda stream: stream == STREAM, after)) as frames:
                    async for frame in frames:
                        assert isinstance(frame, Entry)
                        got.append(frame.seq)
                        after, leaves_after = frame.seq, leaves_after - 1
                        if not leaves_after or len(got) == total:
                            break
        assert got == sorted(set(got))
        assert len(got) == total
        assert world.hub.followers == 0


async def test_who_reads_too_slowly_is_let_go(tmp_path: Path) -> None:
    """At the bound everything is there; one more entry, and the follower is told to come back."""
    async with open_talks(tmp_path) as world, world.hub.following(everything, (STREAM,)) as follower:
        await _append(world, FOLLOWER_FRAMES_MAX)
        assert len(follower.frames) == FOLLOWER_FRAMES_MAX
        await _append(world, 1)
        with pytest.raises(Lagged):
            await follower.next()
        assert not follower.frames


async def test_sight_is_asked_for_each_stream(tmp_path: Path) -> None:
    """A follower hears of streams that it sees and wants, live or caught up with, and of no others."""
    async with open_talks(tmp_path) as world:
        await _append(world, 1, "before")
        begin = world.hub.seq
        await _append(world, 2, "hidden")
        await _append(world, 1, STREAM)
        seen: list[str] = []
        async with aclosing(world.hub.follow(lambda stream: stream != "hidden", everything, begin)) as frames:
            frame = await anext(frames)
            assert isinstance(frame, Entry)
            seen.append(frame.stream)
        assert seen == [STREAM]


async def test_owners_are_known_before_anybody_asks(tmp_path: Path) -> None:
    """Sessions and runs of before the start, and those that begin, have their owner; others have none."""
    async with open_talks(tmp_path) as world:
        session = await world.session()
        assert world.hub.owner(session.id) == OWNER
        assert world.hub.owner("kernel") is None
    async with open_talks(tmp_path) as again:
        assert again.hub.owner(session.id) == OWNER
        assert again.hub.owner(session.id) != user("other")


async def test_topics_are_told_once_however_much_happens(tmp_path: Path) -> None:
    """A thousand entries of one kind are one topic; an entry that changes no region is none."""
    async with open_talks(tmp_path) as world:
        await _append(world, 1)
        async with world.hub.topics(everything) as follower:
            for _ in range(1_000):
                world.kernel.journal.append(Draft(OWNER, STREAM, "run.steered", {"text": "x"}))
            await _append(world, 1)
            assert (await follower.changed())[1] == ["runs"]
            assert not follower.frames


def test_streamed_text_takes_one_place() -> None:
    """Text of one reply is put together; another reply's or run's, or a tool's output, stands by itself."""
    follower = Follower(everything, everything)
    for text in "abc":
        follower.put(LiveText(RunId("r1"), text))
    follower.put(LiveText(RunId("r1"), "n", 1))
    follower.put(LiveText(RunId("r2"), "d"))
    follower.put(LiveProgress(RunId("r2"), CallId("r2.1"), "e"))
    follower.put(LiveProgress(RunId("r2"), CallId("r2.2"), "f"))
    assert [getattr(frame, "text", "") for frame in follower.frames] == ["abc", "n", "d", "e", "f"]
    assert Principal("user:x") == user("x")
