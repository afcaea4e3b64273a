"""How runs were judged, as their table has it: whichever release wrote the entries, and as the audit folds it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kernel.boot import projectors
from kernel.ids import Principal
from kernel.journal.entry import Draft
from kernel.jsontypes import JsonValue
from kernel.process.projection import PROJECTORS
from tests.journal_world import audit, database, opened

pytestmark = pytest.mark.anyio
JUDGED = {"r1": True, "r2": False, "r3": None}
WORDS = {"r1": "passed", "r2": "failed", "r3": "undecided", "r4": None}


async def _runs(home: Path) -> None:
    """Four runs that ended; the last is not reviewed, the first was once before, with another result."""
    async with opened(home, projectors=PROJECTORS) as journal:
        for run in WORDS:
            started: dict[str, JsonValue] = {"owner": "user:me", "env": {}, "directive": {"goal": "do it"}}
            await journal.append(Draft(Principal(f"agent:{run}"), run, "run.started", started))
            await journal.append(Draft(Principal(f"agent:{run}"), run, "run.finished", {"status": "finished"}))
        for run, passed in (("r1", False), *JUDGED.items()):
            verdict: dict[str, JsonValue] = {"passed": passed, "findings": []}
            await journal.append(Draft(Principal("user:me"), run, "review.verdict", verdict))


async def _verdicts(home: Path) -> dict[str, object]:
    async with opened(home, projectors=PROJECTORS) as journal:
        return {str(row["id"]): row["verdict"] for row in await journal.rows("runs")}


async def test_a_run_says_how_it_was_last_judged(tmp_path: Path) -> None:
    """Passed, failed, undecided, or nothing where no review was; a forged word is found."""
    await _runs(tmp_path)
    assert await _verdicts(tmp_path) == WORDS
    assert audit(tmp_path, projectors=projectors({})).findings == []
    with closing(sqlite3.connect(database(tmp_path))) as connection, connection:
        connection.execute("UPDATE runs SET verdict = 'passed' WHERE id = 'r2'")
    assert "verdict" in str(audit(tmp_path, projectors=projectors({})).findings)


async def test_runs_that_were_judged_under_an_earlier_release_say_it_too(tmp_path: Path) -> None:
    """The migration takes the verdicts from the entries, and the audit finds them as it folds them."""
    await _runs(tmp_path)
    with closing(sqlite3.connect(database(tmp_path))) as connection, connection:
        connection.execute("ALTER TABLE runs DROP COLUMN verdict")
        connection.execute("UPDATE alembic_version SET version_num = '0005'")
    assert await _verdicts(tmp_path) == WORDS
    assert audit(tmp_path, projectors=projectors({})).findings == []
