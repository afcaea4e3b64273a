"""`oxios sessions`: what is on record, from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    assert made.oxios("run", 'write "x" to a.txt', "--session", "first", "-q").returncode == 0
    assert made.oxios("run", "good morning", "-q").returncode == 0
    return made


def test_sessions_are_listed_searched_and_shown(place: Place) -> None:
    """The newest first; a text is found in messages of any; a turn names its Seed and run."""
    rows = json.loads(place.oxios("sessions", "list", "--json").stdout)
    assert [(row["name"], row["turns"], row["opening"]) for row in rows] == [
        ("", 1, "good morning"), ("first", 1, 'write "x" to a.txt'),
    ]  # fmt: skip
    assert "good morning" in place.oxios("sessions", "list").stdout
    found = json.loads(place.oxios("sessions", "search", "MORNING", "--json").stdout)
    assert [one["id"] for one in found] == [rows[0]["id"]]
    shown = json.loads(place.oxios("sessions", "show", "first", "--json").stdout)
    assert [turn["status"] for turn in shown["turns"]] == ["done"]
    run = place.oxios("runs", "show", shown["turns"][0]["runs"][0], "--json")
    assert json.loads(run.stdout)["seed"] == shown["turns"][0]["seeds"][0]
    assert "1  done" in place.oxios("sessions", "show", "first").stdout


def test_a_session_is_renamed_and_archived(place: Place) -> None:
    """Its old name is gone; archived it is out of the list, and can still be gone on with."""
    assert place.oxios("sessions", "rename", "first", "second").returncode == 0
    assert place.oxios("sessions", "show", "first").returncode == 2
    assert place.oxios("sessions", "archive", "second").returncode == 0
    assert "second" not in place.oxios("sessions", "list").stdout
    assert "second" in place.oxios("sessions", "list", "--all").stdout
    assert place.oxios("run", "read a.txt", "--session", "second", "-q").stdout.endswith("x\n")
    assert place.oxios("sessions", "archive", "second", "--undo").returncode == 0
    assert "second" in place.oxios("sessions", "list").stdout
    assert place.oxios("sessions", "rename", "second", " x").returncode == 2


def test_the_tables_can_be_rebuilt(place: Place) -> None:
    """What the journal says of sessions is what the table holds: the audit finds no difference."""
    done = place.oxios("audit", "verify")
    assert done.returncode == 0, done.stderr + done.stdout


def _shown(place: Place, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(place.oxios("sessions", "show", name, "--json").stdout)
    return shown


def test_a_session_is_pinned_deleted_and_brought_back(place: Place) -> None:
    """Pinned it stands first; deleted it is found nowhere, until the delete is undone."""
    assert place.oxios("sessions", "pin", "first").returncode == 0
    assert place.oxios("sessions", "list").stdout.splitlines()[0].endswith("first  (pinned)")
    assert place.oxios("sessions", "delete", "first").returncode == 0
    for words in (("show", "first"), ("delete", "first")):
        gone = place.oxios("sessions", *words)
        assert gone.returncode == 2
        assert "there is no session" in gone.stderr
    assert place.oxios("sessions", "search", "first").stdout == ""
    assert "first" in place.oxios("sessions", "list", "--deleted").stdout
    assert place.oxios("sessions", "delete", "first", "--undo").returncode == 0
    assert place.oxios("sessions", "search", "firs").stdout.count("first") == 2
    assert place.oxios("sessions", "pin", "first", "--undo").returncode == 0
    assert "pinned" not in place.oxios("sessions", "list").stdout
    assert place.oxios("audit", "verify").returncode == 0


def test_a_session_is_forked_rewound_switched_and_replayed(place: Place) -> None:
    """A fork goes on by itself; rewound turns are shown as such; all of it is replayed to the same state."""
    assert place.oxios("run", "read a.txt", "--session", "first", "-q").returncode == 0
    fork = place.oxios("sessions", "fork", "first", "--turn", "1", "--name", "second").stdout.strip()
    assert place.oxios("run", "good evening", "--session", "second", "-q").returncode == 0
    assert [turn["message"] for turn in _shown(place, fork)["turns"]] == ['write "x" to a.txt', "good evening"]
    assert place.oxios("sessions", "rewind", "first", "1").returncode == 0
    shown = _shown(place, "first")
    assert [turn["message"] for turn in shown["superseded"]] == ["read a.txt"]
    assert "rewound, done  read a.txt" in place.oxios("sessions", "show", "first").stdout
    assert place.oxios("sessions", "switch", "first", "--persona", "dev").returncode == 0
    assert _shown(place, "first")["persona"] == "dev"
    assert place.oxios("sessions", "switch", "first", "--model", "nobody/x").returncode == 2
    assert place.oxios("sessions", "budget", "first", "--tokens", "9").returncode == 0
    assert place.oxios("sessions", "budget", "first").returncode == 2
    for name in ("first", "second"):
        replayed = place.oxios("sessions", "replay", name)
        assert replayed.returncode == 0, replayed.stdout
        assert "no model and no tool: the same state" in replayed.stdout


def test_a_list_goes_on_where_its_page_ended(place: Place) -> None:
    """Each page says how to see the next, and the last says nothing."""
    first = place.oxios("sessions", "list", "--limit", "1")
    after = first.stderr.split("--after ")[1].strip()
    second = place.oxios("sessions", "list", "--limit", "1", "--after", after)
    assert "good morning" in first.stdout
    assert "first" in second.stdout
    assert second.stderr == ""
    assert place.oxios("sessions", "list", "--after", "nonsense").returncode == 2
