"""The turn loop over scripted steps, for tests of what it decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

from kernel.ids import RunId, call_id
from kernel.jsontypes import JsonObject
from kernel.runtime.loop import LoopBounds, Purpose, run_loop
from kernel.runtime.state import CallState, RunState

RUN = RunId("r1")
CUT = "✂"
FILTERED = "⊘"
START: JsonObject = {
    "directive": {"goal": "g"},
    "env": {"mounts": []},
    "owner": "user:a",
    "grant": "worker",
    "system": "s",
    "user": "u",
}


@dataclass(slots=True)
class ScriptedSteps:
    """Replies are tuples of `(tool, arguments)`, or a text; `answer` gives each call's result.

    A text that ends in `CUT` was cut off at its length limit, one that ends in `FILTERED` by a content filter.
    """

    replies: list[Sequence[tuple[str, str]] | str]
    answer: Callable[[str, str], tuple[bool, str]] = lambda tool, arguments: (True, f"{tool} {arguments}")
    reads: frozenset[str] = frozenset({"read"})
    log: list[str] = field(default_factory=list[str])
    live: int = 0
    live_max: int = 0

    async def ask(self, state: RunState, purpose: Purpose) -> None:
        self.log.append(purpose)
        self.record(state, "model.request", {"purpose": purpose})
        reply = self.replies.pop(0)
        calls: Sequence[tuple[str, str]] = () if isinstance(reply, str) else reply
        first = state.calls_made + 1
        text = reply if isinstance(reply, str) else ""
        payload: JsonObject = {
            "text": text.rstrip(CUT + FILTERED),
            "finish": {CUT: "length", FILTERED: "content_filter"}.get(text[-1:], "stop"),
            "purpose": purpose,
            "calls": [
                {"call": call_id(RUN, first + n), "id": f"m{first + n}", "name": tool, "arguments": arguments}
                for n, (tool, arguments) in enumerate(calls)
            ],
        }
        self.record(state, "model.reply", payload)

    async def call(self, state: RunState, call: CallState) -> None:
        self.live += 1
        self.live_max = max(self.live_max, self.live)
        await anyio.lowlevel.checkpoint()
        ok, text = self.answer(call.tool, call.arguments)
        self.live -= 1
        self.record(state, "call.outcome", {"call": call.id, "ok": ok, "text": text})

    def parallel(self, call: CallState) -> bool:
        return call.tool in self.reads

    def record(self, state: RunState, kind: str, payload: JsonObject) -> None:
        self.log.append(kind)
        state.apply(kind, payload, len(self.log))


def run_steps(steps: ScriptedSteps, turns_max: int = 20, state: RunState | None = None) -> RunState:
    if state is None:
        state = started()
    anyio.run(run_loop, state, steps, LoopBounds(turns_max))
    return state


def started() -> RunState:
    """A run that has just begun."""
    state = RunState(RUN)
    state.apply("run.started", START, 0)
    return state
