"""Projections: tables that are derived from entries, changed in the entries' own transaction.

A projector is a pure function from a committed entry to row changes, so every projection can be
thrown away and rebuilt from the journal. Tables are declared in `kernel/adapters/store/tables.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from kernel.journal.entry import Entry
from kernel.ports.store import Scalar


@dataclass(frozen=True, slots=True)
class Upsert:
    """Insert the row `key | values`, or change `values` of the row that has `key` (the primary key)."""

    table: str
    key: Mapping[str, Scalar]
    values: Mapping[str, Scalar]


Projector: TypeAlias = Callable[[Entry], Iterable[Upsert]]
