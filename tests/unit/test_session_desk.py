"""What a person does to sessions: found in lists and searches, or not; forked, rewound, said anew; never another's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kernel.errors import Conflict, Invalid, LimitExceeded, NotFound
from kernel.ids import user
from kernel.testing.provider import Turn, call, say
from ouroboros import session as words
from ouroboros import sessionbook
from ouroboros.session import ERASED, Session, fold
from ouroboros.sessionbook import record
from ouroboros.sessiondesk import FORK_DEPTH_MAX, SessionDesk
from tests.cycle_world import OWNER, SUBSTANTIAL, TRIVIAL, CycleWorld, open_cycle, told

pytestmark = pytest.mark.anyio
VAGUE = {
    "kind": "clarify",
    "clarity": {"goal": 0, "constraints": 0, "success": 0},
    "questions": [{"text": "Which file?", "kind": "free_text"}],
}
DRAFT = {"goal": "a.txt says hello.", "criteria": ["file contains: a.txt :: hello"]}


def _replies(*texts: str) -> list[Turn]:
    return [told({"kind": "conversation", "reply": text}) for text in texts]


def _desk(world: CycleWorld) -> SessionDesk:
    return SessionDesk(world.kernel, OWNER)


async def _talk(world: CycleWorld, *messages: str) -> None:
    for message in messages:
        await world.cycle.run(message)


async def test_pinned_sessions_stand_before_the_others(tmp_path: Path) -> None:
    """On the first page alone, newest first among themselves; unpinned they are where they were."""
    async with open_cycle(tmp_path, name="a") as world:
        desk = _desk(world)
        others = [await desk.fork(world.session, 0, name=name) for name in "bcd"]
        await desk.pin(world.session, pinned=True)
        await desk.pin(others[0], pinned=True)
        page = await desk.book.page(limit=1)
        assert [row["name"] for row in page.rows] == ["b", "a", "d"]
        following = await desk.book.page(limit=1, after=page.after)
        assert ([row["name"] for row in following.rows], following.after) == (["c"], "")
        await desk.pin(others[0], pinned=False)
        assert [row["name"] for row in (await desk.book.page()).rows] == ["a", "d", "c", "b"]


async def test_pages_leave_nothing_out_and_repeat_nothing(tmp_path: Path) -> None:
    """However many there are to a page, archived among them or not."""
    async with open_cycle(tmp_path, name="n0") as world:
        desk = _desk(world)
        made = [world.session, *[await desk.fork(world.session, 0, name=f"n{n}") for n in range(1, 12)]]
        for session in made[::3]:
            await desk.archive(session, archived=True)
        for status, count in (("active", 8), ("archived", 4), ("kept", 12), ("deleted", 0)):
            seen: list[object] = []
            after = ""
            while True:
                page = await desk.book.page(status, limit=3, after=after)  # type: ignore[arg-type] -- each is one
                seen += [row["name"] for row in page.rows]
                after = page.after
                if not after:
                    break
            assert len(seen) == len(set(seen)) == count
        with pytest.raises(Invalid, match="no place"):
            await desk.book.page(after="1' OR 1=1")


async def test_too_many_pins_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is pinned already is no more; one over the bound is refused, and fits when another is unpinned."""
    monkeypatch.setattr("ouroboros.sessiondesk.PINNED_MAX", 1)
    async with open_cycle(tmp_path, name="a") as world:
        desk = _desk(world)
        other = await desk.fork(world.session, 0)
        await desk.pin(world.session, pinned=True)
        await desk.pin(world.session, pinned=True)
        with pytest.raises(LimitExceeded):
            await desk.pin(other, pinned=True)
        await desk.delete(world.session)
        await desk.pin(other, pinned=True)
        assert other.pinned


async def test_a_deleted_session_is_gone_until_it_is_restored(tmp_path: Path) -> None:
    """From lists, search and every act; it comes back as it was, words and place included."""
    async with open_cycle(tmp_path, _replies("pearl"), name="a") as world:
        await _talk(world, "hello")
        desk, session = _desk(world), world.session
        await desk.archive(session, archived=True)
        before = await desk.book.read(session.id)
        await desk.delete(session)
        assert (await desk.book.listed(archived=True), await desk.book.search("pearl")) == ([], [])
        assert [row["name"] for row in (await desk.book.page("deleted")).rows] == ["a"]
        acts: list[Callable[[], Awaitable[object]]] = [
            lambda: desk.book.find("a"),
            lambda: desk.rename(session, "b"),
            lambda: desk.fork(session),
            lambda: desk.delete(session),
            lambda: world.cycle.run("hello"),
            world.cycle.retry,
        ]
        for act in acts:
            with pytest.raises(NotFound):
                await act()
        found = await desk.book.find("a", deleted=True)
        await desk.restore(found)
        assert (await desk.book.read(session.id)).turns == before.turns
        assert [row["status"] for row in await desk.book.listed(archived=True)] == ["archived"]
        assert len(await desk.book.search("pearl")) == 1
        with pytest.raises(Conflict, match="not deleted"):
            await desk.restore(found)


