"""Running a recorded run again with no model and no tool.

Guarantees: the real loop runs; replies, results and everything a person did come from the record; each
entry that the loop itself decides must equal the recorded one. So a replay that ends without a
`Divergence` ends in the recorded state, and one that does not names the first entry that differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kernel.ids import RunId, agent
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject
from kernel.runtime.loop import LoopBounds, Purpose, run_loop
from kernel.runtime.state import CallState, RunState

_ANSWERS: Final = frozenset({"call.outcome", "call.denied", "call.invalid"})
_ENDS: Final = frozenset({"run.paused", "run.finished"})
_DECIDED: Final = frozenset({*_ENDS, *_ANSWERS, "run.steered", "call.intent", "model.request", "model.reply"})
"""Kinds of which the loop, or a step that it takes, decides when they come."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """The record at `seq` is not what the loop does now."""

    seq: int
    expected: str
    found: str


class _DivergedError(Exception):
    def __init__(self, divergence: Divergence) -> None:
        super().__init__(divergence)
        self.divergence = divergence


@dataclass(frozen=True, slots=True)
class Replayed:
    """The state reached, how much was replayed, and the first divergence, if any."""

    state: RunState
    entries: int
    divergence: Divergence | None


async def replay(run: RunId, prefix: Sequence[Entry], entries: Sequence[Entry]) -> Replayed:
    """Replay `entries` of `run`; `prefix` are those of the run it was forked from, up to the fork."""
    state = RunState(run)
    for entry in prefix:
        state.apply_entry(entry)
    steps = _RecordedSteps(entries)
    divergence: Divergence | None = None
    try:
        steps.take_outside(state)
        while steps.position < len(entries):
            # The recorded bounds may have been others; a recorded pause is replayed as it was.
            await run_loop(state, steps, LoopBounds(turns_max=len(entries)))
            steps.take_outside(state)
            steps.require_end(state)
    except _EndOfRecordError:
        pass  # The record ends in mid-run: the state is that of its last entry.
    except _DivergedError as diverged:
        divergence = diverged.divergence
    return Replayed(state, steps.position, divergence)


class _EndOfRecordError(Exception):
    """The record has no more entries."""


@dataclass(slots=True)
class _RecordedSteps:
    """Steps whose every answer comes from the record."""

    entries: Sequence[Entry]
    position: int = 0

    async def ask(self, state: RunState, purpose: Purpose) -> None:
        """Up to the reply, the end of the run, or the end of a life that never got one.

        What came from outside before the request may have changed what the loop decides: it decides again.
        """
        asked = False
        while True:
            entry = self._next(state)
            if entry.kind in {"run.resumed", *_ENDS} or (entry.kind == "model.reply" and not _from_outside(entry)):
                return
            if entry.kind == "model.failed":
                asked = False  # Too long: it was cut, and asked again.
            elif _from_outside(entry):
                if not asked:
                    return
            elif entry.kind == "model.request" and not asked and _purpose(entry) == purpose:
                asked = True
            elif entry.kind != "call.denied":  # The gate denies a request as it denies a call.
                raise _DivergedError(Divergence(entry.seq, f"a model request ({purpose})", _told(entry)))

    async def call(self, state: RunState, call: CallState) -> None:
        while call.status != "done" and state.status == "running":
            entry = self._next(state)
            if not _from_outside(entry) and entry.kind in {"model.request", "model.reply"}:
                raise _DivergedError(Divergence(entry.seq, f"the answer of {call.id}", _told(entry)))

    def parallel(self, call: CallState) -> bool:  # noqa: ARG002 -- the record has its own order
        return False

    def record(self, state: RunState, kind: str, payload: JsonObject) -> None:
        """What the loop decides now; where something from outside came first, it decides again after that."""
        entry = self._next(state)
        if _from_outside(entry):
            return
        found = entry.payload or {}
        if entry.kind != kind or any(found.get(name) != value for name, value in payload.items()):
            raise _DivergedError(Divergence(entry.seq, f"{kind} {dict(payload)}", f"{entry.kind} {dict(found)}"))

    def take_outside(self, state: RunState) -> None:
        """Apply what came from outside the loop: the start, a resume, a person's message, a review."""
        while self.position < len(self.entries) and not self._inside(state, self.entries[self.position]):
            self._apply(state, self.entries[self.position])

    def require_end(self, state: RunState) -> None:
        """A run that ended has no more entries of its own."""
        if state.status != "running" and self.position < len(self.entries):
            entry = self.entries[self.position]
            raise _DivergedError(Divergence(entry.seq, "nothing: the run had ended", entry.kind))

    def _inside(self, state: RunState, entry: Entry) -> bool:
        if entry.kind in {"run.started", "run.resumed", "review.verdict"}:
            return False
        return state.status == "running" or entry.kind in {"model.request", "model.reply"}

    def _next(self, state: RunState) -> Entry:
        if self.position >= len(self.entries):
            raise _EndOfRecordError
        entry = self.entries[self.position]
        self._apply(state, entry)
        return entry

    def _apply(self, state: RunState, entry: Entry) -> None:
        state.apply_entry(entry)
        self.position += 1


def _from_outside(entry: Entry) -> bool:
    """Said by a person, by the process around the loop or by another room; not decided in the loop."""
    by_others = entry.payload is not None and entry.payload.get("by", "kernel") != "kernel"
    return by_others or entry.kind not in _DECIDED or entry.principal != agent(RunId(entry.stream))


def _purpose(entry: Entry) -> str:
    return str((entry.payload or {}).get("purpose", "turn"))


def _told(entry: Entry) -> str:
    return f"{entry.kind} ({_purpose(entry)})" if entry.kind == "model.request" else entry.kind


def same_state(one: RunState, other: RunState) -> bool:
    """Whether two states are the same run, to the last message."""
    keys = ("status", "output", "note", "turns", "usage", "cost_micro_usd", "calls_made", "verdict")
    return one.messages == other.messages and all(getattr(one, key) == getattr(other, key) for key in keys)
