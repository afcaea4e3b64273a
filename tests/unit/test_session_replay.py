"""A session gone through once more: the record alone answers, and whatever was altered is found."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kernel.errors import Invalid
from kernel.testing.provider import Turn, call, say
from ouroboros.seed import SeedSpec
from ouroboros.sessiondesk import SessionDesk
from ouroboros.sessionreplay import SessionReplay, replay_session
from tests.cycle_world import OWNER, SUBSTANTIAL, TRIVIAL, CycleWorld, open_cycle, told
from tests.journal_world import database

pytestmark = pytest.mark.anyio

VAGUE = {
    "kind": "clarify",
    "clarity": {"goal": 0, "constraints": 0, "success": 0},
    "questions": [{"text": "Which file?", "kind": "free_text"}],
}
DRAFT = {"goal": "a.txt says hello.", "criteria": ["file contains: a.txt :: hello", "It is kind"]}


class _Editor:
    async def confirm(self, draft: SeedSpec) -> SeedSpec | None:
        return draft.model_copy(update={"constraints": ("be brief",)})


def _script() -> list[Turn]:
    """Questions, an answer that cannot be read, a changed draft, two generations, a judge; then a conversation."""
    finding: dict[str, object] = {"findings": [{"criterion": 1, "met": None, "evidence": [], "why": "who knows"}]}
    return [
        told(VAGUE), told(SUBSTANTIAL), say("no JSON"), told(DRAFT),
        call("write", path="a.txt", content="bye"), say("Done."), told(finding),
        call("write", path="a.txt", content="hello"), say("Done again."), told(finding),
        told({"kind": "conversation", "reply": "You are welcome."}),
        told(TRIVIAL), say("Nothing to do."),
    ]  # fmt: skip


async def _talk(world: CycleWorld) -> None:
    for message in ("fix it", "a.txt", "thanks", "and now?"):
        await world.cycle.run(message)


async def _replayed(world: CycleWorld) -> SessionReplay:
    return await replay_session(world.book, world.session.id)


async def test_a_replay_ends_in_the_same_state_and_asks_nobody(tmp_path: Path) -> None:
    """Phases, runs and replies come out as they stand; nothing is written, no model is asked."""
    async with open_cycle(tmp_path, _script(), person=_Editor()) as world:
        await _talk(world)
        asked, size = len(world.provider.requests), world.kernel.journal.size
        replayed = await _replayed(world)
        assert replayed.divergence is None
        assert replayed.state == world.session
        assert (replayed.phases, replayed.runs) == (12, 3)
        assert (len(world.provider.requests), world.kernel.journal.size) == (asked, size)


async def test_a_fork_and_a_rewound_session_are_replayed(tmp_path: Path) -> None:
    """With the turns that were inherited, and those that were taken out."""
    async with open_cycle(tmp_path, [*_script(), told({"kind": "conversation", "reply": "r"})]) as world:
        await _talk(world)
        desk = SessionDesk(world.kernel, OWNER)
        await desk.rewind(world.session, 1)
        fork = await desk.fork(world.session, 1)
        await world.cycle.run("once more")
        for session in (world.session, fork):
            replayed = await replay_session(world.book, session.id)
            assert (replayed.divergence, replayed.state) == (None, session)


def _rewrite(place: Path, kind: str, what: Mapping[str, Any], change: Callable[[Any], Mapping[str, Any]]) -> None:
    """Alter the first entry of a kind whose payload holds `what`."""
    with closing(sqlite3.connect(database(place / "home"))) as connection, connection:
        rows = connection.execute("SELECT seq, payload FROM entries WHERE kind = ? ORDER BY seq", (kind,)).fetchall()
        said = [(seq, json.loads(payload)) for seq, payload in rows]
        seq, payload = next(one for one in said if what.items() <= one[1].items())
        changed = json.dumps(change(payload)).encode()
        connection.execute("UPDATE entries SET payload = ? WHERE seq = ?", (changed, seq))


async def test_a_session_of_an_earlier_release_is_replayed(tmp_path: Path) -> None:
    """Whose Seeds lack a field that came later; one that says something else diverges all the same."""

    def earlier(payload: Any) -> Mapping[str, Any]:
        del payload["result"]["seed"]["attachments"]
        return payload

    def altered(payload: Any) -> Mapping[str, Any]:
        payload["result"]["seed"]["attachments"] = ["a.txt"]
        return payload

    async with open_cycle(tmp_path, [told(TRIVIAL), say("Nothing to do.")]) as world:
        await world.cycle.run("and now?")
        name = world.session.id
    for change, same in ((earlier, True), (altered, False)):
        _rewrite(tmp_path, "phase.finished", {"phase": "assess"}, change)
        async with open_cycle(tmp_path, session=name) as world:
            assert ((await _replayed(world)).divergence is None) == same


@pytest.mark.parametrize(
    ("kind", "what", "change"),
    [
        ("model.reply", {"purpose": "assess"}, {"text": json.dumps(TRIVIAL)}),
        ("phase.finished", {"phase": "crystallize"}, {"result": {"draft": {"goal": "another"}}}),
        ("phase.started", {"phase": "review"}, {"phase": "evolve"}),
        ("session.message", {"as": "reply"}, {"text": "another"}),
        ("review.verdict", {}, {"passed": True}),
        ("model.reply", {"text": "Done again."}, {"text": "another"}),
    ],
)
async def test_an_altered_record_diverges(
    tmp_path: Path, kind: str, what: Mapping[str, Any], change: Mapping[str, Any]
) -> None:
    """What does not follow from the entries before it is named by its number."""
    async with open_cycle(tmp_path, _script(), person=_Editor()) as world:
        await _talk(world)
        name = world.session.id
    _rewrite(tmp_path, kind, what, lambda payload: {**payload, **change})
    async with open_cycle(tmp_path, session=name) as world:
        divergence = (await _replayed(world)).divergence
        assert divergence is not None
        assert divergence.expected != divergence.found


async def test_what_was_erased_cannot_be_replayed(tmp_path: Path) -> None:
    """It is said which entry is gone."""
    async with open_cycle(tmp_path, [told({"kind": "conversation", "reply": "r"})]) as world:
        await world.cycle.run("hello")
        entry = (await world.entries("session.message"))[0]
        await world.kernel.journal.erase(entry.digest, OWNER, "asked for")
        with pytest.raises(Invalid, match=f"entry {entry.seq}"):
            await _replayed(world)
