"""Reading back what a page shows: a session's newest turns with the runs of each, or one run.

Guarantees: entries of several streams come in the journal's order. Reads only the turns asked for and
what belongs to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from kernel.ids import RunId
from kernel.journal.appender import Reader
from kernel.journal.entry import SYSTEM_STREAM, Entry
from ouroboros import session as words
from ouroboros.seedbook import read_stream
from ouroboros.sessionglance import newest_turns
from webui.transcript import Transcript, of_streams

_UNDONE: Final = "call.undone"
_NAMED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Loaded:
    """`earlier` says whether there are turns before those shown."""

    page: Transcript
    runs: frozenset[str]
    names: dict[str, str]
    """Of the capabilities that the runs held: what each was for."""
    earlier: bool = False


async def of_session(journal: Reader, session: RunId, *, turns: int, before: int = 0) -> Loaded:
    """The newest `turns` turns, of those before entry `before` where it is not 0."""
    recent = await newest_turns(journal, session, turns, before=before)
    entries = {entry.seq: entry for entry in recent.entries}
    runs = await _runs_of(journal, recent.entries)
    for run in runs:
        entries.update((entry.seq, entry) for entry in await read_stream(journal, RunId(run)))
    await _add_undone(journal, entries, runs)
    return Loaded(of_streams(entries), frozenset(runs), await _names(journal, entries), recent.earlier)


async def of_run(journal: Reader, run: RunId) -> Loaded:
    """One run's own page."""
    entries = {entry.seq: entry for entry in await read_stream(journal, run)}
    await _add_undone(journal, entries, [run])
    return Loaded(of_streams(entries), frozenset({run}), await _names(journal, entries))


async def _names(journal: Reader, entries: Mapping[int, Entry]) -> dict[str, str]:
    payloads = (cast("dict[str, Any]", one.payload or {}) for one in entries.values() if one.kind == "call.intent")
    named = tuple(dict.fromkeys(str(cap) for payload in payloads for cap in payload.get("caps", ())))
    found: dict[str, str] = {}
    for start in range(0, len(named), _NAMED_AT_ONCE):
        rows = await journal.rows("capabilities", {"id": named[start : start + _NAMED_AT_ONCE]})
        found.update((str(row["id"]), f"{row['resource']} {row['rights']}") for row in rows)
    return found


async def told(journal: Reader, session: RunId, upto: int | None = None) -> list[Entry]:
    """A session's entries up to number `upto`, those of the turns that it was forked with before its own."""
    own = [entry for entry in await read_stream(journal, session) if upto is None or entry.seq <= upto]
    origin = cast("dict[str, Any]", own[0].payload or {}).get("origin") if own else None
    if not origin:
        return own
    before = await told(journal, RunId(origin["session"]), origin["seq"])
    kept = [entry for entry in before if (entry.payload or {}).get("turn", 0) <= origin["turn"]]
    return [*kept, *own]


async def _runs_of(journal: Reader, entries: Sequence[Entry]) -> list[str]:
    """The runs of these turns; one that has not ended is found by its Seed."""
    ended: list[str] = []
    waiting: list[str] = []
    for entry in entries:
        if entry.kind != words.FINISHED or entry.payload is None:
            continue
        result = cast("dict[str, Any]", entry.payload).get("result", {})
        if "seed" in result:
            waiting.append(str(result["seed"]["id"]))
        if result.get("run"):
            ended.append(str(result["run"]))
            waiting.clear()
    rows = await journal.rows("runs", {"seed": tuple(waiting)}, order="started_us") if waiting else []
    return list(dict.fromkeys([*ended, *(str(row["id"]) for row in rows)]))


async def _add_undone(journal: Reader, entries: dict[int, Entry], runs: Sequence[str]) -> None:
    """What was undone stands in the kernel's stream, whoever's call it was."""
    marked = [
        seq for seq, entry in entries.items() if entry.kind == "call.intent" and (entry.payload or {}).get("mark")
    ]
    if not marked:
        return
    for entry in await read_stream(journal, SYSTEM_STREAM, _UNDONE, after=min(marked)):
        call = str((entry.payload or {}).get("call", ""))
        if call.rpartition(".")[0] in runs:
            entries[entry.seq] = entry
