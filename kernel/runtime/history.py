"""Reading a run back from the journal: its entries, those it was forked from, and the state they fold to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kernel.errors import Invalid, NotFound
from kernel.ids import RunId
from kernel.journal.appender import Reader
from kernel.journal.entry import Entry
from kernel.limits import FORK_DEPTH_MAX
from kernel.runtime.state import RunState

_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class History:
    """`prefix` are entries of the runs that this one was forked from, up to each fork."""

    run: RunId
    prefix: tuple[Entry, ...]
    entries: tuple[Entry, ...]

    def state(self) -> RunState:
        state = RunState(self.run)
        for entry in (*self.prefix, *self.entries):
            state.apply_entry(entry)
        return state


async def read_history(journal: Reader, run: RunId) -> History:
    """Raises: NotFound, where no run has that id."""
    entries = await _read_stream(journal, run)
    if not entries or entries[0].kind != "run.started":
        raise NotFound(f"there is no run {run!r}", remedy="see `oxios runs list`")
    return History(run, await _read_prefix(journal, entries[0]), tuple(entries))


async def fork_point(journal: Reader, run: RunId, step: int | None) -> tuple[RunState, int]:
    """The state after `step` model replies and their results (None: the newest such), and its seq.

    Raises: Invalid, where the run has no such step.
    """
    history = await read_history(journal, run)
    state = RunState(run)
    found: tuple[int, int] | None = None
    for entry in (*history.prefix, *history.entries):
        state.apply_entry(entry)
        settled = not state.pending and state.messages and not (step is not None and state.turns > step)
        if settled and not _answered(state):
            found = (state.turns, entry.seq)
    if found is None or (step is not None and found[0] != step):
        raise Invalid(f"run {run} has no step {step} to fork from", remedy=f"it has steps 0 to {state.turns}")
    seq = found[1]
    return _state_until(history, seq), seq


def _answered(state: RunState) -> bool:
    last = state.messages[-1]
    return last.role == "assistant" and not last.calls


def _state_until(history: History, seq: int) -> RunState:
    state = RunState(history.run)
    for entry in (*history.prefix, *history.entries):
        if entry.seq <= seq:
            state.apply_entry(entry)
    return state


async def _read_prefix(journal: Reader, started: Entry) -> tuple[Entry, ...]:
    prefix: list[Entry] = []
    depth = 0
    while started.payload is not None and started.payload.get("parent"):
        depth += 1
        if depth > FORK_DEPTH_MAX:
            raise Invalid(f"the run was forked more than {FORK_DEPTH_MAX} times over", remedy="start a new run")
        parent = RunId(str(started.payload["parent"]))
        upto = int(str(started.payload["upto"]))
        entries = [entry for entry in await _read_stream(journal, parent) if entry.seq <= upto]
        prefix[:0] = entries
        started = entries[0]
    return tuple(prefix)


async def _read_stream(journal: Reader, run: RunId) -> list[Entry]:
    entries: list[Entry] = []
    while True:
        page = await journal.read(stream=run, after=entries[-1].seq if entries else 0, limit=_PAGE)
        entries.extend(page)
        if len(page) < _PAGE:
            return entries
