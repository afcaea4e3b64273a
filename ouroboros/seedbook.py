"""Seeds on record: `seed.created` in the kernel's stream holds the whole, the table `seeds` lists them.

Guarantees: a seed found here is the one that was recorded, or an error says that it was erased.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from kernel.errors import NotFound
from kernel.ids import Principal
from kernel.journal.appender import Appender, Reader
from kernel.journal.entry import SYSTEM_STREAM, Draft, Entry
from kernel.journal.projection import Projector, Scalar, Upsert
from ouroboros.seed import Seed

CREATED: Final = "seed.created"
_GOAL_CHARS_MAX: Final = 500
_PAGE: Final = 1_000
_AT_ONCE: Final = 100
"""Seeds whose runs are asked for together."""


async def record_seed(journal: Appender, seed: Seed, by: Principal, source: str) -> None:
    """Raises: JournalDown, LimitExceeded (larger than one entry may be)."""
    payload = {"seed": seed.payload(), "digest": seed.digest, "source": source}
    await journal.append(Draft(by, SYSTEM_STREAM, CREATED, payload))


async def read_stream(journal: Reader, stream: str, kind: str | None = None, after: int = 0) -> list[Entry]:
    """Every entry of a stream, oldest first; those after the one numbered `after`."""
    entries: list[Entry] = []
    while True:
        page = await journal.read(stream=stream, kind=kind, after=entries[-1].seq if entries else after, limit=_PAGE)
        entries.extend(page)
        if len(page) < _PAGE:
            return entries


@dataclass(frozen=True, slots=True)
class SeedBook:
    """The seeds in one journal, for reading: works beside the process that writes it."""

    journal: Reader

    async def listed(self, limit: int = 100) -> list[dict[str, Scalar]]:
        """Rows of the table `seeds`, newest first."""
        return await self.journal.rows("seeds", order="created_us", descending=True, limit=limit)

    async def runs_of(self, seeds: Sequence[str]) -> dict[str, list[dict[str, Scalar]]]:
        """Their rows of the table `runs`, the newest first."""
        runs: list[dict[str, Scalar]] = []
        for start in range(0, len(seeds), _AT_ONCE):
            of_these = {"seed": tuple(seeds[start : start + _AT_ONCE])}
            runs += await self.journal.rows("runs", of_these, order="started_us", descending=True)
        return by_seed(runs)

    async def find(self, seed_id: str) -> Seed:
        """The seed of that id. Raises: NotFound."""
        known = await self.journal.rows("seeds", {"id": seed_id})
        if not known:
            raise NotFound(f"there is no seed {seed_id!r}", remedy="`oxios seed list` shows them")
        after = 0
        while batch := await self.journal.read(stream=SYSTEM_STREAM, kind=CREATED, after=after):
            for entry in batch:
                found = _seed_of(entry)
                if found is not None and found.id == seed_id:
                    return found
            after = batch[-1].seq
        raise NotFound(f"the seed {seed_id} was erased from the journal", remedy="its runs still stand in `oxios runs`")


def by_seed(runs: Iterable[dict[str, Scalar]]) -> dict[str, list[dict[str, Scalar]]]:
    """Rows of the table `runs` by the seed that each carries out, in the order in which they come."""
    found: dict[str, list[dict[str, Scalar]]] = {}
    for row in runs:
        found.setdefault(str(row["seed"]), []).append(row)
    return found


def _seed_of(entry: Entry) -> Seed | None:
    return Seed.model_validate(entry.payload["seed"]) if entry.payload is not None else None


def _project(entry: Entry) -> Iterable[Upsert]:
    """Reads the stored fields as they are: an old seed must not stop the journal by a new rule."""
    if entry.payload is None:
        return
    seed = cast("Mapping[str, Any]", entry.payload["seed"])
    parent = seed.get("parent")
    values: dict[str, Scalar] = {
        "parent": str(parent) if parent else None,
        "generation": int(seed["generation"]),
        "goal": str(seed["goal"])[:_GOAL_CHARS_MAX],
        "created_us": int(seed["created_us"]),
        "digest": str(entry.payload["digest"]),
        "source": str(entry.payload["source"]),
    }
    yield Upsert("seeds", {"id": str(seed["id"])}, values)


PROJECTORS: dict[str, Projector] = {CREATED: _project}
