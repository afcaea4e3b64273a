"""What is said ahead of the record: kept for pages that are opened meanwhile, gone with its entry, bounded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from kernel.ids import CallId, Digest, Principal, RunId
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject
from kernel.runtime.live import LiveEvent, LiveProgress, LiveReasoning, LiveText
from kernel.testing.clock import FakeClock
from kernel.testing.provider import Turn, call
from ouroboros.session import Session
from ouroboros.sessionglance import Glance
from tests.cycle_world import TRIVIAL, told
from tests.web.talk_world import TalkWorld, open_talks
from webui.conversations import Conversation
from webui.queued import Said
from webui.underway import KEPT_CHARS_MAX, RUNS_MAX, Underway
from webui.writing import WITHIN_S, Writing

RUN, OTHER = RunId("r1"), RunId("r2")
CALL = CallId("r1.1")


def _entry(kind: str, payload: JsonObject | None = None) -> Entry:
    return Entry(1, 1, Principal("agent:r1"), RUN, kind, Digest("0" * 64), payload or {})


def test_what_was_said_is_kept_until_its_entry() -> None:
    """A reply's text and reasoning go with the reply, an output with its outcome, all of it with the run."""
    heard = Underway()
    for event in (
        LiveText(RUN, "so "),
        LiveText(RUN, "far"),
        LiveReasoning(RUN, "hm"),
        LiveProgress(RUN, CALL, "one\n"),
    ):
        heard.hear(event)
    assert (heard.reply(RUN), heard.output(RUN, CALL)) == (("so far", "hm"), "one\n")
    heard.settle(_entry("model.reply"))
    assert (heard.reply(RUN), heard.output(RUN, CALL)) == (("", ""), "one\n")
    heard.settle(_entry("call.outcome", {"call": CALL}))
    assert (heard.output(RUN, CALL), heard.runs()) == ("", ())
    heard.hear(LiveText(RUN, "again"))
    heard.settle(_entry("run.finished"))
    assert heard.runs() == ()


def test_the_next_reply_is_not_taken_for_the_one_before() -> None:
    """Its text may come ahead of that one's entry: it stands alone, and that entry does not take it away."""
    heard = Underway()
    heard.settle(_entry("model.request", {"round": 1}))
    heard.hear(LiveText(RUN, "first", 1))
    heard.hear(LiveText(RUN, "second", 2))
    assert heard.reply(RUN)[0] == "second"
    heard.settle(_entry("model.reply"))
    assert heard.reply(RUN)[0] == "second"
    heard.settle(_entry("model.request", {"round": 2}))
    heard.settle(_entry("model.reply"))
    assert heard.reply(RUN)[0] == ""


def test_what_is_kept_is_bounded() -> None:
    """The newest characters of a text, and so many runs."""
    heard = Underway()
    for _ in range(5):
        heard.hear(LiveProgress(RUN, CALL, "x" * KEPT_CHARS_MAX))
    heard.hear(LiveProgress(RUN, CALL, "end"))
    shown = heard.output(RUN, CALL)
    assert shown.endswith("end")
    assert KEPT_CHARS_MAX <= len(shown) <= 2 * KEPT_CHARS_MAX
    for number in range(RUNS_MAX):
        heard.hear(LiveText(RunId(f"r{number + 10}"), "x"))
    assert (len(heard.runs()), RUN in heard.runs()) == (RUNS_MAX, False)


def test_another_takes_over_what_is_asked_for() -> None:
    """Of the named runs only, as it was then."""
    heard, room = Underway(), Underway()
    heard.hear(LiveText(RUN, "mine"))
    heard.hear(LiveText(OTHER, "not"))
    room.take_over(heard, [RUN])
    heard.hear(LiveText(RUN, " later"))
    assert (room.reply(RUN)[0], room.runs()) == ("mine", (RUN,))


def test_a_reply_is_drawn_soon_and_for_a_twentieth_of_the_time() -> None:
    """Not before it is due, then at once; what took long to draw is drawn more rarely; what is over, not at all."""
    clock = FakeClock()
    writing = Writing(clock)
    writing.changed("step-1", RUN)
    assert (writing.take(), writing.wait_s()) == ({}, pytest.approx(WITHIN_S))
    clock.advance(WITHIN_S)
    assert writing.take() == {"step-1": RUN}
    clock.advance(0.05)
    writing.drawn()
    writing.changed("step-1", RUN)
    writing.changed("step-9", OTHER)
    assert writing.wait_s() == pytest.approx(20 * 0.05)
    writing.over(RUN)
    clock.advance(1.0)
    assert (writing.take(), writing.wait_s()) == ({"step-9": OTHER}, None)


