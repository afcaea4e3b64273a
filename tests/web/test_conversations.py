"""Sessions that are carried out for whoever looks: one turn at a time, nothing twice, stopped when told."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from kernel.errors import Conflict, NotFound
from kernel.ids import RunId
from kernel.testing.provider import Turn, call, say
from tests.cycle_world import TRIVIAL, told
from tests.web.talk_world import TalkWorld, open_talks
from webui.conversations import QUEUED_MAX, Said

pytestmark = pytest.mark.anyio


async def test_a_message_begins_a_turn_and_is_answered(tmp_path: Path) -> None:
    """The reply stands in the session when the turn is over."""
    async with open_talks(tmp_path, [told(TRIVIAL), say("done")]) as world:
        talk = await world.talk()
        assert await talk.say(Said("do it")) == "begun"
        await talk.wait()
        assert talk.session.turns[0].reply == "done"


async def test_a_message_that_is_sent_again_is_known(tmp_path: Path) -> None:
    """By its key: while it is on its way, afterwards, and after a restart."""
    async with open_talks(tmp_path, [told(TRIVIAL), say("done")]) as world:
        talk = await world.talk()
        assert await talk.say(Said("do it", key="k1")) == "begun"
        assert await talk.say(Said("do it", key="k1")) == "known"
        await talk.wait()
        assert await talk.say(Said("do it", key="k1")) == "known"
        name = talk.session.id
    async with open_talks(tmp_path) as again:
        from ouroboros.sessionbook import SessionBook  # noqa: PLC0415 -- of the second life alone

        session = await SessionBook(again.kernel.journal, talk.session.owner).read(name)
        assert await again.talks.of(session).say(Said("do it", key="k1")) == "known"
        assert len(session.turns) == 1


async def test_what_is_said_to_an_agent_at_work_steers_it(tmp_path: Path) -> None:
    """It reaches the model with its next request, and stands in the session."""
    script = [told(TRIVIAL), call("ask_user", question="which?"), say("done")]
    async with open_talks(tmp_path, script) as world:
        talk = await world.talk()
        await talk.say(Said("do it"))
        run = await _asking(world)
        assert await talk.say(Said("make it blue")) == "steered"
        world.asker.answer(run, "this one")
        await talk.wait()
        assert "make it blue" in [message.text for message in world.provider.requests[-1].messages]
        with pytest.raises(NotFound):
            world.asker.answer(run, "again")


async def test_queued_messages_wait_their_turn_and_can_be_taken_back(tmp_path: Path) -> None:
    """In order; one that was taken back is not sent."""
    script = [told(TRIVIAL), call("ask_user", question="?"), say("one"), told(TRIVIAL), say("two")]
    async with open_talks(tmp_path, script) as world:
        talk = await world.talk()
        await talk.say(Said("first"))
        run = await _asking(world)
        for text in ("second", "never"):
            assert await talk.say(Said(text), queue=True) == "queued"
        assert talk.unqueue(1).text == "never"
        world.asker.answer(run, "go")
        await talk.wait()  # the first turn: the second begins as it ends
        await talk.wait()
        assert [turn.reply for turn in talk.session.turns] == ["one", "two"]


async def test_the_queue_is_bounded(tmp_path: Path) -> None:
    """QUEUED_MAX messages wait; one more is refused, and nothing is lost by it."""
    async with open_talks(tmp_path, [told(TRIVIAL), call("ask_user", question="?")]) as world:
        talk = await world.talk()
        await talk.say(Said("first"))
        await _asking(world)
        for number in range(QUEUED_MAX):
            await talk.say(Said(str(number)), queue=True)
        with pytest.raises(Conflict, match="wait already"):
            await talk.say(Said("one more", key="k"), queue=True)
        assert len(talk.queue) == QUEUED_MAX
        await talk.stop()


async def test_stop_ends_the_turn_with_its_agent(tmp_path: Path) -> None:
    """The run is cancelled, what waited is dropped, and a new message begins a new turn."""
    script = [told(TRIVIAL), call("ask_user", question="?"), told(TRIVIAL), say("fresh")]
    async with open_talks(tmp_path, script) as world:
        talk = await world.talk()
        await talk.say(Said("first"))
        run = await _asking(world)
        await talk.say(Said("later"), queue=True)
        await talk.stop()
        assert (await world.kernel.runs.state(run)).status == "cancelled"
        assert (talk.busy, talk.queue, talk.session.turns[0].status) == (False, [], "stopped")
        with pytest.raises(Conflict):
            await talk.stop()
        await talk.say(Said("again"))
        await talk.wait()
        assert talk.session.turns[1].reply == "fresh"


async def test_a_refused_turn_is_told_and_the_next_one_goes(tmp_path: Path) -> None:
    """An error of a turn ends that turn alone."""
    async with open_talks(
        tmp_path, [told(TRIVIAL), Turn(error=NotFound("no such model")), told(TRIVIAL), say("ok")]
    ) as world:
        talk = await world.talk()
        await talk.say(Said("first"))
        await talk.wait()
        await talk.say(Said("second"))
        await talk.wait()
        assert talk.session.turns[-1].reply == "ok"


async def _asking(world: TalkWorld) -> RunId:
    """Wait until an agent asks its person; the run that asks."""
    with anyio.fail_after(20):
        while True:
            for run in list(world.kernel.supervisor.live):
                if world.asker.waiting(run):
                    return run
            await anyio.sleep(0.01)
