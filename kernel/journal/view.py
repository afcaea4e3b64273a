"""The journal for reading alone: no lock, no thread that writes, beside whoever writes.

Guarantees: sees committed entries only, and changes nothing.
Raises JournalDown where there is no journal yet, or it cannot be read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from anyio import to_thread

from kernel.errors import Invalid, NotFound
from kernel.ids import Digest, Principal
from kernel.journal import codec
from kernel.journal.entry import Entry
from kernel.journal.projection import Scalar
from kernel.journal.readers import Readers
from kernel.journal.rows import entry_of
from kernel.ports.store import EntryQuery, Filter, RowQuery, SaidQuery, Store, StoreReader

T = TypeVar("T")


class JournalView:
    """Implements `kernel.journal.appender.Reader`."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def read(
        self,
        *,
        stream: str | None = None,
        kind: str | None = None,
        principal: Principal | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[Entry]:
        query = EntryQuery(after=after, limit=limit, stream=stream, kind=kind, principal=principal)
        return await self._do(lambda reader: [entry_of(row) for row in reader.entries(query)])

    async def latest(self, stream: str, *, before: int = 0, limit: int = 1000) -> list[Entry]:
        query = EntryQuery(stream=stream, before=before, limit=limit, descending=True)
        return await self._do(lambda reader: [entry_of(row) for row in reader.entries(query)])

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
        query = RowQuery(table, where or {}, order, descending, limit, after)
        return await self._do(lambda reader: reader.rows(query))

    async def said(
        self, owner: Principal, terms: tuple[str, ...], *, before: int = 0, limit: int = 100
    ) -> list[tuple[int, str]]:
        query = SaidQuery(owner, terms, before, limit)
        return await self._do(lambda reader: reader.said(query))

    async def blob(self, digest: Digest) -> bytes:
        content = await self._do(lambda reader: reader.blob(raw_digest(digest)))
        if content is None:
            raise NotFound(f"there is no blob {digest}", remedy="it was erased, or never stored")
        return content

    async def _do(self, job: Callable[[StoreReader], T]) -> T:
        return await self._readers.do(job)


@asynccontextmanager
async def open_view(store: Store) -> AsyncGenerator[JournalView]:
    """Raises: JournalDown."""
    readers = Readers(store, await to_thread.run_sync(store.reader))
    try:
        yield JournalView(readers)
    finally:
        readers.close()


def raw_digest(digest: Digest) -> bytes:
    """Raises: Invalid, unless it is 64 hexadecimal characters."""
    try:
        raw = bytes.fromhex(digest)
    except ValueError:
        raw = b""
    if len(raw) != codec.DIGEST_BYTES:
        raise Invalid(f"{digest!r} is no digest", remedy="a digest is 64 hexadecimal characters")
    return raw
