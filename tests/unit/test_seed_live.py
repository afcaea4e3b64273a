"""The live view: a line a step, with target, duration, refusal and verdict, and harmless to a terminal."""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping

import pytest

from kernel.ids import CallId, Digest, Principal, RunId
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonValue
from kernel.runtime.live import LiveProgress, LiveText
from oxios.live import LiveView, target_of
from oxios.paint import harmless, one_line, painter

RUN = RunId("r1")
ARGS = argparse.Namespace(no_color=False)


def _shown(*steps: tuple[str, Mapping[str, JsonValue] | None], principal: str = "agent:r1") -> str:
    stream = io.StringIO()
    view = LiveView(painter(ARGS, stream))
    for seq, (kind, payload) in enumerate(steps, 1):
        view.entry(Entry(seq, 0, Principal(principal), RUN, kind, Digest("0" * 64), payload))
    return stream.getvalue()


REPLY: Mapping[str, JsonValue] = {
    "model": "m",
    "text": "I look",
    "ms": 1500,
    "usage": {"in": 7, "out": 3},
    "calls": [{"call": "r1.1", "id": "x", "name": "exec", "arguments": '{"argv": ["ls", "-l"]}'}],
}


def test_a_round_and_its_call_are_one_line_each() -> None:
    """A reply shows model, calls, tokens and time; a call its target and duration."""
    shown = _shown(
        ("model.reply", REPLY),
        ("call.intent", {"call": "r1.1", "tool": "exec", "effect": "external", "args": {"argv": ["ls", "-l"]}}),
        ("call.outcome", {"call": "r1.1", "tool": "exec", "ok": True, "text": "a", "ms": 12}),
    )
    assert [line.split() for line in shown.splitlines()] == [
        ["1", "m:", "1", "call", "7", "in,", "3", "out,", "1.5", "s"],
        ["I", "look"],
        ["▸", "exec", "ls", "-l"],
        ["✓", "exec", "ls", "-l", "12", "ms"],
    ]


def test_a_model_that_stands_in_a_wait_and_a_cache_hit_are_shown() -> None:
    """Who is asked in whose place, how long nobody is asked and why, and what of a prompt came from a cache."""
    shown = _shown(
        ("model.waiting", {"seconds": 120.0, "why": "a/m: its key cools"}),
        ("model.fallback", {"from": "a/m", "to": "b/m", "reason": "server: 503"}),
        ("model.reply", {**REPLY, "calls": [], "usage": {"in": 70, "out": 3, "cached": 64}}),
    )
    assert [" ".join(line.split()) for line in shown.splitlines()] == [
        "… waits 120 s, then asks again a/m: its key cools",
        "→ b/m is asked in place of a/m",
        "1 m: answer 70 in (64 cached), 3 out, 1.5 s",
    ]


def test_a_refusal_shows_layer_reason_and_remedy() -> None:
    """What was denied is shown with its target, who refused, why, and what would change that."""
    denied = {"call": "r1.1", "tool": "exec", "layer": "commands", "reason": "no rm", "remedy": "use mv", "need": ""}
    shown = _shown(("model.reply", REPLY), ("call.denied", denied))
    assert "exec ls -l" in shown
    assert "denied by commands: no rm" in shown
    assert "try: use mv" in shown


def test_a_failed_call_shows_what_it_said() -> None:
    """The error of a call stands below it."""
    failed = {"call": "r1.1", "tool": "exec", "ok": False, "text": "no such program", "ms": 1}
    assert "✗ exec" in _shown(("call.outcome", failed))
    assert "no such program" in _shown(("call.outcome", failed))


def test_approvals_are_shown_with_who_answered() -> None:
    """A question and its answer are two lines: what was asked, and who said what."""
    asked = {"approval": "a1", "question": {"tool": "exec", "target": "rm x", "why": "it deletes"}}
    shown = _shown(
        ("approval.asked", asked), ("approval.answered", {"choice": "deny", "by": "user:bob", "reason": "no"})
    )
    assert "approval a1: exec rm x: it deletes" in shown
    assert "deny, by user:bob: no" in shown


def test_the_verdict_shows_each_finding_with_its_evidence() -> None:
    """Passed, failed and unjudged are told apart, each with its note and entry numbers."""
    findings: list[JsonValue] = [
        {"criterion": "file exists: a", "status": "passed", "evidence": [4], "note": "a is a file"},
        {"criterion": "file exists: b", "status": "failed", "evidence": [6], "note": "b is not there"},
        {"criterion": "nice", "status": "unjudged", "evidence": [], "note": "a person has to"},
    ]
    shown = _shown(("review.verdict", {"passed": False, "score": 0.5, "findings": findings, "gaps": []}))
    lines = [line.strip() for line in shown.splitlines()]
    assert lines == [
        "review: failed  1 of 2 criteria",
        "✓ file exists: a  a is a file (entry 4)",
        "✗ file exists: b  b is not there (entry 6)",
        "? nice  a person has to",
    ]


