"""A person before a terminal, and an Oxios that is killed under their hands."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.e2e.place import Place
from tests.e2e.terminal import in_terminal

ASKED = "s left)"
PLAN = "run `touch begun; sleep 1; echo done >> ran.log`"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.env |= {"TERM": "xterm"}
    return made


def _only_run(place: Place) -> tuple[str, str]:
    rows = json.loads(place.oxios("runs", "list", "--json").stdout)
    assert len(rows) == 1
    return rows[0]["id"], rows[0]["status"]


def _require_whole(place: Place, run: str) -> None:
    assert place.oxios("audit", "verify").returncode == 0
    assert "the same state" in place.oxios("runs", "replay", run).stdout


def test_a_question_that_a_crash_left_standing_is_asked_again(place: Place) -> None:
    """Nothing was done, the old question has expired, and the new answer lets the call through once."""
    words = ["seed", "submit", "run `echo x >> ran.log`", "--approve", "manual"]
    with in_terminal(words, cwd=place.work, env=place.env) as first:
        first.see(ASKED)
        first.stop(signal.SIGKILL)
        assert first.end()[0] == -signal.SIGKILL
    run, status = _only_run(place)
    assert (status, (place.work / "ran.log").exists()) == ("interrupted", False)
    with in_terminal(["runs", "resume", run], cwd=place.work, env=place.env) as second:
        second.see(ASKED)
        second.type("o")
        assert second.end()[0] == 0, second.shown
    assert (place.work / "ran.log").read_text() == "x\n"
    answers = [said["status"] for _, kind, said in place.log("--run", run) if kind == "approval.answered"]
    assert answers == ["expired", "granted"]
    _require_whole(place, run)


@pytest.mark.parametrize(("word", "times"), [("retry", 1), ("done", 0)])
def test_a_call_in_doubt_is_asked_about_in_the_terminal(place: Place, word: str, times: int) -> None:
    """What the person says is what happens, and what the agent is told."""
    with in_terminal(["seed", "submit", PLAN], cwd=place.work, env=place.env) as first:
        first.see("▸ exec")
        while not (place.work / "begun").exists():
            first.see("")
        first.stop(signal.SIGKILL)
        first.end()
    run, status = _only_run(place)
    assert status == "interrupted"
    with in_terminal(["runs", "resume"], cwd=place.work, env=place.env) as second:
        second.see("nobody knows whether it happened")
        second.type(f"{word}\n")
        assert second.end()[0] == 0, second.shown
    log = place.work / "ran.log"
    assert (log.read_text().count("done") if log.exists() else 0) == times
    doubts = [said for _, kind, said in place.log("--run", run) if kind == "call.in_doubt"]
    assert len(doubts) == 1
    _require_whole(place, run)
