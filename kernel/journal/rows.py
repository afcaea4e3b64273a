"""Stored rows as entries."""

from __future__ import annotations

import json
from typing import cast

from kernel.ids import Digest, Principal
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject
from kernel.ports.store import EntryRow


def entry_of(row: EntryRow) -> Entry:
    seq, time_us, principal, stream, kind, digest, _, _, payload = row
    return Entry(seq, time_us, Principal(principal), stream, kind, Digest(digest.hex()), payload_of(payload))


def payload_of(payload: bytes | None) -> JsonObject | None:
    return None if payload is None else cast("JsonObject", json.loads(payload))


def said_in(row: EntryRow) -> JsonObject:
    """The payload of a row that may have been tampered with; empty where it cannot be read."""
    try:
        return payload_of(row[8]) or {}
    except ValueError:
        return {}
