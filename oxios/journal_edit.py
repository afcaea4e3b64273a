"""The two acts of `oxios audit` that write: they take the home's lock, as a kernel does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from kernel.boot import make_store, projectors
from kernel.clock import SystemClock
from kernel.ids import Digest
from kernel.journal.lock import instance_lock
from kernel.journal.log import Journal, open_journal
from kernel.settings import Settings
from ouroboros.projection import PROJECTORS
from oxios.session import operator

T = TypeVar("T")


def rotate_key(settings: Settings) -> str:
    """The new public key. Raises: InstanceLocked, JournalDown."""

    async def act(journal: Journal) -> str:
        entry = await journal.rotate_key(operator())
        assert entry.payload is not None, "the journal keeps what it needs itself"
        return str(entry.payload["new"])

    return _with_journal(settings, act)


def erase(settings: Settings, digest: str, reason: str) -> int:
    """The number of the entry that records it. Raises: NotFound, Invalid, InstanceLocked, JournalDown."""

    async def act(journal: Journal) -> int:
        return (await journal.erase(Digest(digest), operator(), reason)).seq

    return _with_journal(settings, act)


def _with_journal(settings: Settings, act: Callable[[Journal], Awaitable[T]]) -> T:
    async def main() -> T:
        store = make_store(settings)
        async with open_journal(store, settings.home, SystemClock(), projectors(PROJECTORS)) as journal:
            return await act(journal)
        raise AssertionError("a journal does not swallow errors")

    with instance_lock(settings.home):
        return anyio.run(main)
