"""Homes that can only be looked at: in use, not to be written, or on a disk that is full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kernel.journal.lock import instance_lock
from tests.e2e.place import TIMEOUT_S, Place

LOOKS = (
    *("runs list", "seed list", "sessions list", "sessions search list", "sessions show first"),
    *("sessions replay first", "caps list", "caps tree", "approvals list", "audit log", "audit verify"),
)


@pytest.fixture
def used(tmp_path: Path) -> Place:
    """A home in which one message was carried out."""
    place = Place(tmp_path)
    assert place.oxios("run", "list .", "--session", "first", "-q").returncode == 0
    return place


def _confined(place: Place, mounts: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    """The program, with the file system as bubblewrap's `mounts` make it."""
    return subprocess.run(
        ["bwrap", "--bind", "/", "/", "--dev", "/dev", *mounts, sys.executable, "-m", "oxios", *words],
        cwd=place.work, env=place.env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip


def test_a_home_in_use_is_looked_at(used: Place) -> None:
    """What is held and what was asked are shown beside whoever works in the home; changes are refused."""
    alone = {
        words: used.oxios(*words.split(), "--json").stdout for words in ("caps list", "caps tree", "approvals list")
    }
    with instance_lock(used.home):
        for words, told in alone.items():
            done = used.oxios(*words.split(), "--json")
            assert (done.returncode, json.loads(done.stdout)) == (0, json.loads(told)), done.stderr
        cap = json.loads(alone["caps list"])[0]["id"]
        assert used.oxios("caps", "tree", cap).stdout.startswith(cap)
        assert "no approval 'p0'" in used.oxios("approvals", "show", "p0").stderr
        refused = used.oxios("caps", "grant", "user:bob", "file:/x", "r")
        assert refused.returncode not in (0, 70)
        assert "another Oxios works in" in refused.stderr


def test_a_home_that_cannot_be_written_is_read(used: Place) -> None:
    """Lists, searches, replays and the audit show what is there; what would write says why it cannot."""
    ro = ["--ro-bind", str(used.home), str(used.home)]
    for words in LOOKS:
        done = _confined(used, ro, *words.split())
        assert done.returncode == 0, f"{words}: {done.stderr}"
        assert done.stdout or words == "approvals list"
    refused = _confined(used, ro, "sessions", "rename", "first", "second")
    assert refused.returncode not in (0, 70)
    assert "Read-only file system" in refused.stderr


def test_a_journal_that_was_left_open_is_not_misread_where_it_cannot_be_written(used: Place) -> None:
    """With entries that are in its log alone, and no way to open that: it is said, not left out."""
    (used.home / "journal" / "oxios.db-wal").write_bytes(b"x" * 64)
    done = _confined(used, ["--ro-bind", str(used.home), str(used.home)], "runs", "list")
    assert done.returncode != 0
    assert "was not closed in order" in done.stderr


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """Not as a fault of the disk: what is missing, where, and what to do."""
    place = Place(tmp_path)
    disk = tmp_path / "disk"
    disk.mkdir()
    place.env["OXIOS_HOME"] = str(disk / "home")
    done = _confined(place, ["--size", "40000", "--tmpfs", str(disk)], "run", "list .")
    assert done.returncode != 0
    assert "no space is left on the disk of" in done.stderr or "database or disk is full" in done.stderr
    assert "free disk space" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_audit_that_could_not_run_is_json_too(tmp_path: Path) -> None:
    """Neither good nor bad, with the reason; the exit code is that of wrong usage."""
    done = Place(tmp_path).oxios("audit", "verify", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["good"]) == (2, None)
    assert told["error"]["message"] in done.stderr
    assert set(told["error"]) == {"code", "message", "remedy"}
