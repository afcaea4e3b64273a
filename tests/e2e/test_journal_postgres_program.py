"""The real program with its journal in PostgreSQL: killed, resumed, refused a second time, and without its server."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.e2e.place import Place
from tests.e2e.terminal import in_terminal
from tests.postgres import running

_UNAVAILABLE = 8


def test_the_whole_program_works_on_postgresql(tmp_path: Path) -> None:
    """Submit, kill, resume, verify, prove, export; another home is refused; without the server it says so."""
    place = Place(tmp_path)
    with running() as server:
        place.env |= {"OXIOS__JOURNAL__URL": server.database(), "TERM": "xterm"}
        words = ["seed", "submit", "write `a` to a.txt, then run `touch begun; sleep 60`"]
        with in_terminal(words, cwd=place.work, env=place.env) as session:
            while not (place.work / "begun").exists():
                session.see("")
            session.stop(signal.SIGKILL)
            assert session.end()[0] == -signal.SIGKILL
        resumed = place.oxios("runs", "resume", "--in-doubt", "done", "--json", "-q")
        assert resumed.returncode == 0, resumed.stderr
        run = json.loads(resumed.stdout)
        assert (run["status"], run["resumes"], [step["ok"] for step in run["steps"]]) == ("finished", 1, [True, True])
        assert "the same state" in place.oxios("runs", "replay", run["run"]).stdout
        assert not (place.home / "journal" / "oxios.db").exists()
        for check in (("verify",), ("prove", "3"), ("export",)):
            assert place.oxios("audit", *check).returncode == 0
        other = {**place.env, "OXIOS_HOME": str(tmp_path / "other")}
        place.env, own = other, place.env
        refused = place.oxios("seed", "submit", "list .")
        assert refused.returncode == _UNAVAILABLE
        assert "signing key" in refused.stderr
        place.env = own
    for words in (["seed", "submit", "list ."], ["runs", "list"]):
        down = place.oxios(*words)
        assert (down.returncode, down.stdout) == (_UNAVAILABLE, "")
        assert "PostgreSQL" in down.stderr
        assert "Traceback" not in down.stderr
