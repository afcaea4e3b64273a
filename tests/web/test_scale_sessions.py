"""Long sessions: what a page reads does not grow with them, and what is read whole lets others in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from kernel.ids import RunId
from kernel.journal.appender import Reader
from kernel.journal.entry import Draft, Entry
from kernel.journal.log import Journal
from ouroboros import session as words
from ouroboros.session import Session
from ouroboros.sessionbook import SessionBook
from ouroboros.sessiondesk import SessionDesk
from ouroboros.sessionglance import glance, glance_of, newest_turns
from tests.bench.web_home import SCRIPT, lengthen
from tests.web.talk_world import TalkWorld, open_talks
from tests.world import OWNER
from webui.conversations import IDLE_MAX
from webui.record import of_session

pytestmark = pytest.mark.anyio
SHOWN = 3


class Counted:
    """A journal that says how many entries were read, and at most at once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def read(self, **query: Any) -> list[Entry]:
        return self._count(await self._journal.read(**query))

    async def latest(self, stream: str, **query: Any) -> list[Entry]:
        return self._count(await self._journal.latest(stream, **query))

    def _count(self, entries: list[Entry]) -> list[Entry]:
        self.sizes.append(len(entries))
        return entries


async def _say(world: TalkWorld, session: Session, turn: int) -> None:
    for said, role, text in (("goal", "user", f"goal {turn}"), ("reply", "assistant", f"reply {turn}")):
        payload = {"turn": turn, "as": said, "role": role, "text": text, "status": "done"}
        await world.kernel.journal.append(Draft(OWNER, session.id, words.MESSAGE, payload))


async def _goals(world: TalkWorld, session: str, turns: int, before: int = 0) -> tuple[list[str], bool]:
    recent = await newest_turns(world.kernel.journal, RunId(session), turns, before=before)
    payloads = [dict(entry.payload or {}) for entry in recent.entries if entry.kind == words.MESSAGE]
    return [str(one["text"]) for one in payloads if one["as"] == "goal"], recent.earlier


async def _talked(world: TalkWorld, turns: int) -> Session:
    session = await world.session()
    for turn in range(1, turns + 1):
        await _say(world, session, turn)
    return await SessionBook(world.kernel.journal, OWNER).read(session.id)


async def test_a_page_reads_as_much_of_a_long_session_as_of_a_short_one(tmp_path: Path) -> None:
    """Eight times the turns, with their runs and calls: the page reads not one chunk more."""
    read: list[int] = []
    for turns in (40, 320):
        root = tmp_path / str(turns)
        await anyio.Path(root).mkdir()
        async with open_talks(root, SCRIPT) as world:
            long = RunId(await lengthen(world, turns))
            counted = Counted(world.kernel.journal)
            loaded = await of_session(cast("Reader", counted), long, turns=SHOWN)
            seen = await glance(cast("Reader", counted), long)
            assert len(loaded.runs) == SHOWN
            assert loaded.earlier
            assert (seen.turns, seen.whole, len(seen.session.turns)) == (turns, False, 1)
            read.append(sum(counted.sizes))
    assert read[1] == read[0]


async def test_a_glance_is_what_the_whole_session_says(tmp_path: Path) -> None:
    """Settings, name, pin and the newest turn are those of a session that was read whole."""
    async with open_talks(tmp_path) as world:
        session = await _talked(world, 3)
        desk = SessionDesk(world.kernel, OWNER)
        await desk.switch(session, approve="manual")
        await desk.rename(session, "by name")
        await desk.pin(session, pinned=True)
        await _say(world, session, 4)
        whole = await SessionBook(world.kernel.journal, OWNER).read(session.id)
        seen, known = await glance(world.kernel.journal, session.id), glance_of(whole)
    assert seen.session.turns == whole.turns[-1:]
    assert (seen.opening, seen.turns) == (known.opening, known.turns)
    for name in (
        "owner",
        "name",
        "model",
        "persona",
        "approve",
        "mounts",
        "budget",
        "pinned",
        "archived",
        "created_us",
    ):
        assert getattr(seen.session, name) == getattr(whole, name), name


async def test_every_turn_is_found_once_on_the_way_back(tmp_path: Path) -> None:
    """Page by page to the beginning; at the last there is nothing earlier."""
    async with open_talks(tmp_path) as world:
        session = await _talked(world, 7)
        journal = world.kernel.journal
        found: list[str] = []
        before, earlier = 0, True
        while earlier:
            recent = await newest_turns(journal, session.id, SHOWN, before=before)
            goals = [one for one in recent.entries if (one.payload or {}).get("as") == "goal"]
            found = [str((one.payload or {})["text"]) for one in goals] + found
            before, earlier = goals[0].seq, recent.earlier
        assert found == [f"goal {turn}" for turn in range(1, 8)]


async def test_rewound_turns_are_passed_over(tmp_path: Path) -> None:
    """What left the conversation takes no place among the newest turns."""
    async with open_talks(tmp_path) as world:
        session = await _talked(world, 6)
        await SessionDesk(world.kernel, OWNER).rewind(session, 2)
        assert await _goals(world, session.id, 2) == (["goal 1", "goal 2"], False)
        assert await _goals(world, session.id, 1) == (["goal 2"], True)


async def test_a_fork_begins_with_the_turns_it_was_forked_with(tmp_path: Path) -> None:
    """Those of its source up to the fork, then its own; what the source says later is not there."""
    async with open_talks(tmp_path) as world:
        session = await _talked(world, 4)
        forked = await SessionDesk(world.kernel, OWNER).fork(session, 2)
        await _say(world, session, 5)
        await _say(world, forked, 3)
        assert await _goals(world, forked.id, 9) == (["goal 1", "goal 2", "goal 3"], False)
        assert await _goals(world, forked.id, 2) == (["goal 2", "goal 3"], True)
        seen = await glance(world.kernel.journal, forked.id)
        assert [turn.message for turn in seen.session.turns] == ["goal 3"]
        assert seen.session.origin is not None


async def test_a_session_is_read_whole_in_small_parts_and_once(tmp_path: Path) -> None:
    """However many ask at once they get one conversation, and no part of it holds up the others for long."""
    async with open_talks(tmp_path, SCRIPT) as world:
        long = await lengthen(world, 60)
        counted = Counted(world.kernel.journal)
        state = await SessionBook(cast("Reader", counted), OWNER).read(RunId(long))
        assert len(state.turns) == 60
        assert max(counted.sizes) <= 200
    async with open_talks(tmp_path) as again:
        found: list[object] = []

        async def ask() -> None:
            found.append(await again.talks.open(long))

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(ask)
        assert len({id(one) for one in found}) == 1
        assert again.talks.session(long) == state


async def test_idle_conversations_are_let_go(tmp_path: Path) -> None:
    """Of many that were opened the newest stay; one that somebody looks at stays too."""
    async with open_talks(tmp_path) as world:
        sessions = [await world.session() for _ in range(IDLE_MAX + 5)]
        with world.talks.watching(sessions[0].id, lambda: None):
            for session in sessions:
                world.talks.of(session)
            kept = [one.id for one in sessions if world.talks.session(one.id) is not None]
    assert kept[0] == sessions[0].id
    assert kept[1:] == [one.id for one in sessions[-IDLE_MAX:]]
