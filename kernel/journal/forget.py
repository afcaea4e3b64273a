"""What derived tables hold of a payload that is erased: the words go there too.

Guarantees: after an erasure no free text of the payload is left in a derived table; ids, times and
states stay, so lists still work. A column that a later entry has overwritten is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, cast

from kernel.journal.projection import Projector, Upsert
from kernel.journal.rows import entry_of
from kernel.ports.store import EntryRow, RowQuery, StoreReader

SPOKEN: Final[Mapping[str, frozenset[str]]] = {
    "runs": frozenset({"goal", "note", "workspace"}),
    "seeds": frozenset({"goal", "source"}),
    "approvals": frozenset({"question", "reason"}),
    "sessions": frozenset({"name", "opening", "workspace"}),
    "messages": frozenset({"terms"}),
}
"""Columns that hold what somebody wrote."""


def forgetting(reader: StoreReader, erased: Sequence[EntryRow], projectors: Mapping[str, Projector]) -> list[Upsert]:
    """The changes that take the words of `erased` out of the derived tables."""
    changes: list[Upsert] = []
    for row in erased:
        projector = projectors.get(row[4])
        for said in projector(entry_of(row)) if projector else ():
            words = {name: _blank(value) for name, value in _still(reader, said).items()}
            if words:
                changes.append(Upsert(said.table, said.key, words))
    return changes


def _still(reader: StoreReader, said: Upsert) -> dict[str, str]:
    """The free texts of a change that its row still shows."""
    spoken = SPOKEN.get(said.table, frozenset())
    texts = {name: value for name, value in said.values.items() if name in spoken and isinstance(value, str) and value}
    if not texts:
        return {}
    rows = reader.rows(RowQuery(said.table, said.key, limit=1))
    return {name: value for name, value in texts.items() if rows and rows[0][name] == value}


def _blank(text: str) -> str:
    """Nothing; for a JSON object the same fields with nothing in them, so that its readers still read it."""
    try:
        fields: object = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(fields, dict):
        return ""
    said = cast("dict[str, object]", fields)
    return json.dumps({name: type(value)() if value is not None else None for name, value in said.items()})
