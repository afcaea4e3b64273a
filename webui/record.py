"""Reading back what a page shows: a session's newest turns with the runs of each, or one run.

Guarantees: entries of several streams come in the journal's order. Reads only the turns asked for and
what belongs to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from kernel.ids import RunId, agent
from kernel.journal.appender import Reader
from kernel.journal.entry import SYSTEM_STREAM, Entry
from ouroboros import session as words
from ouroboros.seedbook import read_stream
from ouroboros.session import Session
from webui.transcript import Transcript, of_streams

_UNDONE: Final = "call.undone"


@dataclass(frozen=True, slots=True)
class Loaded:
    """`earlier` says whether there are turns before those shown."""

    page: Transcript
    runs: frozenset[str]
    names: dict[str, str]
    """Of the capabilities that the runs held: what each was for."""
    earlier: bool = False


async def of_session(journal: Reader, session: Session, *, turns: int, before: int | None = None) -> Loaded:
    """The newest `turns` turns, or those before turn `before`."""
    own = await told(journal, session.id)
    first, end = _span(own, turns, before)
    shown = own[first:end]
    entries = {entry.seq: entry for entry in shown}
    runs = await _runs_of(journal, shown)
    for run in runs:
        entries.update((entry.seq, entry) for entry in await read_stream(journal, RunId(run)))
    await _add_undone(journal, entries, runs)
    names = await _names(journal, runs)
    return Loaded(of_streams(entries), frozenset(runs), names, first > _opening(own))


async def of_run(journal: Reader, run: RunId) -> Loaded:
    """One run's own page."""
    entries = {entry.seq: entry for entry in await read_stream(journal, run)}
    await _add_undone(journal, entries, [run])
    return Loaded(of_streams(entries), frozenset({run}), await _names(journal, [run]))


async def _names(journal: Reader, runs: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for run in runs:
        for row in await journal.rows("capabilities", {"holder": agent(RunId(run))}):
            found[str(row["id"])] = f"{row['resource']} {row['rights']}"
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


def _span(own: Sequence[Entry], turns: int, before: int | None) -> tuple[int, int]:
    """Where among the session's entries the shown turns begin and end."""
    goals = [place for place, entry in enumerate(own) if _said(entry).get("as") == "goal"]
    if before is not None:
        goals_before = [place for place in goals if int(_said(own[place])["turn"]) < before]
        rest = goals[len(goals_before) :]
        end = rest[0] if rest else len(own)
        return (goals_before[-turns:] or [end])[0], end
    return (goals[-turns:] or [0])[0], len(own)


def _opening(own: Sequence[Entry]) -> int:
    """Where the first turn begins."""
    return next((place for place, entry in enumerate(own) if _said(entry).get("as") == "goal"), 0)


def _said(entry: Entry) -> dict[str, Any]:
    return cast("dict[str, Any]", entry.payload or {}) if entry.kind == words.MESSAGE else {}


async def _runs_of(journal: Reader, entries: Sequence[Entry]) -> list[str]:
    seeds = [
        str(result["seed"]["id"])
        for entry in entries
        if entry.kind == words.FINISHED and entry.payload is not None
        for result in [cast("dict[str, Any]", entry.payload).get("result", {})]
        if "seed" in result
    ]
    rows = [row for seed in seeds for row in await journal.rows("runs", {"seed": seed}, order="started_us")]
    return [str(row["id"]) for row in rows]


async def _add_undone(journal: Reader, entries: dict[int, Entry], runs: Sequence[str]) -> None:
    """What was undone stands in the kernel's stream, whoever's call it was."""
    if not any(entry.kind == "call.intent" and (entry.payload or {}).get("mark") for entry in entries.values()):
        return
    for entry in await journal.read(stream=SYSTEM_STREAM, kind=_UNDONE):
        call = str((entry.payload or {}).get("call", ""))
        if call.rpartition(".")[0] in runs:
            entries[entry.seq] = entry
