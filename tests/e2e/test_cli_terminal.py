"""`oxios` in a real terminal: questions, their answers, and every way a person ends a run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.place import Place
from tests.e2e.terminal import in_terminal

ASKED = "s left)"
ESCAPE = "\x1b["


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.env |= {"TERM": "xterm"}
    return made


def _submit(place: Place, goal: str, keys: str, *flags: str) -> tuple[str, str]:
    """Submit with a person who presses one of `keys` at each question; what was shown, and stdout."""
    with in_terminal(["seed", "submit", goal, *flags], cwd=place.work, env=place.env) as session:
        for key in keys:
            session.see(ASKED)
            session.type(key if key != "d" else "dnot today\n")
        code, out = session.end()
    assert code == 0, session.shown
    assert session.shown.count("wants to run") == len(keys)
    return session.shown, out


def test_each_answer_reaches_as_far_as_it_says(place: Place) -> None:
    """Once is one call, run is this run, always is every run until forgotten, deny tells the agent why."""
    goal = "run `echo one`, then run `echo two`"
    assert "2 of 2" in _submit(place, goal, "oo", "--approve", "manual")[1]
    assert "2 of 2" in _submit(place, goal, "r", "--approve", "manual")[1]
    assert "2 of 2" in _submit(place, goal, "a", "--approve", "manual")[1]
    assert "2 of 2" in _submit(place, goal, "", "--approve", "manual")[1]
    assert place.oxios("approvals", "forget", "exec:echo").returncode == 0
    assert "not today" in _submit(place, goal, "d", "--approve", "manual")[1]


def test_the_prompt_says_what_an_answer_covers_and_nothing_is_drawn_over_it(place: Place) -> None:
    """Target, consequence and way back are shown, and only the keys that run and always would allow."""
    shown, _ = _submit(place, "run `echo one`", "o", "--approve", "manual", "--no-color")
    assert "target   echo one" in shown
    assert "undo     cannot be undone" in shown
    assert "covers   exec:echo  (run, always)" in shown
    drawn = shown[shown.index("wants to run") : shown.index("left) once")]
    assert "✓" not in drawn
    assert shown.index("left) once") < shown.index("→ once")


@pytest.mark.parametrize(("flags", "env"), [((), {"NO_COLOR": "1"}), (("--no-color",), {})])
def test_no_colour_reaches_the_prompt(place: Place, flags: tuple[str, ...], env: dict[str, str]) -> None:
    """Neither flag nor variable leaves an escape but the one that redraws the countdown's line."""
    place.env = {**{key: value for key, value in place.env.items() if key != "NO_COLOR"}, **env}
    shown, _ = _submit(place, "run `echo one`", "o", "--approve", "manual", *flags)
    assert ESCAPE not in shown.replace(f"{ESCAPE}K", "")


def test_silence_is_denied(place: Place) -> None:
    """A question that nobody answers in approval.wait_s is denied, and the remedy names the command."""
    goal, wait = "run `echo one`", ("--set", "approval.wait_s=1", "--approve", "manual")
    with in_terminal(["seed", "submit", goal, *wait], cwd=place.work, env=place.env) as session:
        code, out = session.end()
    assert code == 0
    assert "nobody answered within 1 s" in out
    (row,) = json.loads(place.oxios("approvals", "list", "--json").stdout)
    assert (row["status"], f"oxios approvals allow {row['id']}" in session.shown) == ("expired", True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_ended_from_outside_is_paused_in_order(place: Place, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and a terminal that hangs up: exit 130, and the record ends with the pause."""
    with in_terminal(["seed", "submit", "run `sleep 30`, then list ."], cwd=place.work, env=place.env) as session:
        session.see("▸ exec sleep")
        session.stop(number)
        code, _ = session.end()
    assert code == 130
    assert "Traceback" not in session.shown
    (row,) = json.loads(place.oxios("runs", "list", "--json").stdout)
    assert row["status"] == "paused"
    assert place.log("--run", row["id"])[-1][1] == "run.paused"


def test_a_run_in_the_background_ignores_ctrl_c_and_obeys_sigterm(place: Place) -> None:
    """A shell starts `oxios … &` with SIGINT ignored: it stays so, and SIGTERM still ends the run in order."""
    words = [sys.executable, "-m", "oxios", "seed", "submit", "run `sleep 0.5`, then run `sleep 30`"]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(words, cwd=place.work, env=place.env, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert process.stderr is not None
        for shown, sent in (("▸ exec sleep 0.5", signal.SIGINT), ("▸ exec sleep 30", signal.SIGTERM)):
            while shown not in process.stderr.readline():
                assert process.poll() is None, f"it ended before {shown!r}"
            process.send_signal(sent)
        process.stderr.read()
    (row,) = json.loads(place.oxios("runs", "list", "--json").stdout)
    assert (process.returncode, row["status"]) == (130, "paused")


def test_ctrl_c_at_a_question_pauses_the_run(place: Place) -> None:
    """An interrupt while a question stands withdraws the question, and the run can go on later."""
    with in_terminal(["seed", "submit", "run `ls`", "--approve", "manual"], cwd=place.work, env=place.env) as session:
        session.see(ASKED)
        session.stop(signal.SIGINT)
        code, _ = session.end()
    assert (code, "oxios runs resume r" in session.shown) == (130, True)
    (row,) = json.loads(place.oxios("approvals", "list", "--all", "--json").stdout)
    assert row["status"] == "expired"
