"""`oxios run`: one message through the whole cycle, with the embedded planner and over HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from kernel.testing.model_server import Answer, ModelServer, Reaction, ScriptedCall, model_server
from tests.cycle_world import SUBSTANTIAL, TRIVIAL
from tests.e2e.place import Place

FIELDS = {
    "response", "session_id", "primary_project_id", "project_tag", "agent_id", "phase_reached", "evaluation_passed",
    "exit_code", "duration_ms",
}  # fmt: skip
VAGUE = {
    "kind": "clarify",
    "clarity": {"goal": 0.1, "constraints": 1, "success": 0},
    "questions": [{"text": "Which file?", "kind": "free_text"}],
}
DRAFT = {"goal": "a.txt says hello.", "constraints": [], "criteria": ["file contains: a.txt :: hello"]}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def _told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert set(told) == FIELDS
    assert told["exit_code"] == done.returncode
    return told


def _run(place: Place, *words: str) -> dict[str, Any]:
    return _told(place.oxios("run", *words, "--json", "--exit-code", "-q"))


def test_a_task_is_carried_out_and_replied_to(place: Place) -> None:
    """Explicit instructions are a task for the planner; the reply is on stdout, the steps on stderr."""
    done = place.oxios("run", 'write "hello" to a.txt')
    assert (done.returncode, (place.work / "a.txt").read_text()) == (0, "hello")
    assert done.stdout.startswith("Instructions carried out: 1 of 1.")
    assert "task, trivial" in done.stderr
    assert "✓ write a.txt" in done.stderr
    told = _run(place, "read a.txt")
    assert (told["phase_reached"], told["evaluation_passed"], told["exit_code"]) == ("execute", None, 0)
    assert told["agent_id"].startswith("r")
    assert told["response"].endswith("hello")
    assert (told["primary_project_id"], told["project_tag"]) == (None, None)
    assert place.oxios("audit", "verify").returncode == 0


def test_what_the_planner_does_not_understand_it_says(place: Place) -> None:
    """No agent is started, and the reply says plainly what it is and what it understands."""
    told = _run(place, "how are you today?")
    assert (told["phase_reached"], told["agent_id"], told["exit_code"]) == ("assess", None, 0)
    assert "no language model" in told["response"]
    assert json.loads(place.oxios("runs", "list", "--json").stdout) == []


def test_a_session_goes_on(place: Place) -> None:
    """A name makes a session and finds it again, wherever one stands; its workspace stays."""
    first = _run(place, 'write "x" to a.txt', "--session", "work")
    place.work, was = place.home.parent / "elsewhere", place.work
    place.work.mkdir()
    again = _run(place, "read a.txt", "--session", "work")
    assert again["session_id"] == first["session_id"]
    assert again["response"].endswith("x")
    by_id = _run(place, "read a.txt", "--session", first["session_id"])
    assert by_id["session_id"] == first["session_id"]
    moved = place.oxios("run", "list .", "--session", "work", "--workspace", ".")
    assert moved.returncode == 2
    assert str(was) in moved.stderr
    assert _run(place, "list .")["session_id"] != first["session_id"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ((), "no message"),
        (("",), "empty"),
        (("x", "--session", "s01k3v8n5w-4tq9x2m"), "no session"),
        (("x", "--session", " x"), "cannot name a session"),
        (("x", "--model", "nobody/x"), "nobody/x"),
        (("x", "--persona", "reserch"), "research"),
        (("x", "--workspace", "missing"), "mkdir"),
        (("x", "--context-file", "missing.txt"), "no file"),
        (("--session", "new"), "nothing to go on with"),
    ],
)
def test_wrong_words_are_told(place: Place, words: tuple[str, ...], what: str) -> None:
    """Exit 2, nothing on stdout, and what was wrong with a remedy on stderr."""
    done = place.oxios("run", *words)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert what in done.stderr
    assert "try: " in done.stderr


@pytest.mark.parametrize(("content", "what"), [(b"\xff\xfe", "UTF-8"), (b"x" * (64 * 1024 + 1), "65537 bytes")])
def test_a_context_file_that_is_none_is_refused(place: Place, content: bytes, what: str) -> None:
    """No text, or too much of it: the file is named, and what to do."""
    (place.work / "c.txt").write_bytes(content)
    done = place.oxios("run", "list .", "--context-file", "c.txt")
    assert done.returncode == 2
    assert what in done.stderr


def test_a_message_that_is_none_leaves_no_session(place: Place) -> None:
    """What is refused before it begins leaves nothing behind."""
    for words, stdin in (((" ",), ""), (("-",), "\n")):
        assert place.oxios("run", *words, stdin=stdin).returncode == 2
    assert place.oxios("sessions", "list", "--json").stdout == "[]\n"


def test_a_message_may_come_from_standard_input(place: Place) -> None:
    """A dash reads it."""
    done = place.oxios("run", "-", "-q", stdin='write "y" to b.txt\n')
    assert (done.returncode, (place.work / "b.txt").read_text()) == (0, "y")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_turn_that_was_cut_off_goes_on_with_the_same_run(place: Place, number: signal.Signals) -> None:
    """However the process ended, `oxios run --session` without a message finishes the turn with its one run."""
    words = [sys.executable, "-m", "oxios", "run", "--session", "cut"]
    goal = "run `mkfifo gate`, then run `cat gate`, then read a.txt"
    with subprocess.Popen([*words, goal], cwd=place.work, env=place.env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "▸ exec cat" in line:
                process.send_signal(number)
                break
        rest = process.stderr.read()
        code = process.wait(60)
    assert code == (-9 if number == signal.SIGKILL else 130)
    assert number == signal.SIGKILL or "goes on from here" in rest
    (place.work / "a.txt").write_text("still here")
    first = place.oxios("run", "--session", "cut", "--json", "--exit-code", "-q")
    told = _told(first)
    assert (told["exit_code"], told["phase_reached"]) == (5, "execute")
    resumed = place.oxios("runs", "resume", told["agent_id"], "--in-doubt", "skip")
    assert resumed.returncode == 0, resumed.stderr
    done = _told(place.oxios("run", "--session", "cut", "--json", "--exit-code", "-q"))
    assert done["agent_id"] == told["agent_id"]
    assert "still here" in done["response"] or "not done" in done["response"]
    assert len(json.loads(place.oxios("runs", "list", "--json").stdout)) == 1


def _ran(place: Place, server: ModelServer, *words: str) -> subprocess.CompletedProcess[str]:
    place.env |= {"OXIOS__PROVIDERS__LOCAL__BASE_URL": server.url}
    return place.oxios("run", *words, "--model", "local/any")


def _served(script: list[Reaction], place: Place, *words: str) -> tuple[subprocess.CompletedProcess[str], list[Any]]:
    """The program against a scripted server, and the requests' bodies."""

    async def main() -> tuple[subprocess.CompletedProcess[str], list[Any]]:
        async with model_server(script) as server:
            done = await anyio.to_thread.run_sync(lambda: _ran(place, server, *words))
            assert server.unexpected == [], done.stderr
            return done, [asked.body for asked in server.requests]

    return anyio.run(main)


