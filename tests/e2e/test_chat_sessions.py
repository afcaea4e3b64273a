"""`oxios sessions`: what is on record, from outside."""

from __future__ import annotations

import json
from pathlib import Path

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
