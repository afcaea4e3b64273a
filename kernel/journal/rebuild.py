"""Projections from the entries alone: what the derived tables must say.

Guarantees: what `compare` reports differs between a table and the fold of all entries.
Does not see what an erased payload had said: rows that only such an entry could fill are left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from kernel.journal.findings import Kind, Report
from kernel.journal.projection import Projector
from kernel.journal.rows import entry_of
from kernel.ports.store import PROJECTIONS, EntryRow, RowQuery, Scalar, StoreReader, check_change

_ROWS_MAX = 1_000_000


class Rebuild:
    """The fold. Holds every projected row in memory."""

    def __init__(self, projectors: Mapping[str, Projector]) -> None:
        self._projectors = projectors
        self._rows: dict[str, dict[Scalar, dict[str, Scalar]]] = {table: {} for table in PROJECTIONS}
        self._unknown: set[str] = set()

    def add(self, row: EntryRow) -> None:
        projector = self._projectors.get(row[4])
        if projector is None:
            return
        if row[8] is None:
            # What it changed cannot be known any more, in whichever table.
            self._unknown |= set(PROJECTIONS)
            return
        for change in projector(entry_of(row)):
            check_change(change)
            columns = PROJECTIONS[change.table]
            self._rows[change.table].setdefault(change.key[columns[0]], {}).update(change.values)

    def compare(self, reader: StoreReader, report: Report) -> None:
        for table, expected in self._rows.items():
            if table in self._unknown:
                continue
            key = PROJECTIONS[table][0]
            stored = {row[key]: row for row in reader.rows(RowQuery(table, {}, limit=_ROWS_MAX))}
            for name in stored.keys() - expected.keys():
                report.add(Kind.PROJECTION_ALTERED, f"table {table} has a row {name!r} that no entry made")
            for name, values in expected.items():
                self._compare_row(table, name, values, stored.get(name), report)

    def _compare_row(
        self, table: str, name: Scalar, values: Mapping[str, Scalar], found: Mapping[str, Scalar] | None, report: Report
    ) -> None:
        if found is None:
            report.add(Kind.PROJECTION_ALTERED, f"table {table} lost its row {name!r}")
            return
        wrong = sorted(column for column, value in values.items() if found[column] != value)
        if wrong:
            report.add(Kind.PROJECTION_ALTERED, f"row {name!r} of table {table} was altered: {', '.join(wrong)}")
