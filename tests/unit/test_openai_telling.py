"""What a client of OpenAI's API is told of a turn, frame by frame."""

from __future__ import annotations

import json

from kernel.ids import KERNEL, CallId, Digest, RunId
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonValue
from kernel.runtime.live import LiveProgress, LiveReasoning, LiveText
from webui.openai.telling import Piece, Telling, aside
from webui.stream import Frame

SESSION, RUN, OTHER = RunId("s1"), RunId("r1"), RunId("r9")


def _entry(kind: str, stream: RunId = RUN, **payload: JsonValue) -> Entry:
    return Entry(1, 0, KERNEL, stream, kind, Digest("0" * 64), payload)


def _told(telling: Telling, *frames: Frame) -> list[Piece]:
    return [piece for frame in frames for piece in telling.take(frame)]


def _content(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces if piece.field == "content")


def test_text_that_comes_before_its_request_is_on_record_waits_for_it() -> None:
    """So what was called stands before what is written after it."""
    telling = Telling(SESSION)
    pieces = _told(
        telling,
        _entry("run.started", account=SESSION),
        LiveText(RUN, "I look.", 1),
        _entry("model.request", round=1),
        LiveText(RUN, "It is ", 2),
        _entry("model.reply", text="I look.", calls=[{"call": "r1.1"}]),
        _entry("call.intent", tool="look", args={"path": "a"}),
        LiveText(RUN, "blue.", 2),
        _entry("model.request", round=2),
    )
    call = Piece("reasoning_content", '\n[look {"path": "a"}]\n')
    assert pieces == [Piece("content", "I look."), call, Piece("content", "\n\nIt is "), Piece("content", "blue.")]


def test_parts_of_an_answer_that_was_cut_off_are_joined() -> None:
    """Also where the conversation was shortened in between."""
    telling = Telling(SESSION)
    pieces = _told(
        telling,
        _entry("run.started", account=SESSION),
        _entry("model.request", round=1),
        LiveText(RUN, "half ", 1),
        _entry("model.reply", text="half ", finish="length"),
        _entry("model.request", round=2, purpose="compaction"),
        _entry("model.reply", text="a summary", purpose="compaction"),
        _entry("model.request", round=2),
        LiveText(RUN, " done", 2),
    )
    assert _content(pieces) == "half  done"


def test_a_conversations_reply_is_told_while_its_json_is_written() -> None:
    """And what a second, corrected answer says stands apart; the JSON of other phases is not told."""
    telling = Telling(SESSION)
    first, second = '{"kind": "conversation", "reply": "Hi', json.dumps({"kind": "conversation", "reply": "Hello."})
    assess = _entry("phase.started", SESSION, phase="assess")
    pieces = _told(telling, assess, LiveText(SESSION, first), LiveText(SESSION, ' you"'))
    assert _content(pieces) == "Hi you"
    pieces += _told(telling, _entry("model.reply", SESSION, text="…"), LiveText(SESSION, second))
    assert _content(pieces) == "Hi you\n\nHello."
    draft = _entry("phase.started", SESSION, phase="crystallize")
    assert _content(_told(telling, draft, LiveText(SESSION, second))) == ""
    with_files = Telling(SESSION, files=True)
    assert _content(_told(with_files, assess, LiveText(SESSION, second))) == ""


def test_what_others_write_is_not_told() -> None:
    """Runs of other agents, and what tools print."""
    telling = Telling(SESSION)
    others = (_entry("run.started", OTHER, account=RUN), LiveText(OTHER, "theirs", 0))
    mine = (_entry("run.started", account=SESSION), _entry("model.request", round=1))
    assert not _told(telling, *mine, *others, LiveProgress(RUN, CallId("r1.1"), "printed"))
    assert telling.runs == [RUN]


def test_usage_is_the_sum_of_phases_and_runs() -> None:
    """As providers reported it."""
    telling = Telling(SESSION)
    _told(telling, _entry("model.reply", SESSION, usage={"in": 3, "out": 1}), _entry("model.reply", usage={"in": 5}))
    assert (telling.prompt_tokens, telling.completion_tokens) == (8, 1)


def test_what_stands_beside_the_reply_is_all_that_was_told_before_it() -> None:
    """Thoughts, calls and words on the way, each kind on a line of its own; not the reply."""
    telling = Telling(SESSION)
    pieces = _told(
        telling,
        _entry("run.started", account=SESSION),
        _entry("model.request", round=1),
        LiveReasoning(RUN, "Hm.", 1),
        LiveText(RUN, "I look.", 1),
        _entry("model.request", round=2),
        LiveText(RUN, "It is", 2),
        LiveText(RUN, " blue.", 2),
    )
    assert aside([*pieces, Piece("content", "\n\nNotes")], telling.written, "It is blue.\n\nNotes") == "Hm.\nI look."
    assert aside([*pieces, Piece("content", "\n\nNo.")], telling.written, "No.") == "Hm.\nI look.\n\nIt is blue."
