"""Copies of a home that is in use: what of it in which order gives a backup that verifies and goes on."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kernel.errors import JournalDown
from kernel.journal.findings import Kind
from kernel.journal.log import Journal
from tests.journal_world import audit, database, draft, found, opened

pytestmark = pytest.mark.anyio

ORDER = ("keys", "journal/head", "journal/checkpoints", "journal/oxios.db")
"""As RFC-0002 says: the database last."""


async def _copied(journal: Journal, home: Path, copy: Path, order: tuple[str, ...]) -> None:
    """While the journal goes on between any two of the files."""
    (copy / "journal").mkdir(parents=True)
    for name in order:
        for number in range(3):
            await journal.append(draft(number))
        if name.endswith(".db"):
            with closing(sqlite3.connect(database(home))) as now, closing(sqlite3.connect(database(copy))) as then:
                now.backup(then)
        elif name == "keys":
            shutil.copytree(home / name, copy / name)
        else:
            shutil.copy(home / name, copy / name)


async def test_a_copy_whose_database_was_taken_last_verifies_and_goes_on(tmp_path: Path) -> None:
    """It is a journal of its own moment: what the original went on with is not missed."""
    home, copy = tmp_path / "home", tmp_path / "copy"
    async with opened(home) as journal:
        await _copied(journal, home, copy, ORDER)
        await journal.append(draft(1))
    report = audit(copy)
    assert (report.findings, report.size) == ([], 1 + 3 * len(ORDER))
    async with opened(copy) as journal:
        await journal.append(draft(1))
    assert audit(copy).findings == []


async def test_a_copy_whose_database_was_taken_first_is_named_as_rolled_back(tmp_path: Path) -> None:
    """The head tells of entries that its database does not have: it neither verifies nor opens."""
    home, copy = tmp_path / "home", tmp_path / "copy"
    async with opened(home) as journal:
        await _copied(journal, home, copy, ORDER[::-1])
    assert Kind.ROLLED_BACK in {kind for kind, _ in found(audit(copy))}
    with pytest.raises(JournalDown, match="the head outside it"):
        async with opened(copy):
            pass
