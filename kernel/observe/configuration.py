"""Changes of the settings, noticed at boot and journalled, whoever made them and however.

Guarantees: settings in force that differ from those at the last boot are one entry
(`config.changed`) naming each key with its value before and after; the same settings twice are
none. An edit by hand, by `oxios config`, a project file, a variable or a flag is seen alike.
Does not see a change between two boots that was taken back before the second. No secret is in it:
settings hold none (RFC-0010).

Source: RFC-0010.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, cast

from kernel.ids import Principal
from kernel.journal.appender import Appender
from kernel.journal.codec import exact
from kernel.journal.entry import SYSTEM_STREAM, Draft, Entry
from kernel.journal.projection import Projector, Upsert
from kernel.jsontypes import JsonObject
from kernel.settings import Settings
from kernel.settings.record import changed, record

CHANGED: Final = "config.changed"
STATE_KEY: Final = "config.settings"


async def note_changes(journal: Appender, settings: Settings, by: Principal) -> JsonObject:
    """What differs from the last boot, now journalled as `by`; everything is new at the first.

    Raises: JournalDown.
    """
    rows = await journal.rows("state", {"key": STATE_KEY})
    before: JsonObject = cast("JsonObject", json.loads(str(rows[0]["value"]) if rows else "{}"))
    after = record(settings)
    changes = changed(before, after)
    if changes:
        await journal.append(Draft(by, SYSTEM_STREAM, CHANGED, {"changed": changes, "settings": after}))
    return changes


def _project(entry: Entry) -> Iterable[Upsert]:
    if entry.payload is not None:
        # Canonical, so that a rebuild from the journal gives the same bytes: there 120.0 reads back as 120.
        settings = exact(entry.payload["settings"]).decode()
        yield Upsert("state", {"key": STATE_KEY}, {"value": settings})


PROJECTORS: Final[dict[str, Projector]] = {CHANGED: _project}
