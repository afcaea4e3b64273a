"""One agent as a process: its loop under a deadline, in a cancel scope of its own.

Guarantees: however the loop ends (an answer, a bound, a stop, a crash of the journal, the kernel
going down) the run's stream says how, or says nothing and the run is found interrupted. A stop ends
the calls under way with their process trees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import anyio

from kernel.errors import JournalDown, OxiosError, QueueFull
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
    budget_s: float | None = None
    """Seconds that its budget allows, where that bounds it."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)
    stopped_by: str = ""

    async def run(self) -> None:
        """Run to the end. Never raises but for a broken invariant: the run's state says what happened."""
        try:
            await self._run_recorded()
        except* (JournalDown, QueueFull) as group:
            # There is no record to write to: the run is found interrupted, and resumed later.
            error = leaf_of(group)
            self.state.status, self.state.note = "paused", error.explain()
            _log.error("run_without_journal", run=self.state.run, error=error.explain())
        finally:
            await self._settle()
            self.done.set()

    async def _run_recorded(self) -> None:
        try:
            with self.scope:
                await self._run_within_deadline()
            if self.scope.cancelled_caught and self.stopped_by:
                self._record_stop()
            elif self.scope.cancelled_caught:
                self._record_interruption()
        except anyio.get_cancelled_exc_class():
            self._record_interruption()
            raise

    def stop(self, by: str) -> None:
        """End it now: the scope's calls are cancelled, and the run is recorded as cancelled."""
        self.stopped_by = by
        self.scope.cancel()

    def interrupt(self) -> None:
        """Leave off now, as when the kernel goes down: the run is recorded as paused, and can be resumed."""
        self.scope.cancel()

    async def _run_within_deadline(self) -> None:
        """The loop, beside a watch that ends it when its time is used up."""
        late = False

        async def watch() -> None:
            nonlocal late
            while (left_s := self._time_s() - self.active_s()) > 0:
                await self.steps.dispatcher.clock.sleep(left_s)
            late = True
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await run_loop(self.state, self.steps, self.bounds)
            group.cancel_scope.cancel()
        if late and self.state.status == "running":
            self._record("run.paused", self._late())

    def _time_s(self) -> float:
        return self.deadline_s if self.budget_s is None else min(self.deadline_s, self.budget_s)

    def _late(self) -> dict[str, str]:
        more = "with a higher run.deadline_s"
        if self.budget_s is not None and self.budget_s <= self.deadline_s:
            more = (
                f"with more: `oxios runs resume {self.state.run} --seconds S` (and run.seconds_max, where that is set)"
            )
        note = f"its {self._time_s():g} s are used up; resume it {more} to go on"
        return {"note": note, "code": "deadline_passed", "by": "process"}

    def active_s(self) -> float:
        """Seconds it has run, in all its lives, without waiting for a person."""
        return self.steps.dispatcher.budgets.active_us(self.state.run) / _MICRO

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


def leaf_of(group: BaseExceptionGroup[OxiosError]) -> OxiosError:
    """The first error itself, however deep the groups around it."""
    first = group.exceptions[0]
    return leaf_of(first) if isinstance(first, BaseExceptionGroup) else first
