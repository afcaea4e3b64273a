"""The elements of a page follow from the entries: the same whenever they are asked for."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from kernel.errors import ProviderDown
from kernel.ids import RunId
from kernel.journal.entry import Entry
from kernel.testing.provider import Turn, call, say
from ouroboros.sessiondesk import SessionDesk
from tests.cycle_world import SUBSTANTIAL, TRIVIAL, told
from tests.web.talk_world import TalkWorld, open_talks
from tests.world import OWNER
from webui.items import CallItem, ChangeItem, DraftItem, Item, MessageItem, PhaseItem, StepItem, VerdictItem
from webui.queued import Said
from webui.record import of_run, of_session
from webui.transcript import Transcript, of_streams

pytestmark = pytest.mark.anyio
DRAFT = {"goal": "Make a file", "criteria": ["file exists: a.txt"]}
SCRIPT = [
    told(SUBSTANTIAL),
    told(DRAFT),
    Turn(error=ProviderDown("gone", retry_after_s=0)),
    Turn(text="first", reasoning="hm", calls=call("write", path="a.txt", content="x").calls),
    call("read", path="/etc/shadow"),
    call("nonsense"),
    say("done"),
]


async def _played(world: TalkWorld) -> list[Entry]:
    """Every entry of a session in which much happened."""
    talk = await world.talk()
    talk.watchers.append(lambda: talk.confirm(talk.draft.spec) if talk.draft.spec else None)
    await talk.say(Said("make a file"))
    await talk.wait()
    await world.kernel.journal.flush()
    return await world.kernel.journal.read(limit=1_000)


async def test_whoever_comes_back_gets_what_changed_and_nothing_else(tmp_path: Path) -> None:
    """For every entry: the elements since it, put over those up to it, are the whole page."""
    async with open_talks(tmp_path, SCRIPT) as world:
        entries = await _played(world)
    whole = of_streams({entry.seq: entry for entry in entries})
    assert len(whole.items) > 10
    page, seen = Transcript(), dict[str, Item]()
    for entry in entries:
        before = {name: copy.deepcopy(item) for name, item in page.items.items()}
        changed = {item.id for item in page.apply(entry)}
        assert changed == {name for name, item in page.items.items() if before.get(name) != item}
        seen = {name: copy.deepcopy(item) for name, item in page.items.items()}
        missed = {item.id: item for item in whole.since(entry.seq)}
        assert {**seen, **missed} == whole.items
    assert seen == whole.items


async def test_what_happened_is_there(tmp_path: Path) -> None:
    """The draft, each call with its state and place in the record, failures, reasoning, verdict and reply."""
    async with open_talks(tmp_path, SCRIPT) as world:
        entries = await _played(world)
    items = list(of_streams({entry.seq: entry for entry in entries}).items.values())
    calls = [item for item in items if isinstance(item, CallItem)]
    assert [(one.tool, one.state) for one in calls] == [("write", "done"), ("read", "denied"), ("nonsense", "invalid")]
    assert calls[0].undoable
    assert (calls[0].why, calls[0].intent_seq < calls[0].outcome_seq) == ("first", True)
    assert calls[1].layer
    steps = [item for item in items if isinstance(item, StepItem)]
    assert (steps[0].reasoning, len(steps[0].failures), steps[-1].final) == ("hm", 1, True)
    assert [item.state for item in items if isinstance(item, DraftItem)] == ["accepted"]
    assert [item.passed for item in items if isinstance(item, VerdictItem)] == [True]
    assert [item.said for item in items if isinstance(item, MessageItem)] == ["goal", "reply"]


async def test_a_session_is_read_back_with_its_runs_and_names(tmp_path: Path) -> None:
    """The page read from the record has the same elements as the one that was watched."""
    async with open_talks(tmp_path, SCRIPT) as world:
        entries = await _played(world)
        session = next(iter(world.talks.busy_ids()), "") or next(
            entry.stream for entry in entries if entry.kind == "session.created"
        )
        held = world.talks.session(session)
        assert held is not None
        loaded = await of_session(world.kernel.journal, held.id, turns=20)
        assert loaded.page.items == of_streams({entry.seq: entry for entry in entries}).items
        (run,) = loaded.runs
        one = await of_run(world.kernel.journal, RunId(run))
        assert [item.id for item in one.page.items.values() if isinstance(item, CallItem)] == [
            item.id for item in loaded.page.items.values() if isinstance(item, CallItem)
        ]
        assert any(name.startswith("file:") for name in loaded.names.values())


async def test_an_answer_ends_its_questions_and_a_switch_is_told(tmp_path: Path) -> None:
    """Questions are open until a message answers them; whoever answers from then on stands where it was chosen."""
    asked = {"kind": "clarify", "clarity": {"goal": 0.1, "constraints": 0.1, "success": 0.1}}
    questions = [
        {"text": "which?", "kind": "single_choice", "choices": ["a", "b"]},
        {"text": "sure?", "kind": "yes_no"},
    ]
    script = [told({**asked, "questions": questions}), told(TRIVIAL), say("done")]
    async with open_talks(tmp_path, script) as world:
        talk = await world.talk()
        await talk.say(Said("make something"))
        await talk.wait()
        page = (await of_session(world.kernel.journal, talk.session.id, turns=20)).page
        assert [item.answered for item in page.items.values() if isinstance(item, PhaseItem)] == [False]
        await SessionDesk(world.kernel, OWNER).switch(talk.session, persona="writer")
        await talk.say(Said("1. a\n2. yes"))
        await talk.wait()
        page = (await of_session(world.kernel.journal, talk.session.id, turns=20)).page
    items = sorted(page.items.values(), key=lambda item: item.first)
    assert next(item for item in items if isinstance(item, PhaseItem)).answered
    assert [item.changes for item in items if isinstance(item, ChangeItem)] == [{"persona": "writer"}]
    assert [item.said for item in items if isinstance(item, MessageItem)] == ["goal", "answer", "reply"]