async def test_deleting_ends_a_turn_that_was_left_open(tmp_path: Path) -> None:
    """Nothing of a deleted session waits to go on."""
    script = [told(VAGUE)]
    async with open_cycle(tmp_path, script, name="a") as world:
        await world.cycle.run("fix it")
        await _desk(world).delete(world.session)
        assert world.session.turns[0].status == "stopped"


async def test_a_former_name_is_not_found(tmp_path: Path) -> None:
    """A search knows the name that a session has now; without a name, none."""
    async with open_cycle(tmp_path, name="walrus") as world:
        desk = _desk(world)
        assert [found.snippet for found in await desk.book.search("walr")] == ["walrus"]
        await desk.rename(world.session, "otter")
        assert await desk.book.search("walrus") == []
        assert len(await desk.book.search("otter")) == 1
        await desk.rename(world.session, "")
        assert (await desk.book.search("otter"), world.session.name) == ([], "")


async def test_another_persons_session_is_not_found_by_any_act(tmp_path: Path) -> None:
    """Whoever holds its state, but is not its owner, changes nothing."""
    async with open_cycle(tmp_path, _replies("a", "b"), name="first") as world:
        await _talk(world, "one", "two")
        other, session = SessionDesk(world.kernel, user("other")), world.session
        before = len(await world.entries())
        acts: list[Callable[[], Awaitable[object]]] = [
            lambda: other.rename(session, "x"),
            lambda: other.pin(session, pinned=True),
            lambda: other.archive(session, archived=True),
            lambda: other.delete(session),
            lambda: other.restore(session),
            lambda: other.fork(session),
            lambda: other.rewind(session, 1),
            lambda: other.edit(world.cycle, 1, "x"),
            lambda: other.switch(session, model="scripted/other"),
            lambda: other.book.find("first"),
        ]
        for act in acts:
            with pytest.raises(NotFound):
                await act()
        assert len(await world.entries()) == before


async def test_a_fork_has_the_turns_it_was_made_with_and_a_life_of_its_own(tmp_path: Path) -> None:
    """What is said in one is not in the other; spending begins anew; forks of forks reach back."""
    async with open_cycle(tmp_path, _replies("r1", "r2", "r3", "r4", "r5"), name="a", persona="dev") as world:
        await _talk(world, "m1", "m2", "m3")
        desk, first = _desk(world), world.session
        fork = await desk.fork(first, 2, name="b")
        assert [turn.message for turn in fork.turns] == ["m1", "m2"]
        assert (fork.persona, fork.model, fork.workspace) == ("dev", "scripted/model", first.workspace)
        assert (fork.tokens, fork.next_number) == (0, 3)
        world.cycle.session = fork
        await world.cycle.run("other")
        assert [turn.message for turn in (await desk.book.find("a")).turns] == ["m1", "m2", "m3"]
        deep = await desk.fork(await desk.fork(fork, 3), 1)
        assert [turn.message for turn in deep.turns] == ["m1"]
        assert [turn.message for turn in (await desk.fork(fork)).turns] == ["m1", "m2", "other"]
        row = (await desk.book.search("b"))[0].row
        assert (row["parent"], row["parent_turn"], row["turns"], row["opening"]) == (first.id, 2, 3, "m1")
        with pytest.raises(NotFound, match="no turn 4"):
            await desk.fork(fork, 4)


async def test_forks_of_forks_are_bounded(tmp_path: Path) -> None:
    """As deep as the bound, and no deeper."""
    async with open_cycle(tmp_path) as world:
        desk, session = _desk(world), world.session
        for _ in range(FORK_DEPTH_MAX):
            session = await desk.fork(session, 0)
        with pytest.raises(LimitExceeded):
            await desk.fork(session, 0)


