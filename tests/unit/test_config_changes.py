"""A change of the settings is in the journal from the next boot on."""

from __future__ import annotations

from pathlib import Path

import anyio

from kernel.clock import SystemClock
from kernel.ids import user
from kernel.journal.entry import Entry
from kernel.journal.log import open_journal
from kernel.observe.configuration import CHANGED, PROJECTORS, note_changes
from kernel.settings import load_settings
from kernel.storage import make_store

ALICE = user("alice")


async def _boot(home: Path, **overrides: str) -> list[Entry]:
    """Open the journal with settings, note what changed, and return every such entry."""
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    settings = load_settings(cwd=home, env={"HOME": "/h"}, home=home, overrides=given)
    async with open_journal(make_store(settings), home, SystemClock(), PROJECTORS) as journal:
        await note_changes(journal, settings, ALICE)
        return await journal.read(kind=CHANGED)


def test_only_what_changed_since_the_last_boot_is_journalled(tmp_path: Path) -> None:
    """First boot: everything; the same again: nothing; a new value: that key, before and after, and by whom."""

    async def boots() -> None:
        assert len(await _boot(tmp_path)) == 1
        assert len(await _boot(tmp_path)) == 1
        entries = await _boot(tmp_path, approval__mode="auto", approval__policies__exec="always")
        assert len(entries) == 2
        assert entries[1].principal == ALICE
        assert entries[1].payload is not None
        assert entries[1].payload["changed"] == {
            "approval.mode": ["allow-list", "auto"],
            "approval.policies.exec": [None, "always"],
        }
        back = (await _boot(tmp_path))[-1].payload
        assert back is not None
        assert back["changed"] == {"approval.mode": ["auto", "allow-list"], "approval.policies.exec": ["always", None]}

    anyio.run(boots)
