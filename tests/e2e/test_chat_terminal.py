"""`oxios chat` in a real terminal, and from a pipe."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.from_thread
import pytest

from kernel.testing.model_server import Answer, ModelServer, Reaction, Scene, ScriptedCall, in_pieces, model_server
from tests.cycle_world import SUBSTANTIAL, TRIVIAL
from tests.e2e.place import Place
from tests.e2e.terminal import in_terminal

PROMPT = "\n> "
DRAFT = {"goal": "a.txt says hello.", "constraints": [], "criteria": ["file contains: a.txt :: hello"]}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.env |= {"TERM": "xterm"}
    return made


@contextmanager
def _served(place: Place, script: list[Reaction]) -> Generator[ModelServer]:
    """A scripted model server in a thread of its own, and the program told of it."""
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(model_server(script)) as server,
    ):
        place.env |= {"OXIOS__PROVIDERS__LOCAL__BASE_URL": server.url, "OXIOS__MODEL__DEFAULT": "local/any"}
        yield server


def _json(value: object) -> Answer:
    return Answer(text=json.dumps(value))


def _sessions(place: Place) -> list[dict[str, object]]:
    done = place.oxios("audit", "log", "--json", "--kind", "session.created")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_conversation_in_the_terminal(place: Place) -> None:
    """Messages, steps, an approval in the flow, words with a slash; the replies alone are on stdout."""
    with in_terminal(["chat", "--session", "t", "--approve", "manual"], cwd=place.work, env=place.env) as chat:
        chat.see_last(PROMPT)
        chat.type("run `echo one`\n")
        chat.see("s left)")
        chat.type("o")
        chat.see("run finished")
        chat.see_last(PROMPT)
        chat.type("/sessions\n")
        chat.see("* s")
        chat.see_last(PROMPT)
        chat.type("/nonsense\n")
        chat.see("there is no /nonsense")
        chat.see_last(PROMPT)
        chat.type("/exit\n")
        code, out = chat.end()
    assert code == 0, chat.shown
    assert out.startswith("Instructions carried out: 1 of 1.")
    assert "one" in out
    again = place.oxios("chat", "--session", "t", stdin="")
    assert "session t (1 turns)" in again.stderr


def test_control_c_stops_the_turn_and_then_leaves(place: Place) -> None:
    """The first ends the agent's processes and the turn, the second the chat; nothing is left running."""
    command = f"sleep 50.{os.getpid()}"
    with in_terminal(["chat", "--session", "t"], cwd=place.work, env=place.env) as chat:
        chat.see_last(PROMPT)
        chat.type(f"run `{command}`\n")
        chat.see("▸ exec sleep")
        chat.stop(signal.SIGINT)
        chat.see("stopped")
        chat.see_last(PROMPT)
        chat.stop(signal.SIGINT)
        code, _ = chat.end()
    assert code == 0, chat.shown
    assert [row["status"] for row in json.loads(place.oxios("runs", "list", "--json").stdout)] == ["cancelled"]
    assert "Traceback" not in chat.shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_chat_that_is_ended_goes_on_later(place: Place, number: signal.Signals) -> None:
    """The run is recorded as interrupted; the next start asks about the call in doubt, and finishes the turn."""
    gate = place.work / "gate"
    with in_terminal(["chat", "--session", "t"], cwd=place.work, env=place.env) as chat:
        chat.see_last(PROMPT)
        chat.type("run `test -e gate || sleep 50`, then read gate\n")
        chat.see("▸ exec")
        chat.stop(number)
        code, _ = chat.end()
    assert code == (-9 if number == signal.SIGKILL else 0), chat.shown
    gate.write_text("open sesame")
    with in_terminal(["chat", "--session", "t"], cwd=place.work, env=place.env) as chat:
        chat.see("turn 1 was interrupted; it goes on")
        chat.see("number or text> ")
        chat.type("1\n")
        chat.see_last(PROMPT)
        chat.type("/exit\n")
        code, out = chat.end()
    assert code == 0, chat.shown
    assert "Instructions carried out: 2 of 2." in out
    assert "open sesame" in out


