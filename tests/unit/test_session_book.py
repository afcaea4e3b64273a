"""Sessions on record: folded, named, found, searched, bounded by a budget that outlives the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel.directive import Budget
from kernel.errors import Invalid, NotFound
from kernel.ids import user
from kernel.testing.provider import Turn, call, say
from ouroboros import session as words
from ouroboros.session import HISTORY_CHARS_MAX, Session, fold
from ouroboros.sessionbook import NAME_CHARS_MAX, SessionBook, check_name, record
from tests.cycle_world import OWNER, TRIVIAL, CycleWorld, open_cycle, told

pytestmark = pytest.mark.anyio


async def _talk(world: CycleWorld, *messages: str) -> None:
    for message in messages:
        await world.cycle.run(message)


def _replies(*texts: str) -> list[Turn]:
    return [told({"kind": "conversation", "reply": text}) for text in texts]


async def test_a_session_is_its_stream(tmp_path: Path) -> None:
    """Folding the stream gives the live state, cost and all; so does a kernel that was opened anew."""
    script = [
        told(TRIVIAL),
        call("write", path="a", content="b"),
        say("Done."),
        told({"kind": "conversation", "reply": "r"}),
    ]
    async with open_cycle(tmp_path, script, name="first") as world:
        await _talk(world, "do it", "thanks")
        live = world.session
        assert live == fold(live.id, await world.entries())
        assert (live.tokens, len(live.turns)) == (4 * 15, 2)
    async with open_cycle(tmp_path, session="first") as world:
        assert world.session == live


async def test_the_table_says_what_the_stream_says(tmp_path: Path) -> None:
    """Name, workspace, number of turns and the first words are in the row; renaming and archiving change it."""
    async with open_cycle(tmp_path, _replies("a", "b"), name="first", persona="dev") as world:
        await _talk(world, "hello there", "more")
        row = (await world.book.listed())[0]
        assert (row["id"], row["name"], row["turns"], row["opening"]) == (world.session.id, "first", 2, "hello there")
        assert (row["workspace"], row["persona"], row["model"]) == (str(world.workspace), "dev", "scripted/model")
        await record(world.kernel.journal, world.session, words.RENAMED, {"name": "second"})
        assert (await world.book.find("second")).id == world.session.id
        with pytest.raises(NotFound):
            await world.book.find("first")
        await record(world.kernel.journal, world.session, words.ARCHIVED, {"archived": True})
        assert await world.book.listed() == []
        assert [row["status"] for row in await world.book.listed(archived=True)] == ["archived"]


async def test_others_sessions_are_not_found(tmp_path: Path) -> None:
    """Another person finds the session neither by name nor by id, and does not search in it."""
    async with open_cycle(tmp_path, _replies("a"), name="first") as world:
        await _talk(world, "secret")
        other = SessionBook(world.kernel.journal, user("other"))
        for name in ("first", world.session.id):
            with pytest.raises(NotFound):
                await other.find(name)
        assert (await other.listed(archived=True), await other.search("secret")) == ([], [])


@pytest.mark.parametrize(
    ("text", "snippet"),
    [("GRÜßE", "viele grüße von hier"), ("first", "first"), ("replied", "replied thus"), ("nowhere", "")],
)
async def test_sessions_are_searched_in_name_and_messages(tmp_path: Path, text: str, snippet: str) -> None:
    """What a person said, what was replied, and the name are found in any case, with some words around."""
    async with open_cycle(tmp_path, _replies("replied thus"), name="first") as world:
        await _talk(world, "viele grüße von hier")
        assert [found.snippet for found in await world.book.search(text)] == ([snippet] if snippet else [])


@pytest.mark.parametrize("name", ["x" * (NAME_CHARS_MAX + 1), " x", "a\nb", "s01k3v8n5w-4tq9x2m"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    """Too long, not printable, or of an id's form."""
    with pytest.raises(Invalid):
        check_name(name)
    check_name("x" * NAME_CHARS_MAX)


