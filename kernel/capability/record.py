"""Capabilities in the journal: entry payloads, and the projection they fold into.

Guarantees: `read_row(row written for c)` is `c`, or an error; a resource that would read back as a
wider one (a file literally named `*`) is refused before it is recorded.

The `capabilities` table's column `revoked` is 0 for a capability in its slot, 1 for one that was
revoked, 2 for one deleted while others derived from it live on.

Source: RFC-0003.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, cast

from kernel.capability.holdings import Holdings
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.token import Capability
from kernel.capability.tree import Node, State
from kernel.errors import Invalid
from kernel.ids import CapId, Principal
from kernel.journal.appender import Appender
from kernel.journal.entry import Entry
from kernel.journal.projection import Projector, Scalar, Upsert
from kernel.jsontypes import JsonObject
from kernel.limits import DERIVE_DEPTH_MAX

TABLE: Final = "capabilities"
_IN_SLOT: Final = 0
_GONE: Final = 1
_BURIED: Final = 2
_ROWS_MAX: Final = 1_000_000

MINTED: Final = "capability.minted"
DERIVED: Final = "capability.derived"
REVOKED: Final = "capability.revoked"
DELETED: Final = "capability.deleted"
USED: Final = "capability.used"


@lru_cache(1024)  # Each run is granted the same few patterns.
def recordable(resource: Resource) -> Resource:
    """The pattern that a capability on `resource` holds.

    Raises: Invalid, where its text would be read back as another one.
    """
    again = Resource.parse(str(resource))
    if again.segments != resource.segments or again.port != resource.port or (resource.literal and again.wild):
        raise Invalid(
            f"{str(resource)!r} has a name in it that reads as a wildcard",
            remedy="grant the folder or group that it stands in instead",
        )
    return again


def granted_payload(caps: Sequence[Capability], by: Principal) -> JsonObject:
    """Of `capability.minted` and `capability.derived`."""
    return {"by": by, "capabilities": [_one(cap) for cap in caps]}


def _one(cap: Capability) -> JsonObject:
    return {
        "id": cap.id,
        "holder": cap.holder,
        "resource": str(cap.resource),
        "rights": cap.rights.letters(),
        "parent": cap.parent,
        "expires_us": cap.expires_us,
        "uses": cap.uses,
        "origin": cap.origin,
    }


def read_row(row: Mapping[str, Scalar]) -> tuple[Capability, int | None]:
    """A capability and its uses left. Raises: Invalid, where the row holds none."""
    try:
        cap = Capability(
            id=CapId(_text(row["id"])),
            holder=Principal(_text(row["holder"])),
            resource=Resource.parse(_text(row["resource"])),
            rights=Rights.parse(_text(row["rights"])),
            parent=CapId(_text(row["parent"])) if row["parent"] is not None else None,
            expires_us=_count(row["expires_us"]),
            uses=_count(row["uses"]),
            origin=_text(row["origin"]),
        )
        return cap, _count(row["uses_left"])
    except (KeyError, Invalid) as error:
        raise Invalid(
            f"the capability {row.get('id')!r} cannot be read back: {error}",
            remedy="run `oxios audit verify`; the table of capabilities was changed from outside",
        ) from error


def _text(value: Scalar) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{value!r} stands where text belongs")
    return value


def _count(value: Scalar) -> int | None:
    if value is not None and not isinstance(value, int):
        raise Invalid(f"{value!r} stands where a whole number belongs")
    return value


async def load(journal: Appender, now_us: int) -> Holdings:
    """What is held, from the projection; spent capabilities and children of revoked ones left out.

    Raises: Invalid, where a row cannot be read or stands below itself; CspaceFull.
    """
    read: dict[CapId, tuple[Capability, int | None, State]] = {}
    for mark, state in ((_IN_SLOT, State.LIVE), (_BURIED, State.DELETED)):
        for row in await journal.rows(TABLE, {"revoked": mark}, limit=_ROWS_MAX):
            cap, left = read_row(row)
            read[cap.id] = (cap, left, state)
    holdings = Holdings()
    for each in read:
        _restore(holdings, each, read, now_us)
    holdings.prune()
    return holdings


def _restore(
    holdings: Holdings, cap_id: CapId, read: Mapping[CapId, tuple[Capability, int | None, State]], now_us: int
) -> None:
    chain: list[CapId] = []
    above: CapId | None = cap_id
    while above is not None and above not in holdings:
        if above not in read:
            return
        if len(chain) == DERIVE_DEPTH_MAX:
            raise Invalid(
                f"the capability {cap_id!r} stands below more than {DERIVE_DEPTH_MAX} others",
                remedy="run `oxios audit verify`; the table of capabilities was changed from outside",
            )
        chain.append(above)
        above = read[above][0].parent
    for each in reversed(chain):
        cap, left, state = read[each]
        node = Node(cap, holdings.get(cap.parent) if cap.parent is not None else None, left)
        if node.spent(now_us):
            return
        holdings.restore(node, state, now_us)


def _project_granted(entry: Entry) -> Iterable[Upsert]:
    for cap in cast("Sequence[Mapping[str, Scalar]]", (entry.payload or {}).get("capabilities", ())):
        values = {name: cap[name] for name in ("holder", "resource", "rights", "parent", "expires_us", "uses")}
        yield Upsert(
            TABLE,
            {"id": cap["id"]},
            {**values, "uses_left": cap["uses"], "origin": cap["origin"], "revoked": _IN_SLOT},
        )


def _project_revoked(entry: Entry) -> Iterable[Upsert]:
    for cap in cast("Sequence[str]", (entry.payload or {}).get("capabilities", ())):
        yield Upsert(TABLE, {"id": cap}, {"revoked": _GONE})


def _project_deleted(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        state = _BURIED if entry.payload.get("children") else _GONE
        yield Upsert(TABLE, {"id": cast("str", entry.payload["capability"])}, {"revoked": state})


def _project_used(entry: Entry) -> Iterable[Upsert]:
    for cap, left in cast("Mapping[str, int]", (entry.payload or {}).get("left", {})).items():
        yield Upsert(TABLE, {"id": cap}, {"uses_left": left})


PROJECTORS: Final[dict[str, Projector]] = {
    MINTED: _project_granted,
    DERIVED: _project_granted,
    REVOKED: _project_revoked,
    DELETED: _project_deleted,
    USED: _project_used,
}
