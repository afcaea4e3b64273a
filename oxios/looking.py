"""What some commands look at: asked of a kernel, or read in the journal beside one that cannot be asked.

Guarantees: where another Oxios works in the home, or it cannot be written, the same is shown as far as it
stands on record, and nothing is changed. Questions that wait are then as they were asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

from kernel.clock import Clock, SystemClock
from kernel.errors import InstanceLocked, NotFound
from oxios.session import operator, read_journal, run_kernel

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.journal.appender import Appender, Reader
    from kernel.jsontypes import JsonValue

Fields: TypeAlias = "Mapping[str, Any]"
_LISTED_MAX: Final = 200


class Looking(Protocol):
    """Whoever can be asked."""

    @property
    def clock(self) -> Clock: ...

    async def look(self, name: str, arguments: Mapping[str, JsonValue]) -> Fields:
        """What the syscall `name`, which reads, tells. Raises: NotFound, Invalid, AccessDenied."""
        ...


class Asked:
    """A kernel, asked by a syscall of its operator."""

    def __init__(self, kernel: Kernel) -> None:
        self.clock = kernel.clock
        self._kernel = kernel

    async def look(self, name: str, arguments: Mapping[str, JsonValue]) -> Fields:
        return cast("Fields", (await self._kernel.handle(self._kernel.operator).call(name, arguments)).data)


class Read:
    """The journal, for whoever owns the home."""

    def __init__(self, journal: Reader) -> None:
        self.clock = SystemClock()
        self._journal = journal

    async def look(self, name: str, arguments: Mapping[str, JsonValue]) -> Fields:
        return await _READS[name](self._journal, self.clock, cast("Fields", arguments))


def look(args: argparse.Namespace, body: Callable[[Looking], Awaitable[int]]) -> int:
    """Raises: JournalDown, where the journal cannot be read either; and whatever `body` raises."""
    try:
        return run_kernel(args, lambda kernel: body(Asked(kernel)))
    except InstanceLocked:
        return read_journal(args, lambda journal: body(Read(journal)))


async def _caps(journal: Reader, clock: Clock, said: Fields) -> Fields:
    from kernel.capability.table import CapabilityTable  # noqa: PLC0415 -- where the journal is read
    from kernel.handle.caps import derivations, listing  # noqa: PLC0415 -- as above

    # Loading and listing read; a table that only does so never appends.
    table = CapabilityTable(cast("Appender", journal), clock)
    await table.load()
    told = derivations(table, said["capability"]) if "capability" in said else listing(table, said["holder"])
    return cast("Fields", told.data)


async def _approvals(journal: Reader, _clock: Clock, said: Fields) -> Fields:
    from kernel.gate import approval_record as record  # noqa: PLC0415 -- as above

    where: dict[str, str] = {"owner": operator()} | ({"status": "pending"} if said["pending_only"] else {})
    rows = await journal.rows(record.TABLE, where, order="asked_us", descending=True, limit=_LISTED_MAX)
    return {"approvals": [record.row_of(row).json() for row in rows]}


async def _approval(journal: Reader, _clock: Clock, said: Fields) -> Fields:
    from kernel.gate import approval_record as record  # noqa: PLC0415 -- as above

    rows = await journal.rows(record.TABLE, {"id": said["approval"], "owner": operator()})
    if not rows:
        raise NotFound(f"there is no approval {said['approval']!r}", remedy="see `oxios approvals list --all`")
    return cast("Fields", record.row_of(rows[0]).json())


_READS: Final[dict[str, Callable[[Reader, Clock, Fields], Awaitable[Fields]]]] = {
    "caps.list": _caps,
    "caps.tree": _caps,
    "approvals.list": _approvals,
    "approvals.show": _approval,
}
