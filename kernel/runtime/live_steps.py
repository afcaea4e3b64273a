"""The loop's steps for real: models and tools through the gate, every step in the journal.

Guarantees: each entry is appended before it is applied to the state, in the order the fold will read
it. A call that was under way when the process died is settled by its effect before it is answered.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernel.errors import Invalid, NotFound, OxiosError, Unavailable
from kernel.gate.asker import Asker
from kernel.gate.request import Cost
from kernel.jsontypes import JsonObject
from kernel.limits import CALLS_PER_TURN_MAX
from kernel.runtime.asking import Asking
from kernel.runtime.dispatch import Caller, Dispatcher
from kernel.runtime.doubt import Resolution, parse_resolution, question, recovered_outcome, resolved_outcome, settle
from kernel.runtime.loop import Purpose
from kernel.runtime.state import CallState, RunState


@dataclass(slots=True)
class LiveSteps:
    """Implements `kernel.runtime.loop.Steps`. `resolution` answers for calls in doubt, once said."""

    dispatcher: Dispatcher
    asking: Asking
    caller: Caller
    asker: Asker
    resolution: Resolution | None = None

    async def ask(self, state: RunState, purpose: Purpose) -> None:
        try:
            await self.asking.ask(state, purpose)
        except OxiosError as error:
            if purpose == "summary" and not isinstance(error, Unavailable):
                self.record(state, "run.finished", {"status": "finished", "output": "", "note": error.explain()})
            elif isinstance(error, (Invalid, NotFound)):
                self.record(state, "run.finished", {"status": "failed", "note": error.explain()})
            else:
                self.record(state, "run.paused", {"note": error.explain(), "code": error.code})

    def parallel(self, call: CallState) -> bool:
        table = self.dispatcher.table
        return call.status == "waiting" and call.tool in table and table.get(call.tool).effect.repeatable

    async def call(self, state: RunState, call: CallState) -> None:
        settlement = settle(call, self.caller.mounts)
        if settlement == "applied":
            self._settle(state, recovered_outcome(call))
            return
        if settlement == "doubt":
            resolution = await self._resolve(state, call)
            if resolution is None:
                return
            if resolution != "retry":
                self._settle(state, resolved_outcome(call, resolution, state.owner))
                return
        await self._dispatch(state, call)

    def _settle(self, state: RunState, outcome: JsonObject) -> None:
        """A call of an earlier life has its outcome now, and counts now."""
        self.record(state, "call.outcome", outcome)
        self.dispatcher.budgets.restore(self.caller.account, Cost(calls=1))

    def record(self, state: RunState, kind: str, payload: JsonObject) -> None:
        self.asking.record(state, kind, payload)

    async def _dispatch(self, state: RunState, call: CallState) -> None:
        if len(state.pending) > CALLS_PER_TURN_MAX and state.pending.index(call) >= CALLS_PER_TURN_MAX:
            error = f"a reply may hold {CALLS_PER_TURN_MAX} calls, and this one was beyond them; make it again later"
            self.record(state, "call.invalid", {"call": call.id, "tool": call.tool, "error": error})
            return
        answered = await self.dispatcher.call(self.caller, call.id, call.tool, call.arguments)
        state.apply(answered.kind, answered.payload, self.dispatcher.clock.now_us())

    async def _resolve(self, state: RunState, call: CallState) -> Resolution | None:
        """A person's word on a call in doubt; None pauses the run until there is one."""
        if call.status != "in_doubt":
            self.record(state, "call.in_doubt", {"call": call.id, "tool": call.tool, "effect": call.effect})
        if self.resolution is not None:
            return self.resolution
        if self.asker.listening:
            try:
                return parse_resolution(await self.asker.ask(state.run, question(call), ("retry", "skip", "done")))
            except OxiosError as error:
                self._pause_in_doubt(state, call, error.explain())
                return None
        self._pause_in_doubt(state, call, "nobody is there to ask")
        return None

    def _pause_in_doubt(self, state: RunState, call: CallState, why: str) -> None:
        note = (
            f"in doubt: `{call.tool}` ({call.id}) was under way when Oxios was killed; {why}. "
            f"Look, then `oxios runs resume {state.run} --in-doubt retry|skip|done`"
        )
        self.record(state, "run.paused", {"note": note, "code": "in_doubt", "call": call.id})