async def test_a_turn_that_has_not_ended_is_not_forked_from(tmp_path: Path) -> None:
    """A question that waits for its answer belongs to one session; by default the turns before it are taken."""
    script = [*_replies("r1"), told(VAGUE)]
    async with open_cycle(tmp_path, script) as world:
        await _talk(world, "m1", "fix it")
        desk = _desk(world)
        with pytest.raises(Conflict, match="turn 2 has not ended"):
            await desk.fork(world.session, 2)
        assert [turn.message for turn in (await desk.fork(world.session)).turns] == ["m1"]


async def test_rewound_turns_count_for_nothing(tmp_path: Path) -> None:
    """The next message follows the turn that was kept: models see no other; the record keeps them all."""
    async with open_cycle(tmp_path, _replies("r1", "r2", "r3", "r4"), name="a") as world:
        await _talk(world, "m1", "m2", "m3")
        desk = _desk(world)
        await desk.rewind(world.session, 1)
        result = await world.cycle.run("m4")
        assert (result.turn, world.session.history()) == (2, "user: m1\nanswer: r1")
        asked = str(world.provider.requests[-1])
        assert "m1" in asked
        assert "m2" not in asked
        assert [turn.message for turn in world.session.turns] == ["m1", "m4"]
        assert [turn.message for turn in world.session.superseded] == ["m2", "m3"]
        assert world.session == fold(world.session.id, await world.entries())
        assert (await desk.book.listed())[0]["turns"] == 2
        with pytest.raises(Conflict, match="no turn comes after"):
            await desk.rewind(world.session, 2)
        fork = await desk.fork(world.session, 2)
        assert [turn.message for turn in fork.turns] == ["m1", "m4"]
        await desk.rewind(fork, 0)
        assert (fork.turns, fork.next_number) == ([], 1)
        assert (await desk.book.read(fork.id)).turns == []


async def test_a_turn_is_said_anew(tmp_path: Path) -> None:
    """The new words take its place, with the context that came with it; a message that is none changes nothing."""
    async with open_cycle(tmp_path, _replies("r1", "r2", "r3")) as world:
        await world.cycle.run("m1", "the context")
        await world.cycle.run("m2")
        desk = _desk(world)
        with pytest.raises(Invalid):
            await desk.edit(world.cycle, 1, " ")
        assert [turn.message for turn in world.session.turns] == ["m1", "m2"]
        result = await desk.edit(world.cycle, 1, "better")
        assert (result.turn, result.response) == (1, "r3")
        assert [(turn.message, turn.context) for turn in world.session.turns] == [("better", "the context")]


async def test_model_and_persona_are_switched_in_mid_session(tmp_path: Path) -> None:
    """The next phase asks the new model; what there is not is refused and changes nothing."""
    async with open_cycle(tmp_path, _replies("r1", "r2")) as world:
        desk, session = _desk(world), world.session
        await _talk(world, "m1")
        await desk.switch(session, model="scripted/other", persona="dev")
        await _talk(world, "m2")
        assert [request.model for request in world.provider.requests] == ["model", "other"]
        before = len(await world.entries())
        await desk.switch(session, model="scripted/other")
        for wrong in ({"model": "nobody/x"}, {"persona": "nobody"}, {"approve": "sometimes"}):
            with pytest.raises((NotFound, Invalid)):
                await desk.switch(session, **wrong)
        assert len(await world.entries()) == before
        await desk.switch(session, persona="")
        assert (session.persona, (await desk.book.read(session.id)).persona) == ("", "")


async def test_what_others_record_reaches_a_session_that_is_open(tmp_path: Path) -> None:
    """Two who hold one session see each other's acts; each entry is folded in once."""
    async with open_cycle(tmp_path, _replies("r1", "r2"), name="a") as world:
        other = await world.book.find("a")
        await _desk(world).switch(other, model="scripted/other")
        await _talk(world, "m1")
        assert world.provider.requests[0].model == "other"
        await _desk(world).rename(other, "b")
        assert [turn.message for turn in other.turns] == ["m1"]
        await _talk(world, "m2")
        assert world.session == await world.book.read(world.session.id)