def test_a_message_while_it_runs_is_heard_by_the_agent(place: Place) -> None:
    """What is typed meanwhile reaches the model before its next reply, and stands in the session."""
    slow = Answer(calls=(ScriptedCall("exec", json.dumps({"command": "until test -e go; do sleep 0.02; done"})),))
    with _served(place, [_json(TRIVIAL), slow, Answer(text="Done, softly.")]) as server:
        with in_terminal(["chat"], cwd=place.work, env=place.env) as chat:
            chat.see_last(PROMPT)
            chat.type("do it\n")
            chat.see("▸ exec")
            chat.type("softly please\n")
            chat.see("! ")
            (place.work / "go").touch()
            chat.see("run finished")
            chat.see_last(PROMPT)
            chat.type("/exit\n")
            code, out = chat.end()
        assert (code, out) == (0, "Done, softly.\n"), chat.shown
        assert server.requests[-1].body["messages"][-1] == {"role": "user", "content": "softly please"}


def test_a_draft_is_shown_edited_and_carried_out(place: Place) -> None:
    """The draft is shown, the editor changes it, yes carries out what it then is."""
    editor = place.work / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i "s/a.txt/b.txt/" "$1"\n')
    editor.chmod(0o755)
    place.env["EDITOR"] = str(editor)
    write = Answer(calls=(ScriptedCall("write", json.dumps({"path": "b.txt", "content": "hello"})),))
    with _served(place, [_json(SUBSTANTIAL), _json(DRAFT), write, Answer(text="Done.")]) as server:
        with in_terminal(["chat"], cwd=place.work, env=place.env) as chat:
            chat.see_last(PROMPT)
            chat.type("make a greeting\n")
            chat.see("1. file contains: a.txt :: hello")
            chat.see_last(PROMPT)
            chat.type("perhaps\n")
            chat.see("answer y, n or e")
            chat.see_last(PROMPT)
            chat.type("e\n")
            chat.see("Goal: b.txt says hello.")
            chat.see_last(PROMPT)
            chat.type("y\n")
            chat.see("review:")
            chat.see_last(PROMPT)
            chat.type("/exit\n")
            code, out = chat.end()
        assert (code, out) == (0, "Done.\n"), chat.shown
        assert not re.search(r"\n> [^\r\n]*Goal", chat.shown), "a prompt stands only where somebody is asked"
        assert "b.txt says hello." in server.requests[2].body["messages"][0]["content"]


def test_run_asks_about_a_draft_in_a_terminal(place: Place) -> None:
    """`oxios run` shows it, takes it as the editor leaves it, and ends with the reply; no drops it."""
    editor = place.work / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i "s/a.txt/b.txt/" "$1"\n')
    editor.chmod(0o755)
    place.env["EDITOR"] = str(editor)
    write = Answer(calls=(ScriptedCall("write", json.dumps({"path": "b.txt", "content": "hello"})),))
    script: list[Reaction] = [
        _json(SUBSTANTIAL),
        _json(DRAFT),
        write,
        Answer(text="Done."),
        _json(SUBSTANTIAL),
        _json(DRAFT),
    ]
    with _served(place, script):
        with in_terminal(["run", "make a greeting"], cwd=place.work, env=place.env) as run:
            run.see("1. file contains: a.txt :: hello")
            run.type("e\n")
            run.see("Goal: b.txt says hello.")
            run.type("y\n")
            code, out = run.end()
        assert (code, out) == (0, "Done.\n"), run.shown
        with in_terminal(["run", "make a greeting", "--exit-code"], cwd=place.work, env=place.env) as run:
            run.see("[e]dit")
            run.type("n\n")
            code, out = run.end()
        assert (code, out) == (6, "Not carried out.\n"), run.shown


