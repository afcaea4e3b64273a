"""Sessions that are carried out for whoever looks: one turn at a time, nothing twice, stopped when told."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from kernel.errors import Conflict, Invalid, NotFound
from kernel.ids import RunId
from kernel.runtime.attached import attachment_of
from kernel.testing.provider import Turn, call, say
from ouroboros.sessiondesk import SessionDesk
from tests.cycle_world import TRIVIAL, told
from tests.web.talk_world import TalkWorld, open_talks
from webui.queued import QUEUED_MAX, Said

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
        assert (await talk.unqueue(1)).text == "never"
        world.asker.answer(run, "go")
        await talk.wait()  # the first turn: the second begins as it ends
        await talk.wait()
        assert [turn.reply for turn in talk.session.turns] == ["one", "two"]


async def test_what_waits_is_begun_with_after_a_restart(tmp_path: Path) -> None:
    """With the file that came with it, and not what was taken back; its key is known."""
    async with open_talks(tmp_path, [Turn(hang=True)]) as world:
        talk = await world.talk()
        await talk.say(Said("first"))
        name = talk.uploads.keep(attachment_of("notes.txt", b"remember the milk"))
        assert await talk.say(Said("second", key="k2"), queue=True, attach=[name]) == "queued"
        for text in ("never", "third"):
            await talk.say(Said(text), queue=True)
        await talk.unqueue(1)
        session = talk.session.id
    script = [told(TRIVIAL), say("one"), told(TRIVIAL), say("two"), told(TRIVIAL), say("three")]
    async with open_talks(tmp_path, script) as again:
        talk = await again.talks.open(session)
        assert [said.text for said in talk.queue] == ["second", "third"]
        assert await talk.say(Said("second", key="k2")) == "known"
        assert talk.resume()
        for _ in range(3):
            await talk.wait()
        assert [(turn.message, turn.reply) for turn in talk.session.turns[1:]] == [
            ("second", "two"),
            ("third", "three"),
        ]
        assert [one.name for one in talk.session.turns[1].attached] == ["notes.txt"]
        assert not (await again.talks.open(session)).session.waiting


async def test_who_was_told_may_rely_on_the_record(tmp_path: Path) -> None:
    """A message stands in its session when its sender hears that it began a turn."""
    async with open_talks(tmp_path, [Turn(hang=True)]) as world:
        talk = await world.talk()
        assert await talk.say(Said("do it")) == "begun"
        assert [entry.kind for entry in await world.kernel.journal.read(stream=talk.session.id)][1] == "session.message"
        await talk.stop()


async def test_what_cannot_be_taken_is_refused_to_its_sender(tmp_path: Path) -> None:
    """Nothing, too much, a file that is not there, a session that was deleted; key and files are free again."""
    async with open_talks(tmp_path, [told(TRIVIAL), say("done")]) as world:
        talk = await world.talk()
        name = talk.uploads.keep(attachment_of("a.txt", b"one"))
        for text in ("", " \n", "x" * 20_000):
            with pytest.raises(Invalid):
                await talk.say(Said(text, key="k"), attach=[name])
        with pytest.raises(NotFound):
            await talk.say(Said("do it", key="k"), attach=[name, "none"])
        desk = SessionDesk(world.kernel, talk.session.owner)
        await desk.delete(talk.session)
        with pytest.raises(NotFound):
            await talk.say(Said("do it", key="k"), attach=[name])
        await desk.restore(talk.session)
        for became in ("begun", "known"):  # The files went along; sent again, nobody asks for them.
            assert await talk.say(Said("do it", key="k"), attach=[name]) == became
        await talk.wait()
        assert [one.name for one in talk.session.turns[0].attached] == ["a.txt"]


async def test_a_turn_that_is_said_anew_is_said_once(tmp_path: Path) -> None:
    """By the key of what is said instead, while its turn is under way and afterwards."""
    script = [told(TRIVIAL), say("one"), told(TRIVIAL), call("ask_user", question="?"), say("two")]
    async with open_talks(tmp_path, script) as world:
        talk = await world.talk()
        await talk.say(Said("first"))
        await talk.wait()
        assert await talk.edit(1, Said("anew", key="k")) == "begun"
        run = await _asking(world)
        assert await talk.edit(1, Said("anew", key="k")) == "known"
        world.asker.answer(run, "go")
        await talk.wait()
        assert [turn.reply for turn in talk.session.turns] == ["two"]
        assert await talk.edit(1, Said("anew", key="k")) == "known"


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
