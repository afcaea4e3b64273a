"""What an audit can find wrong, and the report it ends in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

FINDINGS_MAX: Final = 100
"""Findings that a report names one by one; the rest are counted."""


class Kind(StrEnum):
    """One word for each way a journal can be broken."""

    ALTERED = "altered"
    """An entry is not the one that was committed."""
    PAYLOAD_ALTERED = "payload_altered"
    """A payload's bytes do not have the entry's digest."""
    PAYLOAD_MISSING = "payload_missing"
    """A payload is gone, and no `blob.erased` entry says so."""
    BLOB_ALTERED = "blob_altered"
    BLOB_MISSING = "blob_missing"
    DELETED = "deleted"
    REORDERED = "reordered"
    INSERTED = "inserted"
    TRUNCATED = "truncated"
    """The newest entries are gone."""
    ROLLED_BACK = "rolled_back"
    """An older database was put back."""
    REWRITTEN = "rewritten"
    """The history before a signed checkpoint is another one than was signed."""
    TREE_ALTERED = "tree_altered"
    """The stored hashes do not belong to the entries."""
    CHECKPOINT_FORGED = "checkpoint_forged"
    HEAD_MISSING = "head_missing"
    HEAD_ALTERED = "head_altered"
    CHECKPOINTS_MISSING = "checkpoints_missing"
    DAMAGED = "damaged"
    """The database's file breaks its own format."""
    PROJECTION_ALTERED = "projection_altered"
    """A table derived from the entries says something else than they do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; `seq` where it is about one entry."""

    kind: Kind
    message: str
    seq: int | None = None


@dataclass(slots=True)
class Report:
    """What was checked and what was found; good where nothing was."""

    address: str
    origin: str = ""
    size: int = 0
    root: str = ""
    checkpoints: int = 0
    blobs: int = 0
    erased: int = 0
    duration_s: float = 0.0
    findings: list[Finding] = field(default_factory=list[Finding])
    more: int = 0
    """Findings beyond FINDINGS_MAX."""

    @property
    def good(self) -> bool:
        return not self.findings

    def add(self, kind: Kind, message: str, seq: int | None = None) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(kind, message, seq))
        else:
            self.more += 1
