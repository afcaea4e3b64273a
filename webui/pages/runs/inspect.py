"""A run taken apart: its steps, what the model was sent at each, and two runs beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from kernel.errors import NotFound
from kernel.ids import RunId
from kernel.journal.entry import Entry
from kernel.ports.provider import Message
from kernel.runtime.state import RunState
from webui.items import CallItem, StepItem
from webui.transcript import Transcript


@dataclass(slots=True)
class StepView:
    """One reply and the calls it made."""

    step: StepItem
    calls: list[CallItem] = field(default_factory=list[CallItem])

    @property
    def did(self) -> str:
        """In one line, for comparing."""
        made = ", ".join(f"{call.tool} {call.target}".strip() for call in self.calls)
        return made or " ".join(self.step.text.split())[:160]


@dataclass(frozen=True, slots=True)
class Pair:
    number: int
    one: StepView | None
    other: StepView | None

    @property
    def same(self) -> bool:
        return self.one is not None and self.other is not None and self.one.did == self.other.did


def timeline_of(page: Transcript) -> list[StepView]:
    """The steps in order, each with its calls."""
    views: dict[tuple[str, int], StepView] = {}
    for item in page.items.values():
        if isinstance(item, StepItem):
            views[item.run, item.number] = StepView(item)
        elif isinstance(item, CallItem) and (item.run, item.step) in views:
            views[item.run, item.step].calls.append(item)
    return list(views.values())


def request_of(run: RunId, entries: Sequence[Entry], number: int) -> list[Message]:
    """The messages of the `number`th request for a turn. Raises: NotFound."""
    state, seen = RunState(run), 0
    for entry in entries:
        state.apply_entry(entry)
        if entry.kind == "model.request" and (entry.payload or {}).get("purpose", "turn") == "turn":
            seen += 1
            if seen == number:
                return list(state.messages)
    raise NotFound(f"run {run} has no step {number}", remedy=f"it has {seen}")


def compared(one: Sequence[StepView], other: Sequence[StepView]) -> list[Pair]:
    """Step by step; the longer goes on alone."""
    pairs = zip_longest(one, other)
    return [Pair(number, left, right) for number, (left, right) in enumerate(pairs, start=1)]
