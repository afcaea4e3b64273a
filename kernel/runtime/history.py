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

    @property
    def erased(self) -> Entry | None:
        """The first entry whose payload was erased: the state says nothing of it, and may be wrong after it."""
        return next((entry for entry in (*self.prefix, *self.entries) if entry.payload is None), None)

    def lost(self, entry: Entry) -> Invalid:
        return Invalid(
            f"the payload of entry {entry.seq} ({entry.kind}) of run {self.run} was erased: "
            "what the run did after it cannot be known",
            remedy=f"`oxios audit log --run {entry.stream}` shows what is left; start a new run to go on",
        )


async def read_history(journal: Reader, run: RunId) -> History:
    """Raises: NotFound, where no run has that id; Invalid, where its very start was erased."""
    entries = await read_entries(journal, run)
    history = History(run, await _read_prefix(journal, entries[0]), tuple(entries))
    for entry in (*history.prefix, *history.entries):
        if entry.kind == "run.started" and entry.payload is None:
            raise history.lost(entry)
    return history


async def fork_point(journal: Reader, run: RunId, step: int | None, *, text: str = "") -> tuple[RunState, int]:
    """The state after `step` model replies and their results (None: the newest such), and its seq.

    After a final answer there is nothing to go on with, unless there is a `text` to answer.
    Raises: Invalid, where the run has no such step, or what led there was erased.
    """
    history = await read_history(journal, run)
    state, erased = RunState(run), history.erased
    points: dict[int, int] = {}
    for entry in (*history.prefix, *history.entries):
        if entry is erased:
            break
        state.apply_entry(entry)
        if not state.pending and (text or not _answered(state)):
            points[state.turns] = entry.seq
    wanted = max(points, default=0) if step is None else step
    if erased is not None and (step is None or step not in points):
        raise history.lost(erased)
    if wanted not in points:
        there = ", ".join(map(str, sorted(points)))
        hint = "; with `--say TEXT` its final answer is one too" if wanted == state.turns else ""
        raise Invalid(f"run {run} has no step {step} to fork from", remedy=f"it has the steps {there}{hint}")
    return _state_until(history, points[wanted]), points[wanted]


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
    depth, upto = 0, started.seq
    while started.payload is not None and started.payload.get("parent"):
        depth += 1
        if depth > FORK_DEPTH_MAX:
            raise Invalid(f"the run was forked more than {FORK_DEPTH_MAX} times over", remedy="start a new run")
        parent = RunId(str(started.payload["parent"]))
        upto = min(upto, int(str(started.payload["upto"])))
        entries = await _read_stream(journal, parent)
        prefix[:0] = [entry for entry in entries if entry.seq <= upto]
        started = entries[0]
    return tuple(prefix)


async def read_entries(journal: Reader, run: RunId) -> list[Entry]:
    """Every entry of a run's own stream, whatever of it was erased. Raises: NotFound."""
    entries = await _read_stream(journal, run)
    if not entries or entries[0].kind != "run.started":
        raise NotFound(f"there is no run {run!r}", remedy="see `oxios runs list`")
    return entries


async def _read_stream(journal: Reader, run: RunId) -> list[Entry]:
    entries: list[Entry] = []
    while True:
        page = await journal.read(stream=run, after=entries[-1].seq if entries else 0, limit=_PAGE)
        entries.extend(page)
        if len(page) < _PAGE:
            return entries
