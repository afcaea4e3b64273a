"""Killed at any moment, a run loses no effect and repeats none."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from kernel.clock import SystemClock
from kernel.ids import RunId
from kernel.journal import keys
from kernel.journal.opening import JournalFiles
from kernel.journal.verify import verify
from kernel.journal.view import open_view
from kernel.runtime.history import History, read_history
from kernel.settings import load_settings
from kernel.storage import make_store
from tests.fault.lives import nursery

STEPS = 40
KILLS = 28
"""For each of the four seeds below; together more than a hundred."""
LIVES_MAX = 400
SPREAD_US = 400_000


@dataclass(frozen=True, slots=True)
class Ground:
    """Where one run lives, and what is true there, whatever the journal says."""

    home: Path
    workspace: Path

    def happened(self, number: int) -> int:
        """How often the external effect `number` is found in the world."""
        log = self.workspace / "ran.log"
        return log.read_text().split().count(str(number)) if log.exists() else 0


def _plan() -> str:
    """Forty calls: files written, one counter edited, programs run, files read."""
    calls: list[dict[str, object]] = [{"tool": "write", "args": {"path": "counter.txt", "content": "last: 0\n"}}]
    for number in range(1, STEPS):
        match number % 4:
            case 0:
                calls.append({"tool": "exec", "args": {"command": f"echo {number} >> ran.log"}})
            case 1:
                calls.append({"tool": "write", "args": {"path": f"f/{number}.txt", "content": f"file {number}"}})
            case 2:
                old = max(0, number - 4) if number > 4 else 0
                edit = {"path": "counter.txt", "old": f"last: {old}\n", "new": f"last: {number}\n"}
                calls.append({"tool": "edit", "args": edit})
            case _:
                calls.append({"tool": "read", "args": {"path": "counter.txt"}})
    return f"```plan\n{json.dumps(calls)}\n```\n"


def _history(ground: Ground) -> History | None:
    """What the journal holds of the run, read as it was left; opening it for writing verifies it too."""

    async def read() -> History | None:
        settings = load_settings(home=ground.home, overrides={}, env={})
        async with open_view(make_store(settings)) as view:
            rows = await view.rows("runs", order="started_us")
            return await read_history(view, RunId(str(rows[0]["id"]))) if rows else None

    return anyio.run(read)


def _look(ground: Ground, history: History) -> str:
    """What a person would say of a call in doubt, having looked at the world."""
    for call in history.state().pending:
        if call.tool == "exec" and call.status in {"intended", "in_doubt"}:
            number = int(json.loads(call.arguments)["command"].split()[1])
            return "done" if ground.happened(number) else "retry"
    return ""


def _verify(ground: Ground) -> None:
    files = JournalFiles(ground.home)
    store = make_store(load_settings(home=ground.home, overrides={}, env={}))
    report = verify(store, files, SystemClock(), trusted=keys.load(files.keys).trusted)
    assert report.good, report


def _check_effects(ground: Ground, history: History) -> None:
    """Every effect of the plan is in the world exactly once, and each call has exactly one good outcome."""
    for number in range(1, STEPS):
        if number % 4 == 0:
            assert ground.happened(number) == 1, f"effect {number}"
        elif number % 4 == 1:
            assert (ground.workspace / f"f/{number}.txt").read_text() == f"file {number}"
    assert (ground.workspace / "counter.txt").read_text() == f"last: {STEPS - 2}\n"
    outcomes = Counter(_calls(history, "call.outcome"))
    assert outcomes == Counter({f"{history.run}.{number}": 1 for number in range(1, STEPS + 1)})


def _calls(history: History, kind: str) -> Sequence[str]:
    return [str(entry.payload["call"]) for entry in history.entries if entry.kind == kind and entry.payload]


@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_again_and_again_does_every_step_exactly_once(tmp_path: Path, seed: int) -> None:
    """Nothing is lost, nothing is done twice, and the journal verifies after each death."""
    chance = random.Random(seed)
    ground = Ground(tmp_path / "home", tmp_path / "work")
    ground.workspace.mkdir()
    goal = tmp_path / "goal.md"
    goal.write_text(_plan())
    kills = 0
    with nursery(tmp_path / "log") as born:
        for _ in range(LIVES_MAX):
            history = _history(ground) if (ground.home / "journal" / "oxios.db").exists() else None
            if history is not None and history.state().status == "finished":
                break
            verb, what = ("start", str(goal)) if history is None else ("resume", _look(ground, history))
            kill_after_us = chance.randrange(1, SPREAD_US // KILLS) if kills < KILLS else 0
            ended = born.live("worker", ground.home, ground.workspace, verb, what, kill_after_us)
            assert ended.returncode in {0, -signal.SIGALRM}, ended.said
            kills += ended.returncode != 0
            _verify(ground)
    history = _history(ground)
    assert history is not None
    assert kills >= KILLS, "the run ended before it was killed often enough"
    assert history.state().status == "finished", history.state().note
    _check_effects(ground, history)
