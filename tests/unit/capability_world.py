"""A journal in memory and a clock by hand, for the tests of capabilities and of the gate's core.

The journal applies the real projectors, so a table loaded from it sees what a table on a real
store would see. `hold` makes entries wait, so a test decides what happens meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import anyio

from kernel.capability.record import PROJECTORS
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.table import CapabilityTable
from kernel.capability.token import Capability, Need
from kernel.errors import JournalDown, NotFound
from kernel.ids import CapId, Digest, Principal
from kernel.journal.entry import Draft, Entry, Subscriber
from kernel.journal.projection import Scalar
from kernel.ports.store import Filter
from kernel.testing.clock import FakeClock


class MemoryJournal:
    """Appends in call order; each is durable once the test lets it be."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.tables: dict[str, dict[Scalar, dict[str, Scalar]]] = {}
        self.broken = False
        self.durable = anyio.Event()
        self.durable.set()

    @property
    def writable(self) -> bool:
        return not self.broken

    def append(self, draft: Draft) -> Awaitable[Entry]:
        if self.broken:
            raise JournalDown("the disk is full", remedy="make room")
        entry = Entry(
            len(self.entries) + 1, 0, draft.principal, draft.stream, draft.kind, Digest("0" * 64), draft.payload
        )
        self.entries.append(entry)
        for change in PROJECTORS[draft.kind](entry) if draft.kind in PROJECTORS else ():
            (key,) = change.key.values()
            self.tables.setdefault(change.table, {}).setdefault(key, dict(change.key)).update(change.values)
        return _Durable(self.durable, entry)

    @contextmanager
    def hold(self) -> Generator[Callable[[], None]]:
        """Appends made inside wait until the yielded call is made."""
        self.durable = waiting = anyio.Event()
        try:
            yield waiting.set
        finally:
            waiting.set()

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.entries]

    async def read(
        self,
        *,
        stream: str | None = None,
        kind: str | None = None,
        principal: Principal | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[Entry]:
        return [
            entry
            for entry in self.entries
            if entry.seq > after
            and stream in (None, entry.stream)
            and kind in (None, entry.kind)
            and principal in (None, entry.principal)
        ][:limit]

    async def latest(self, stream: str, *, before: int = 0, limit: int = 1000) -> list[Entry]:
        raise NotImplementedError

    async def rows(
        self,
        table: str,
        where: Filter | None = None,
        *,
        order: str = "",
        descending: bool = False,
        limit: int = 1000,
        after: tuple[Scalar, Scalar] | None = None,
    ) -> list[dict[str, Scalar]]:
        assert after is None
        found = [dict(row) for row in self.tables.get(table, {}).values()]
        wanted = [row for row in found if all(row.get(name) == value for name, value in (where or {}).items())]
        return wanted[:limit]

    async def said(
        self, owner: Principal, terms: tuple[str, ...], *, before: int = 0, limit: int = 100
    ) -> list[tuple[int, str]]:
        raise NotImplementedError

    async def blob(self, digest: Digest) -> bytes:
        raise NotFound(f"no blob {digest}")

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        raise NotImplementedError

    async def flush(self) -> None: ...

    def enter_stream(self) -> None: ...

    def leave_stream(self) -> None: ...


class _Durable:
    def __init__(self, durable: anyio.Event, entry: Entry) -> None:
        self._durable = durable
        self._entry = entry

    def __await__(self) -> Generator[object, None, Entry]:
        yield from self._durable.wait().__await__()
        return self._entry


ALICE = Principal("user:alice")
BOB = Principal("agent:bob")
CARL = Principal("agent:carl")
FILES = Resource.parse("file:/w/**")
READ_A = Need(Resource.target("file", "/w/a"), Rights.READ)


class World:
    """A journal, a clock, a table, and what the table told."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.clock = FakeClock()
        self.table = CapabilityTable(self.journal, self.clock)
        self.told: list[tuple[tuple[CapId, ...], str]] = []
        self.table.on_revoked(lambda gone, reason: self.told.append((gone, reason)))

    async def root(self, rights: Rights = Rights.ALL) -> Capability:
        return await self.table.mint(ALICE, FILES, rights, origin="root")

    async def child(self, parent: Capability, to: Principal, rights: Rights = Rights.READ) -> Capability:
        return await self.table.derive(parent.id, to, FILES, rights, by=parent.holder, origin="test")

    async def reopened(self) -> CapabilityTable:
        table = CapabilityTable(self.journal, self.clock)
        await table.load()
        return table

    def may(self, holder: Principal, need: Need = READ_A) -> bool:
        return isinstance(self.table.cover(holder, [need]), tuple)
