"""One agent as a process: its loop under a deadline, in a cancel scope of its own.

Guarantees: however the loop ends (an answer, a bound, a stop, a crash of the journal, the kernel
going down) the run's stream says how, or says nothing and the run is found interrupted. A stop ends
the calls under way with their process trees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import anyio

from kernel.errors import JournalDown, QueueFull
from kernel.log import get_logger
from kernel.runtime.live_steps import LiveSteps
from kernel.runtime.loop import LoopBounds, run_loop
from kernel.runtime.state import RunState

_log = get_logger("agent")
_MICRO: Final = 1_000_000
SETTLE_S: Final = 10.0


@dataclass(slots=True)
class AgentProcess:
    """A live run. `done` is set when its loop has ended, whatever the reason."""

    state: RunState
    steps: LiveSteps
    bounds: LoopBounds
    deadline_s: float
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)
    stopped_by: str = ""
    waited_s: float = 0.0
    """Time spent waiting for a person, which the deadline does not count."""

    async def run(self) -> None:
        """Run to the end. Never raises but for a broken invariant: the run's state says what happened."""
        try:
            with self.scope:
                await self._run_within_deadline()
            if self.scope.cancelled_caught:
                self._record_stop()
        except (JournalDown, QueueFull) as error:
            # There is no record to write to: the run is found interrupted and resumed later.
            self.state.status, self.state.note = "paused", error.explain()
            _log.error("run_without_journal", run=self.state.run, error=error.explain())
        except BaseException:
            self._record_interruption()
            raise
        finally:
            await self._settle()
            self.done.set()

    def stop(self, by: str) -> None:
        """End it now: the scope's calls are cancelled, and the run is recorded as cancelled."""
        self.stopped_by = by
        self.scope.cancel()

    async def _run_within_deadline(self) -> None:
        left_s = max(0.0, self.deadline_s - self.state.active_us / _MICRO)
        with anyio.move_on_after(left_s) as within:
            await run_loop(self.state, self.steps, self.bounds)
        if within.cancelled_caught:
            note = f"its {self.deadline_s:g} s are used up; resume it with more time to go on"
            self._record("run.paused", {"note": note, "code": "deadline_passed", "by": "process"})

    async def _settle(self) -> None:
        """Wait until how it ended is durable, so that whoever waited for it can read it."""
        with anyio.move_on_after(SETTLE_S, shield=True):
            try:
                await self.steps.asking.settle()
            except (JournalDown, QueueFull) as error:
                _log.error("run_end_not_durable", run=self.state.run, error=error.explain())

    def _record_stop(self) -> None:
        note = f"stopped by {self.stopped_by}"
        self._record("run.finished", {"status": "cancelled", "note": note, "by": self.stopped_by})

    def _record_interruption(self) -> None:
        if self.state.status == "running":
            note = "interrupted: Oxios stopped; `oxios runs resume` goes on from here"
            self._record("run.paused", {"note": note, "code": "interrupted", "by": "process"})

    def _record(self, kind: str, payload: dict[str, str]) -> None:
        try:
            self.steps.record(self.state, kind, payload)
        except (JournalDown, QueueFull) as error:
            _log.error("run_end_not_recorded", run=self.state.run, error=error.explain())
