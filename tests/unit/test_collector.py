"""When a command's process looks for garbage: not while it starts, as ever while it works, not as it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_ASK = """
import gc, json, sys
began = []
gc.callbacks.append(lambda phase, _info: phase == "start" and began.append(gc.get_threshold()[0]))
own = gc.get_threshold()[0]
from oxios.__main__ import main
began.clear()
sys.argv = ["oxios", {words}]
code = main({argument})
print("TOLD", json.dumps({{"code": code, "own": own, "now": gc.get_threshold()[0], "began": began,
    "frozen": gc.get_freeze_count()}}))
"""


def _told(home: Path, words: str, argument: str = "") -> dict[str, Any]:
    """What a fresh Python's collector did during one command."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK.format(words=words, argument=argument)],
        env={**os.environ, "OXIOS_HOME": str(home)}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout.rpartition("TOLD ")[2])


def test_a_command_opens_its_kernel_without_looking_for_garbage(tmp_path: Path) -> None:
    """Up to an open kernel there is at most one collection; then Python's own threshold holds again."""
    told = _told(tmp_path / "home", '"caps", "list"')
    assert told["code"] == 0
    assert [threshold for threshold in told["began"] if threshold != told["own"]] in ([], [100_000])
    assert told["now"] == told["own"]


def test_what_a_command_leaves_is_not_looked_through_at_its_end(tmp_path: Path) -> None:
    """At the end everything is frozen, with a kernel or without one."""
    for words in ('"caps", "list"', '"config", "path"'):
        assert _told(tmp_path / "home", words)["frozen"] > 10_000


def test_a_command_inside_another_process_leaves_its_collector_alone(tmp_path: Path) -> None:
    """A command that is given its words (a server's guest, a test) changes nothing of the process."""
    told = _told(tmp_path / "home", "", '["caps", "list"]')
    assert (told["code"], told["now"], told["frozen"]) == (0, told["own"], 0)