async def _seen(world: TalkWorld, session: Session) -> str:
    """What a browser that opens the session now is told first, its page having been drawn already."""
    room = await world.rooms.enter(Glance(session, "", 1))
    async with room.viewing(room.page.seq) as viewer:
        return (await viewer.next()).decode()


def _when(world: TalkWorld, is_it: Callable[[Entry | LiveEvent], bool]) -> tuple[anyio.Event, list[RunId]]:
    """Set when what is looked for happens; in which run."""
    happened, runs = anyio.Event(), list[RunId]()

    def each(entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            look(entry)

    def look(event: Entry | LiveEvent) -> None:
        if is_it(event):
            runs.append(RunId(event.stream if isinstance(event, Entry) else event.run))
            happened.set()

    world.kernel.bus.subscribe(None, look)
    world.kernel.journal.subscribe(each)
    return happened, runs


def _of_agent(entry: Entry) -> bool:
    return entry.kind == "model.request" and entry.principal.startswith("agent:")


@pytest.mark.anyio
async def test_a_page_opened_in_mid_command_shows_its_output_so_far(tmp_path: Path) -> None:
    """Nobody watched when it was printed; the card shows it, once."""
    command = "echo early; while [ ! -e go ]; do sleep 0.05; done"
    script = [told(TRIVIAL), call("exec", command=command)]
    async with open_talks(tmp_path, script, settings={"approval.mode": "auto"}) as world:
        printed, _ = _when(world, lambda event: isinstance(event, LiveProgress))
        talk = await world.talk()
        await talk.say(Said("run it"))
        with anyio.fail_after(30):
            await printed.wait()
        shown = await _seen(world, talk.session)
        await talk.stop()
    assert shown.count("data-progress>early\n") == 1, shown


@pytest.mark.anyio
async def test_a_page_opened_in_mid_reply_shows_its_text_so_far(tmp_path: Path) -> None:
    """To the first who opens it, and to the next, with what was said between them."""
    async with open_talks(tmp_path, [told(TRIVIAL), Turn(hang=True)]) as world:
        asked, runs = _when(world, lambda event: isinstance(event, Entry) and _of_agent(event))
        talk = await world.talk()
        await talk.say(Said("think"))
        with anyio.fail_after(30):
            await asked.wait()
        world.kernel.bus.publish(LiveText(runs[0], "<b>so far</b>"))
        first = await _seen(world, talk.session)
        world.kernel.bus.publish(LiveReasoning(runs[0], "because"))
        await anyio.wait_all_tasks_blocked()
        second = await _seen(world, talk.session)
        await talk.stop()
    assert "&lt;b&gt;so far&lt;/b&gt;" in first
    assert ("because" in first, "because" in second, "so far" in second) == (False, True, True)


async def _assessed(world: TalkWorld) -> Conversation:
    """A session whose message is being assessed."""
    asked, _ = _when(world, lambda event: isinstance(event, Entry) and event.kind == "model.request")
    talk = await world.talk()
    await talk.say(Said("hello"))
    with anyio.fail_after(30):
        await asked.wait()
    return talk


@pytest.mark.anyio
async def test_a_conversations_reply_is_shown_while_it_is_written(tmp_path: Path) -> None:
    """It is read out of the JSON that it comes in: by who looks already, and by who opens the page meanwhile."""
    async with open_talks(tmp_path, [Turn(hang=True)]) as world:
        talk = await _assessed(world)
        session = talk.session.id
        world.kernel.bus.publish(LiveText(session, '{"kind": "conversation", "reply": "Good <b>'))
        room = await world.rooms.enter(Glance(talk.session, "", 1))
        async with room.viewing(room.page.seq) as viewer:
            first = (await viewer.next()).decode()
            world.kernel.bus.publish(LiveText(session, "morning"))
            with anyio.fail_after(30):
                then = (await viewer.next()).decode()
        second = await _seen(world, talk.session)
        await talk.stop()
    assert "data-text><p>Good &lt;b&gt;</p>" in first
    assert ("event: prose" in then, "<p>Good &lt;b&gt;morning</p>" in then) == (True, True)
    assert "data-text><p>Good &lt;b&gt;morning</p>" in second


@pytest.mark.anyio
async def test_what_a_phase_says_of_a_task_is_nobodys_reply(tmp_path: Path) -> None:
    """JSON of another kind is shown to nobody."""
    async with open_talks(tmp_path, [Turn(hang=True)]) as world:
        talk = await _assessed(world)
        world.kernel.bus.publish(LiveText(talk.session.id, '{"kind": "task", "reply": "secret thought'))
        shown = await _seen(world, talk.session)
        await talk.stop()
    assert "secret" not in shown
