"""`oxios` where its surroundings are odd but legal: streams, folders and names that few programs meet."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.place import TIMEOUT_S, Place

_NOT_UTF8 = os.fsdecode(b"caf\xe9")
_FLOOD = 20_000
"""Characters of a path that is longer than any kernel takes."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def _shell(place: Place, line: str) -> subprocess.CompletedProcess[str]:
    """A line of sh in which `oxios` is the program, for what only a shell can do to it."""
    program = f'oxios() {{ {shlex.quote(sys.executable)} -m oxios "$@"; }}; '
    return subprocess.run(
        ["/bin/sh", "-c", program + line],
        cwd=place.work, env=place.env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "closed"),
    [
        ("--version", "<&- >&- 2>&-"),
        ("runs list", ">&-"),
        ("seed submit 'write \"a\" to a.txt'", "2>&-"),
        ("run 'list .'", "<&- >&- 2>&-"),
    ],
)
def test_a_closed_stream_is_one_that_goes_nowhere(place: Place, words: str, closed: str) -> None:
    """With standard streams closed a command does its work and ends as it would; talk never lands in the data."""
    done = _shell(place, f"oxios {words} {closed}")
    assert done.returncode == 0, done.stderr
    assert "unexpected" not in done.stderr + done.stdout
    assert not any(word in done.stdout for word in ("error:", "run started", "no run is on record"))


def test_a_seed_from_a_closed_stdin_is_empty(place: Place) -> None:
    """A seed that is to come from a standard input which is closed is an empty one: wrong usage, told as such."""
    done = _shell(place, "oxios seed submit - <&-")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is empty" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_a_terminal_cannot_show_is_escaped(place: Place, encoding: str) -> None:
    """Where the terminal's encoding lacks a character it is written as an escape; the run ends as it would."""
    place.env |= {"PYTHONIOENCODING": encoding}
    done = place.oxios("seed", "submit", 'write "→" to a.txt and say "→"', "-q")
    assert done.returncode == 0, done.stderr
    assert "\\u2192" in done.stdout


def test_a_workspace_whose_name_is_no_text_is_refused_in_words(place: Place) -> None:
    """A workspace is named in the journal: one whose name is not UTF-8, or too long, is refused before a run begins."""
    odd = place.work / _NOT_UTF8
    odd.mkdir()
    (place.work / "link").symlink_to(odd)
    for name in (_NOT_UTF8, "link", "a" * _FLOOD):
        for command in (("seed", "submit"), ("run",)):
            done = place.oxios(*command, "list .", "--workspace", name)
            assert (done.returncode, done.stdout) == (2, ""), done.stderr
            assert "error: the mount " in done.stderr
            assert "\ntry: " in done.stderr
    place.work = odd
    done = place.oxios("seed", "submit", "list .")
    assert done.returncode == 2
    assert "is not UTF-8" in done.stderr
    assert json.loads(place.oxios("runs", "list", "--json").stdout) == []


@pytest.mark.parametrize("words", ["runs list", "config validate", "seed submit 'list .'"])
def test_a_folder_that_is_gone_is_named_as_that(place: Place, words: str) -> None:
    """Called in a folder that was removed meanwhile, a command says so and what to do."""
    done = _shell(place, f"mkdir gone; cd gone; rmdir ../gone; PYTHONPATH={Path.cwd()} oxios {words}")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "is not there any more" in done.stderr
    assert "\ntry: cd " in done.stderr


def test_doctor_reports_what_it_cannot_mend(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that `--fix` may not change is a finding among the others, not the end of the report."""
    place.home.parent.joinpath("file").write_text("", encoding="utf-8")
    done = place.oxios("--home", "../file/home", "doctor", "--fix", "--json")
    assert done.returncode == 1, done.stderr
    (home,) = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "home"]
    assert (home["status"], home["remedy"]) == ("fail", "set OXIOS_HOME to another place")
    assert "could not mend" in done.stderr
    assert "unexpected" not in done.stderr
