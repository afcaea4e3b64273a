"""The journal as the rest of the kernel sees it (`kernel.journal.log.Journal` is the one)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from kernel.ids import Digest, Principal
from kernel.journal.entry import Draft, Entry, Subscriber
from kernel.journal.projection import Scalar
from kernel.ports.store import Filter


class Reader(Protocol):
    """What was committed; needs no lock, so it works beside the process that writes."""

    async def read(
        self,
        *,
        stream: str | None = None,
        kind: str | None = None,
        principal: Principal | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[Entry]:
        """Committed entries in order of seq, those with seq > `after`."""
        ...

    async def latest(self, stream: str, *, before: int = 0, limit: int = 1000) -> list[Entry]:
        """A stream's newest entries, the newest first; those before entry `before`, where it is not 0."""
        ...

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
        """Rows of a projection whose columns equal `where`, or are among its tuples. `order` is a column's name.

        Those that follow `after`, the order column's value and the key of a row, where it is given.
        """
        ...

    async def said(
        self, owner: Principal, terms: tuple[str, ...], *, before: int = 0, limit: int = 100
    ) -> list[tuple[int, str]]:
        """Entry number and session of messages in which each of `terms` begins a term, the newest first.

        Of the owner's sessions that are not deleted; `terms` as `kernel.terms.asked_terms` gives them.
        """
        ...

    async def blob(self, digest: Digest) -> bytes:
        """Raises: NotFound, where it was never stored or was erased."""
        ...


class Appender(Reader, Protocol):
    """Append and read; every run, gate and handle holds one."""

    def append(self, draft: Draft) -> Awaitable[Entry]:
        """Queue an entry at once, in call order; awaiting the result waits until it is durable.

        Not awaiting is allowed: the entry rides the next commit, and a failure shows at the next
        durable wait and in `writable`.

        Raises: JournalDown (the journal cannot be written), QueueFull, LimitExceeded (payload).
        """
        ...

    async def flush(self) -> None:
        """Wait until everything appended so far is durable. Raises: JournalDown."""
        ...

    @property
    def writable(self) -> bool:
        """False while the journal cannot be written: then the gate grants no permit."""
        ...

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Hear of every committed batch, also where another subscriber raises; the returned call ends it."""
        ...

    def enter_stream(self) -> None:
        """One more run is live: the committer may wait that much longer to gather a group."""
        ...

    def leave_stream(self) -> None: ...
