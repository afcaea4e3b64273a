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


class Underway:
    """Give it live events and entries in the order in which they came."""

    def __init__(self) -> None:
        self._runs: dict[str, dict[_Place, _Text]] = {}

    def hear(self, event: LiveEvent) -> None:
        texts = self._runs.get(event.run)
        if texts is None:
            if len(self._runs) >= RUNS_MAX:
                del self._runs[next(iter(self._runs))]
            texts = self._runs[event.run] = {}
        place = _place(event)
        if place not in texts:
            texts[place] = _Text()
        texts[place].add(event.text)

    def settle(self, entry: Entry) -> None:
        """What the entry holds stands in the record from now on."""
        texts = self._runs.get(entry.stream)
        if texts is None:
            return
        if entry.kind in _REPLY:
            texts.pop("text", None)
            texts.pop("reasoning", None)
        elif entry.kind in _CALL and entry.payload is not None:
            texts.pop(str(entry.payload["call"]), None)
        elif entry.kind in _END:
            texts.clear()
        if not texts:
            del self._runs[entry.stream]

    def take_over(self, other: Underway, runs: Iterable[str]) -> None:
        """What `other` has of these runs, in place of what is here."""
        for run in runs:
            texts = other._runs.get(run, {})
            if texts:
                self._runs[run] = {place: _Text([text.whole()], text.chars) for place, text in texts.items()}

    def runs(self) -> tuple[str, ...]:
        return tuple(self._runs)

    def reply(self, run: str) -> tuple[str, str]:
        """Text and reasoning of the reply that is being written."""
        return self._of(run, "text"), self._of(run, "reasoning")

    def output(self, run: str, call: str) -> str:
        return self._of(run, call)

    def _of(self, run: str, place: _Place) -> str:
        found = self._runs.get(run, {}).get(place)
        return found.whole() if found is not None else ""


def _place(event: LiveEvent) -> _Place:
    if isinstance(event, LiveProgress):
        return event.call
    return "text" if isinstance(event, LiveText) else "reasoning"
