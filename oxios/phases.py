"""The phases of a turn as they happen, for a person: one line each, from the session's own entries."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from kernel.journal.entry import SYSTEM_STREAM, Entry
from kernel.runtime.live import LiveEvent, LiveProgress
from ouroboros.session import FINISHED, STARTED
from oxios.live import LiveView, answer_line
from oxios.paint import Paint, one_line, painter
from oxios.seat import heard_here

if TYPE_CHECKING:
    from kernel.boot import Kernel

_TEXT_CHARS: Final = 160
_QUIET: Final = frozenset({"execute", "review", "confirm"})
"""Phases whose end is seen elsewhere: in the run's own lines, or in what the person said."""


_MODELS: Final = frozenset({"model.failed", "model.fallback", "model.waiting"})
"""What went wrong with the models of a phase is told as in a run."""


class PhaseView:
    """Paints the phases of one session, and the runs that it starts; `heard` as for `LiveView`."""

    def __init__(self, paint: Paint, session: str, *, heard: bool = False) -> None:
        self._paint = paint
        self._heard = heard
        self._session = session
        self._runs: dict[str, LiveView] = {}
        self._models = LiveView(paint)

    def hear(self, entries: tuple[Entry, ...]) -> None:
        """Committed entries of any stream."""
        for entry in entries:
            if entry.stream == self._session:
                self._own(entry)
            elif entry.kind == "run.started" and (entry.payload or {}).get("account") == self._session:
                self._runs[entry.stream] = LiveView(self._paint, heard=self._heard)
            if entry.stream in self._runs and entry.stream != SYSTEM_STREAM:
                self._runs[entry.stream].entry(entry)

    def follow(self, run: str) -> None:
        """Show a run that was started in an earlier life."""
        self._runs.setdefault(run, LiveView(self._paint, heard=self._heard))

    def shows(self, run: str) -> bool:
        return run in self._runs

    def event(self, event: LiveEvent) -> None:
        """What tools report while they work."""
        if isinstance(event, LiveProgress) and event.run in self._runs:
            self._runs[event.run].event(event)

    def _own(self, entry: Entry) -> None:
        payload = cast("Mapping[str, Any]", entry.payload or {})
        if entry.kind == STARTED and payload["phase"] not in _QUIET:
            self._paint(((f"· {payload['phase']}", "dim"),))
        elif entry.kind == FINISHED and not payload["ok"]:
            why = one_line(payload["message"], _TEXT_CHARS)
            self._paint(((f"✗ {payload['phase']}  ", "bad"), (why, "")))
        elif entry.kind == "model.reply":
            self._paint((("    ", ""), (answer_line(payload), "dim")))
        elif entry.kind in _MODELS:
            self._models.entry(entry)
        elif entry.kind == FINISHED and payload["phase"] not in _QUIET:
            self._paint(((f"  {_told(payload)}", "dim"),))


@asynccontextmanager
async def phases_shown(kernel: Kernel, args: Namespace, session: str) -> AsyncGenerator[PhaseView | None]:
    """Inside, the session's phases and runs are shown on stderr, unless -q."""
    if args.quiet:
        yield None
        return
    view = PhaseView(painter(args, sys.stderr), session)
    ends = (
        kernel.journal.subscribe(heard_here(view.hear)),
        kernel.bus.subscribe(None, heard_here(view.event)),
    )
    try:
        yield view
    finally:
        for end in ends:
            end()


def _told(payload: Mapping[str, Any]) -> str:
    result, phase = cast("Mapping[str, Any]", payload["result"]), payload["phase"]
    fallback = f"; the model's answer could not be used: {result['fallback']}" if result.get("fallback") else ""
    match phase:
        case "assess" if result["kind"] == "task":
            text = f"task, {result['scope']}, ambiguity {result['ambiguity']:g}"
        case "assess" if result["kind"] == "clarify":
            text = f"too vague to begin: ambiguity {result['ambiguity']:g}"
        case "assess":
            text = "conversation"
        case "crystallize":
            draft = result["draft"]
            text = f"a specification of {len(draft.get('criteria', ()))} criteria"
        case "evolve":
            text = f"generation {result['generation']}: what was missing is a constraint now"
        case _:
            text = "done"
    return one_line(text + fallback, _TEXT_CHARS)