async def test_history_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    """Of many long turns the newest that fit are told, each cut; the turn itself is not among them."""
    async with open_cycle(tmp_path, _replies(*["r" * 5_000] * 12)) as world:
        await _talk(world, *[f"{n:02} " + "m" * 5_000 for n in range(12)])
        history = world.session.history()
        assert len(history) <= HISTORY_CHARS_MAX
        told_turns = [line[6:8] for line in history.splitlines() if line.startswith("user: ")]
        assert told_turns == ["09", "10"]
        assert Session(world.session.id).history() == ""


async def test_history_tells_what_was_asked_back_and_answered(tmp_path: Path) -> None:
    """An answer to a question is as much of the conversation as the message it belongs to."""
    vague = {"kind": "clarify", "clarity": {"goal": 0.2, "constraints": 1, "success": 1}}
    asked = {**vague, "questions": [{"text": "Which\nfile?", "kind": "free_text"}, {"text": "Now?", "kind": "yes_no"}]}
    async with open_cycle(
        tmp_path, [told(asked), told({"kind": "conversation", "reply": "fine"}), *_replies("b")]
    ) as world:
        await _talk(world, "make it nice", "x.txt", "more")
        assert world.session.history() == "user: make it nice\nasked: Which file?; Now?\nuser: x.txt\nanswer: fine"


async def test_a_budget_binds_phases_and_runs_together_over_a_restart(tmp_path: Path) -> None:
    """What one life spent is missing in the next: a session whose tokens are gone begins no run."""
    budget = Budget(tokens_max=30_000)
    async with open_cycle(tmp_path, [told(TRIVIAL), say("Done.")], name="b", budget=budget) as world:
        await _talk(world, "do it")
        spent = world.session.tokens
        assert world.kernel.dispatcher.budgets.spent(world.session.id).tokens == spent == 30
        run = world.session.turns[0].generations[0].run
        entry = (await world.kernel.journal.read(stream=run, kind="run.started"))[0]
        assert (entry.payload or {})["account"] == world.session.id
    async with open_cycle(tmp_path, [told(TRIVIAL), say("Done.")], session="b") as world:
        await _talk(world, "again")
        assert world.kernel.dispatcher.budgets.spent(world.session.id).tokens == world.session.tokens == 60


async def test_a_spent_budget_stops_the_phases_until_it_is_raised(tmp_path: Path) -> None:
    """With less left than a question needs, nothing is asked, and the reply says why; with more, the turn goes on."""
    async with open_cycle(tmp_path, _replies("hello"), budget=Budget(tokens_max=10)) as world:
        result = await world.cycle.run("do it")
        assert result.status == "paused"
        assert "the budget of s" in result.response
        assert world.provider.requests == []
        await world.kernel.handle(OWNER, run=world.session.id).call("budget.raise", {"tokens_max": 1_000_000})
        result = await world.cycle.resume()
        assert result is not None
        assert (result.status, result.response) == ("done", "hello")


async def test_what_a_run_spent_is_counted_once_however_often_it_pauses(tmp_path: Path) -> None:
    """Paused and resumed in one kernel, and stopped in the end: the ledger and the stream say the same."""
    script = [told(TRIVIAL), call("ls", path=".")]
    async with open_cycle(
        tmp_path, script, budget=Budget(tokens_max=100_000), settings={"run.turns_max": "1"}
    ) as world:
        ledger = world.kernel.dispatcher.budgets
        assert (await world.cycle.run("do it")).status == "paused"
        for _ in range(2):
            assert ledger.spent(world.session.id).tokens == 2 * 15
            again = await world.cycle.resume()
            assert again is not None
            assert again.status == "paused"
        assert world.session.tokens == 15
        await world.cycle.stop("enough")
        assert ledger.spent(world.session.id).tokens == world.session.tokens == 2 * 15
        assert world.session == await world.book.read(world.session.id)