def test_a_paste_is_one_message(place: Place) -> None:
    """Marked by the terminal, its lines come together, a slash in it is no word, and what was set is set back."""
    text = "/srv/a is old\nname ä 你好\nlast"
    with _served(place, [_json({"kind": "conversation", "reply": "I see."})]) as server:
        with in_terminal(["chat"], cwd=place.work, env=place.env) as chat:
            before = chat.modes()
            chat.see("\x1b[?2004h")
            chat.see_last(PROMPT)
            chat.type(f"\x1b[200~{text}\x1b[201~\n")
            chat.see("conversation")
            chat.see_last(PROMPT)
            assert "^[" not in chat.shown
            chat.type("/exit\n")
            chat.see("\x1b[?2004l")
            assert chat.modes() == before
            assert chat.end() == (0, "I see.\n")
        assert f"The message:\n{text}" in server.requests[0].body["messages"][-1]["content"]


def test_what_is_said_is_shown_once_and_as_it_comes(place: Place) -> None:
    """In a terminal: a conversation's reply before its JSON ends, and what an agent says beside its calls."""
    reply = Scene(_json({"kind": "conversation", "reply": "Hello there."}), cut=in_pieces(100), then="hang")
    write = Answer("I write it.", calls=(ScriptedCall("write", json.dumps({"path": "b.txt", "content": "hello"})),))
    with _served(place, [reply, _json(TRIVIAL), write, Answer(text="It is done.")]):
        with in_terminal(["chat"], cwd=place.work, env=place.env, whole=True) as chat:
            chat.see_last(PROMPT)
            chat.type("hi\n")
            chat.see("Hello there.")
            chat.stop(signal.SIGINT)
            chat.see("stopped")
            chat.see_last(PROMPT)
            chat.type("do it\n")
            chat.see("run finished")
            chat.see_last(PROMPT)
            chat.type("/exit\n")
            code, _ = chat.end()
        assert code == 0, chat.shown
        assert [chat.shown.count(text) for text in ("Hello there.", "I write it.", "It is done.")] == [1, 1, 1]


def test_replies_stream_as_they_come_and_are_shown_once(place: Place) -> None:
    """From a pipe, each line is a message; stdout holds each reply whole, once."""
    script: list[Reaction] = [
        _json(TRIVIAL), Scene(Answer(text="First answer.")), _json({"kind": "conversation", "reply": "Second."}),
    ]  # fmt: skip
    with _served(place, script) as server:
        done = place.oxios("chat", "--session", "p", stdin="do one\nthanks\n")
        assert (done.returncode, done.stdout) == (0, "First answer.\nSecond.\n"), done.stderr
        assert "> user: do one\n> answer: First answer." in server.requests[2].body["messages"][-1]["content"]
    assert "interrupted" not in done.stderr
    assert len(_sessions(place)) == 1


def test_a_conversation_is_edited_forked_and_rewound_by_words(place: Place) -> None:
    """Said anew, a turn takes the former's place; a fork goes on by itself; wrong numbers are told."""
    lines = [
        "list .",
        "/edit 1 read no.txt",
        "/pin",
        "/fork",
        "good morning",
        "/rewind 9",
        "/rewind 1",
        "/retry",
        "/edit x",
    ]
    done = place.oxios("chat", "--session", "t", stdin="\n".join(lines) + "\n")
    assert done.returncode == 0, done.stderr
    for said in ("pinned: it stands first", "has no turn 9", "goes on after turn 1", "'x' is no turn's number"):
        assert said in done.stderr
    assert done.stderr.count("stands at no phase") == 1
    first, second = (
        json.loads(place.oxios("sessions", "show", row["id"], "--json").stdout)
        for row in json.loads(place.oxios("sessions", "list", "--json").stdout)
    )
    shown = [[turn["message"] for turn in one[part]] for one in (first, second) for part in ("turns", "superseded")]
    assert shown == [["read no.txt"], ["list ."], ["read no.txt"], ["good morning"]]
    assert second["origin"] == {"session": first["id"], "turn": 1}
