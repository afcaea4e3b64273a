"""A home and a workspace of one's own, and the real program run there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TIMEOUT_S = 60


class Place:
    """A home and a workspace, and the program run there."""

    def __init__(self, tmp_path: Path) -> None:
        self.home = tmp_path / "home"
        self.work = tmp_path / "work"
        self.work.mkdir()
        self.env = {**os.environ, "OXIOS_HOME": str(self.home), "NO_COLOR": "1"}

    def oxios(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "oxios", *words],
            cwd=self.work, env=self.env, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip

    def submitted(self, *words: str, stdin: str = "") -> dict[str, Any]:
        done = self.oxios("seed", "submit", *words, "--json", "--exit-code", "-q", stdin=stdin)
        assert done.stdout, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        assert told["exit_code"] == done.returncode
        return told

    def log(self, *words: str) -> list[tuple[int, str, dict[str, Any]]]:
        """Number, kind and payload of the journal's entries; an entry's payload is its canonical text."""
        done = self.oxios("audit", "log", "--json", *words)
        assert done.returncode == 0, done.stderr
        entries = map(json.loads, done.stdout.splitlines())
        return [(entry["seq"], entry["kind"], json.loads(entry["payload"])) for entry in entries]