async def test_a_draft_waits_for_whoever_decides(tmp_path: Path) -> None:
    """It stands on record, over a restart too; accepted as changed it is carried out, once."""
    script = [told(SUBSTANTIAL), told(DRAFT)]
    async with open_cycle(tmp_path, script, name="a") as world:
        world.cycle.person = None
        result = await world.cycle.run("make it")
        assert (result.status, result.phase) == ("waiting", "confirm")
        assert "file contains: a.txt :: hello" in result.response
        assert await world.kernel.journal.rows("runs") == []
        assert await world.cycle.resume() is None
    script = [call("write", path="a.txt", content="hello"), say("Done.")]
    async with open_cycle(tmp_path, script, session="a") as world:
        draft = world.session.turns[0].draft
        assert draft is not None
        result = await world.cycle.decide(draft.model_copy(update={"constraints": ("be brief",)}))
        assert (result.status, result.passed) == ("done", True)
        assert world.session.turns[0].generations[0].seed.constraints == ("be brief",)
        with pytest.raises(Conflict, match="no draft waits"):
            await world.cycle.decide(draft)


async def test_a_draft_that_waits_can_be_declined_or_left_for_a_new_message(tmp_path: Path) -> None:
    """Neither carries it out."""
    script = [told(SUBSTANTIAL), told(DRAFT), told(SUBSTANTIAL), told(DRAFT), *_replies("r")]
    async with open_cycle(tmp_path, script) as world:
        world.cycle.person = None
        await world.cycle.run("make it")
        assert (await world.cycle.decide(None)).status == "declined"
        await world.cycle.run("make it")
        await world.cycle.run("never mind")
        assert [turn.status for turn in world.session.turns] == ["declined", "stopped", "done"]
        assert await world.kernel.journal.rows("runs") == []


async def test_a_phase_that_failed_is_tried_again_alone(tmp_path: Path) -> None:
    """After what was wrong was put right; a turn that ended well has none to try again."""
    async with open_cycle(tmp_path, [told(TRIVIAL), say("Done.")], model="nobody/x") as world:
        assert (await world.cycle.run("do it")).status == "failed"
        await _desk(world).switch(world.session, model="scripted/model")
        assert (await world.cycle.retry()).status == "done"
        assert await world.phases() == [("assess", False), ("assess", True), ("execute", True)]
        with pytest.raises(Conflict):
            await world.cycle.retry()


async def test_what_was_erased_leaves_a_gap_and_the_rest_stands(tmp_path: Path) -> None:
    """A message without its content is shown as erased and found no more; other turns are as they were."""
    async with open_cycle(tmp_path, _replies("r1", "r2"), name="a") as world:
        await _talk(world, "walrus", "otter")
        entry = next(one for one in await world.entries(words.MESSAGE) if (one.payload or {})["text"] == "walrus")
        await world.kernel.journal.erase(entry.digest, OWNER, "asked for")
        session = await world.book.find("a")
        assert [(turn.message, turn.reply) for turn in session.turns] == [(ERASED, "r1"), ("otter", "r2")]
        assert await world.book.search("walrus") == []
        assert len(await world.book.search("otter")) == 1


@pytest.mark.parametrize("gone", ["session.message", "phase.finished", "phase.started", "session.created"])
async def test_a_session_is_read_whatever_of_it_was_erased(tmp_path: Path, gone: str) -> None:
    """No entry's loss keeps the others from being read."""
    script = [told(SUBSTANTIAL), told(DRAFT), call("write", path="a.txt", content="hello"), say("Done.")]
    async with open_cycle(tmp_path, script, name="a") as world:
        await _talk(world, "make it")
        for entry in await world.entries(gone):
            if entry.payload is not None:
                await world.kernel.journal.erase(entry.digest, OWNER, "asked for")
        session: Session = await world.book.read(world.session.id)
        assert len(session.turns) == 1


async def test_a_search_without_a_word_is_refused(tmp_path: Path) -> None:
    """Signs alone are nothing to look for."""
    async with open_cycle(tmp_path) as world:
        with pytest.raises(Invalid, match="no word"):
            await world.book.search('"*" --')


async def test_a_search_finds_sessions_behind_many_messages_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session full of the word does not keep another from being found, nor stand there twice."""
    monkeypatch.setattr(sessionbook, "_HITS", 3)
    async with open_cycle(tmp_path, name="old") as world:
        said = {"turn": 1, "as": "goal", "role": "user", "text": "walrus"}
        await record(world.kernel.journal, world.session, words.MESSAGE, said)
        other = await _desk(world).fork(world.session, 0, name="new")
        for number in range(8):
            await record(world.kernel.journal, other, words.MESSAGE, {**said, "turn": number + 1})
        assert [found.row["name"] for found in await world.book.search("walrus")] == ["new", "old"]
        assert [found.row["name"] for found in await world.book.search("walrus", limit=1)] == ["new"]