def test_the_reviews_own_calls_are_left_to_the_verdict() -> None:
    """Calls of a person in the run's stream are not shown as steps of the agent."""
    ended = {"call": "h.1", "tool": "look", "ok": True, "text": "", "ms": 1}
    assert not _shown(("call.outcome", ended), principal="user:bob")
    assert _shown(("call.outcome", ended))


def test_a_command_of_the_review_is_named_once_it_prints() -> None:
    """What it prints would else stand under the run's end, as if the agent had gone on."""
    stream = io.StringIO()
    view = LiveView(painter(ARGS, stream))
    payload: Mapping[str, JsonValue] = {
        "call": "r1.9", "tool": "exec", "effect": "external", "args": {"command": "make test"}
    }  # fmt: skip
    view.entry(Entry(1, 0, Principal("user:me"), RUN, "call.intent", Digest("0" * 64), payload))
    assert not stream.getvalue()
    view.event(LiveProgress(RUN, CallId("r1.9"), "1 passed"))
    view.event(LiveProgress(RUN, CallId("r1.9"), "2 passed"))
    assert stream.getvalue().split() == ["▸", "exec", "make", "test", "│", "1", "passed", "│", "2", "passed"]


@pytest.mark.parametrize("kind", ["model.request", "something.new", "blob.erased"])
def test_other_entries_are_no_lines(kind: str) -> None:
    """Kinds that say nothing to a person, unknown ones included, leave no line and raise nothing."""
    assert not _shown((kind, {"x": 1}), (kind, None))


def test_an_erased_entry_is_no_error() -> None:
    """An entry whose payload was erased is passed over."""
    assert not _shown(("call.outcome", None))


def test_no_text_can_steer_the_terminal() -> None:
    """Escapes, carriage returns and forged lines in tool output and targets are shown, not obeyed."""
    evil = "\x1b[2J\rreview: passed\n\x9b31m\u202e"
    shown = _shown(
        ("call.intent", {"call": "r1.1", "tool": "exec", "effect": "external", "args": {"command": evil}}),
        ("call.outcome", {"call": "r1.1", "tool": "exec", "ok": False, "text": evil, "ms": 1}),
        ("run.finished", {"status": "failed", "note": evil}),
    )
    assert not set("\x1b\r\x9b\u202e") & set(shown)
    assert not any(line.startswith("review") for line in shown.splitlines())
    assert harmless("a\n\tb\x1b[1m") == "a\n\tb\\x1b[1m"


def test_live_progress_is_shown_and_text_is_not() -> None:
    """What a running tool prints is shown, its last three lines a time; streamed model text waits for its entry."""
    stream = io.StringIO()
    view = LiveView(painter(ARGS, stream))
    view.event(LiveProgress(RUN, CallId("r1.1"), "a\nb\nc\nd\n"))
    view.event(LiveText(RUN, "hello"))
    assert [line.strip() for line in stream.getvalue().splitlines()] == ["│ b", "│ c", "│ d"]


@pytest.mark.parametrize(
    ("args", "target"),
    [
        ({"path": "a b"}, "a b"),
        ({"argv": ["ls", "x"]}, "ls x"),
        ({"command": "a\nb"}, "a b"),
        ({"other": 1}, '{"other": 1}'),
        ({}, ""),
        ({"path": "x" * 300}, "x" * 99 + "…"),
    ],
)
def test_a_calls_target_is_one_short_line(args: Mapping[str, JsonValue], target: str) -> None:
    """Path, command and address are named as such; anything else by its arguments, cut to a line."""
    assert target_of(args) == target


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets colours unless NO_COLOR or --no-color says otherwise; a pipe never does."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def painted(stream: io.StringIO, *, no_color: bool = False) -> str:
        painter(argparse.Namespace(no_color=no_color), stream)((("ok [b]x[/b] :smile:", "good"),))
        return stream.getvalue()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in painted(Terminal())
    assert "[b]x[/b] :smile:" in painted(Terminal())
    assert painted(Terminal(), no_color=True) == painted(io.StringIO()) == "ok [b]x[/b] :smile:\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert painted(Terminal()) == "ok [b]x[/b] :smile:\n"


def test_one_line_is_cut_by_characters() -> None:
    """A text that fits is whole; a longer one ends in an ellipsis at the bound."""
    assert one_line("abc", 3) == "abc"
    assert one_line("abcd", 3) == "ab…"
