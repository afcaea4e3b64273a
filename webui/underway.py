"""What runs say ahead of the record: the reply that is being written, a command's output so far.

Guarantees: it is kept from the event that told it until the entry that holds it for good, so that a page that is
opened meanwhile shows what the others show; of each text the newest KEPT_CHARS_MAX at least, of RUNS_MAX runs.
What was told before somebody listened is not here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from kernel.journal.entry import Entry
from kernel.runtime.live import LiveEvent, LiveProgress, LiveText

KEPT_CHARS_MAX: Final = 64 * 1024
RUNS_MAX: Final = 10_000
_REPLY: Final = frozenset({"model.reply", "model.failed"})
_CALL: Final = frozenset({"call.outcome", "call.denied", "call.invalid"})
_END: Final = frozenset({"run.paused", "run.finished"})

_Place: TypeAlias = str
"""`text`, `reasoning`, or a call's id."""
_WRITTEN: Final = ("text", "reasoning")


@dataclass(slots=True)
class _Text:
    pieces: list[str] = field(default_factory=list[str])
    chars: int = 0

    def add(self, piece: str) -> None:
        self.pieces.append(piece)
        self.chars += len(piece)
        if self.chars > 2 * KEPT_CHARS_MAX:
            kept = self.whole()[-KEPT_CHARS_MAX:]
            self.pieces, self.chars = [kept], len(kept)

    def whole(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


@dataclass(slots=True)
class _Run:
    texts: dict[_Place, _Text] = field(default_factory=dict[_Place, _Text])
    round: int = 0
    """Of the reply that is being written."""
    asked: int = 0
    """The newest that is on record as a request."""

    def hear(self, event: LiveEvent) -> None:
        if not isinstance(event, LiveProgress) and event.round != self.round:
            self.forget(*_WRITTEN)  # What came before it stands in an entry that is on its way.
            self.round = event.round
        self.texts.setdefault(_place(event), _Text()).add(event.text)

    def settle(self, entry: Entry) -> None:
        said = entry.payload or {}
        if entry.kind == "model.request":
            self.asked = int(str(said.get("round", 0)))
        elif entry.kind in _REPLY and self.round <= self.asked:
            self.forget(*_WRITTEN)
        elif entry.kind in _CALL:
            self.forget(str(said.get("call", "")))
        elif entry.kind in _END:
            self.texts.clear()

    def forget(self, *places: _Place) -> None:
        for place in places:
            self.texts.pop(place, None)


class Underway:
    """Give it live events and entries in the order in which they came."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}

    def hear(self, event: LiveEvent) -> None:
        self._run(event.run).hear(event)

    def settle(self, entry: Entry) -> None:
        """What the entry holds stands in the record from now on."""
        numbered = entry.kind == "model.request" and entry.payload is not None and "round" in entry.payload
        run = self._run(entry.stream) if numbered else self._runs.get(entry.stream)
        if run is None:
            return
        run.settle(entry)
        if entry.kind in _END or not (run.texts or run.asked):
            del self._runs[entry.stream]

    def take_over(self, other: Underway, runs: Iterable[str]) -> None:
        """What `other` has of these runs, in place of what is here."""
        for name in runs:
            run = other._runs.get(name)
            if run is not None:
                texts = {place: _Text([text.whole()], text.chars) for place, text in run.texts.items()}
                self._runs[name] = _Run(texts, run.round, run.asked)

    def runs(self) -> tuple[str, ...]:
        return tuple(self._runs)

    def reply(self, run: str) -> tuple[str, str]:
        """Text and reasoning of the reply that is being written."""
        return self._of(run, "text"), self._of(run, "reasoning")

    def output(self, run: str, call: str) -> str:
        return self._of(run, call)

    def _run(self, name: str) -> _Run:
        run = self._runs.get(name)
        if run is None:
            if len(self._runs) >= RUNS_MAX:
                del self._runs[next(iter(self._runs))]
            run = self._runs[name] = _Run()
        return run

    def _of(self, name: str, place: _Place) -> str:
        run = self._runs.get(name)
        text = run.texts.get(place) if run is not None else None
        return text.whole() if text is not None else ""


def _place(event: LiveEvent) -> _Place:
    if isinstance(event, LiveProgress):
        return event.call
    return "text" if isinstance(event, LiveText) else "reasoning"