def _json(value: object) -> Answer:
    return Answer(text=f"```json\n{json.dumps(value)}\n```")


def _write(text: str) -> Answer:
    return Answer(calls=(ScriptedCall("write", json.dumps({"path": "a.txt", "content": text})),))


def test_the_whole_cycle_over_http(place: Place) -> None:
    """Assess, draft, carry out, review, evolve, carry out again, pass: with a model behind a real wire."""
    (place.work / "ctx.txt").write_text("Greetings are short here.\n")
    script: list[Reaction] = [
        _json(SUBSTANTIAL), _json(DRAFT), _write("bye"), Answer(text="Wrote it."), _write("hello"), Answer(text="Now."),
    ]  # fmt: skip
    done, bodies = _served(script, place, "make a greeting", "--json", "--exit-code", "--context-file", "ctx.txt")
    told = _told(done)
    assert (told["response"], told["phase_reached"], told["evaluation_passed"]) == ("Now.", "review", True)
    for line in ("· assess", "task, substantial", "a specification of 1 criteria", "generation 1", "review: passed"):
        assert line in done.stderr
    assert all("> Greetings are short here." in json.dumps(body, ensure_ascii=False) for body in bodies)
    assert "tools" not in bodies[0]
    assert "From the review of generation 0" in bodies[4]["messages"][0]["content"]


