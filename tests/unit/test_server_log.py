"""The log of a server in the background: bounded while the server goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from oxios.__main__ import main
from oxios.exits import Exit

_PROGRAM = """
import os, sys
from pathlib import Path
from oxios.server import logfile
home, ours, logfile.LOG_BYTES_MAX = Path(sys.argv[1]), sys.argv[2] == "ours", 100
log = logfile.open_log(home)
for output in (1, 2) if ours else ():
    os.dup2(log, output)
os.write(log, b"x" * int(sys.argv[3]))
turned = logfile.turn_over(home)
os.write(1, b"after")
os.write(2, b"wards")
sys.exit(turned)
"""


@pytest.mark.parametrize(
    ("output", "size", "old", "new"),
    [
        ("ours", 100, "x" * 100, "afterwards"),
        ("ours", 99, None, "x" * 99 + "afterwards"),
        ("another's", 100, None, "x" * 100),
    ],
)
def test_a_log_that_grew_too_large_is_turned_over_under_the_running_server(
    tmp_path: Path, output: str, size: int, old: str | None, new: str
) -> None:
    """What is written afterwards stands in the new one; a small log stays, and so does one that others write."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path), output, str(size)], capture_output=True, text=True, check=False
    )
    log = tmp_path / "logs" / "server.log"
    aside = log.with_name("server.log.1")
    assert (done.returncode, log.read_text()) == (int(old is not None), new), done.stderr
    assert (aside.read_text() if aside.exists() else None) == old


def test_a_server_that_could_not_say_why_it_ended_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where its log is on a full disk: the command does not fail without a word."""
    monkeypatch.setenv("OXIOS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert main(["serve", "--background"]) == Exit.UNAVAILABLE
    told = capsys.readouterr().err
    assert "exit code 1" in told
    assert "oxios doctor" in told