def test_a_draft_waits_for_a_decision_over_processes(place: Place) -> None:
    """Held, it is exit 5 and can be looked at; changed in a file it is carried out so; declined it is not."""
    done, _ = _served([_json(SUBSTANTIAL), _json(DRAFT)], place, "greet", "--session", "d", "--hold", "--json")
    told = _told(done)
    assert (done.returncode, told["phase_reached"], told["agent_id"]) == (5, "confirm", None)
    assert "--accept, --decline or --draft" in done.stderr
    draft = place.oxios("sessions", "draft", "d").stdout
    (place.work / "draft.md").write_text(draft.replace("a.txt", "b.txt"))
    write = Answer(calls=(ScriptedCall("write", json.dumps({"path": "b.txt", "content": "hello"})),))
    done, _ = _served([write, Answer(text="Done.")], place, "--session", "d", "--draft", "draft.md", "--json")
    told = _told(done)
    assert (told["response"], told["evaluation_passed"], (place.work / "b.txt").read_text()) == ("Done.", True, "hello")
    assert "no draft" in place.oxios("run", "--session", "d", "--accept").stderr
    _served([_json(SUBSTANTIAL), _json(DRAFT)], place, "greet", "--session", "d", "--hold")
    dropped = place.oxios("run", "--session", "d", "--decline")
    assert dropped.stdout == "Not carried out.\n"


def test_questions_wait_for_their_answer_over_two_processes(place: Place) -> None:
    """A vague message is exit 5 with the questions as the response; the answer goes on with the same turn."""
    done, _ = _served([_json(VAGUE)], place, "fix it", "--session", "q", "--json", "--exit-code")
    told = _told(done)
    assert (told["response"], told["exit_code"], told["phase_reached"]) == ("1. Which file?", 5, "clarify")
    assert "oxios run --session 'q' ANSWER" in done.stderr
    done, bodies = _served([_json(TRIVIAL), Answer(text="Done.")], place, "a.txt", "--session", "q", "--json")
    assert _told(done)["response"] == "Done."
    assert "The person answered:\na.txt" in bodies[0]["messages"][-1]["content"]


def test_unmet_criteria_are_an_exit_code_of_their_own(place: Place) -> None:
    """With --exit-code 3, without 0; the response says what was not met."""
    script: list[Reaction] = [_json(SUBSTANTIAL), _json(DRAFT), Answer(text="I will not.")]
    place.env["OXIOS__CYCLE__GENERATIONS_MAX"] = "1"
    done, _ = _served(script, place, "make a greeting", "--json", "--exit-code")
    told = _told(done)
    assert (told["exit_code"], told["evaluation_passed"]) == (3, False)
    assert "Review notes, not met:\n- file contains: a.txt :: hello" in told["response"]
    done, _ = _served(script, place, "make a greeting")
    assert done.returncode == 0


def test_an_agent_that_claims_what_the_journal_does_not_show_fails_its_review(place: Place) -> None:
    """Though the model that judges believes it, at every attempt: exit 3, and the reply says what was not shown."""
    draft = {"goal": "Test it.", "constraints": [], "criteria": ["The test suite was run and passed."]}
    believed: dict[str, Any] = {"findings": [{"criterion": 1, "met": True, "evidence": [], "why": "it says so"}]}
    attempt: list[Reaction] = [Answer(text="All 512 tests pass."), _json(believed)]
    done, bodies = _served([_json(SUBSTANTIAL), _json(draft), *attempt * 3], place, "test it", "--json", "--exit-code")
    told = _told(done)
    assert (told["evaluation_passed"], told["exit_code"], told["phase_reached"]) == (False, 3, "review")
    assert "nothing in the journal shows it" in told["response"]
    assert "nothing in the journal shows it" in json.dumps(bodies[4])
