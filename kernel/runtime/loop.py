"""The turn loop: ask the model, carry out its calls, until it answers or a bound is met.

Guarantees: every decision here is a function of the `RunState` alone, and everything that happens goes
through `Steps`. So a fresh run, a resumed one and a replay are the same code with other steps, and a
crash at any point leaves a state from which the loop goes on. Contiguous read-only calls of one
reply run together, others alone and in order.
What it does not do: bound time and money; the process and the gate do. Source: RFC-0005.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal, Protocol, TypeAlias

import anyio

from kernel.jsontypes import JsonObject
from kernel.limits import PARALLEL_CALLS_MAX, TURNS_MAX
from kernel.ports.provider import KERNEL_NOTE
from kernel.runtime.state import CallState, RunState
from kernel.runtime.stuck import monologue, stuck_pattern

Purpose: TypeAlias = Literal["turn", "summary"]

EMPTY_REPLIES_MAX: Final = 3
HINTS_MAX: Final = 1

_EMPTY_HINT: Final = f"{KERNEL_NOTE}Your reply was empty. Call a tool, or give your final answer as text."

_CUT_OFF_HINT: Final = (
    f"{KERNEL_NOTE}Your reply was cut off at its length limit. Go on exactly where it ended, in fewer words; "
    "or write long text to a file with a tool, and answer briefly."
)

_WITHHELD: Final = (
    "the provider's content filter withheld the answer, or the rest of it; say it in other words, or use another model"
)


class Steps(Protocol):
    """What the loop may do; each of them records what happened and applies it to the state."""

    async def ask(self, state: RunState, purpose: Purpose) -> None:
        """One model request: a reply is applied, or the run paused or ended."""
        ...

    async def call(self, state: RunState, call: CallState) -> None:
        """One tool call: its answer is applied, or the run paused (in doubt)."""
        ...

    def parallel(self, call: CallState) -> bool:
        """Whether the call may run beside its neighbours."""
        ...

    def record(self, state: RunState, kind: str, payload: JsonObject) -> None: ...


@dataclass(frozen=True, slots=True)
class LoopBounds:
    turns_max: int = TURNS_MAX


async def run_loop(state: RunState, steps: Steps, bounds: LoopBounds) -> None:
    """Go on from `state` until the run is no longer running."""
    while state.status == "running":
        if state.pending:
            await _carry_out_calls(state, steps)
        elif _answered(state):
            await _finish(state, steps)
        elif pattern := stuck_pattern(state):
            _tell_stuck(state, steps, pattern)
        elif state.turns >= bounds.turns_max:
            # After all else that the state alone decides: a replay knows no bounds.
            note = f"it used its {bounds.turns_max} turns; raise run.turns_max and resume it to go on"
            steps.record(state, "run.paused", {"note": note})
        else:
            await steps.ask(state, "turn")


def _answered(state: RunState) -> bool:
    """The newest message is the model's, without calls, and nobody said anything since."""
    last = state.messages[-1]
    return last.role == "assistant" and not last.calls and not state.queued


async def _carry_out_calls(state: RunState, steps: Steps) -> None:
    waiting = [call for call in state.pending if call.status != "done"]
    for together, group in groupby(waiting, steps.parallel):
        calls = list(group)
        if together and len(calls) > 1:
            await _call_together(state, steps, calls)
        else:
            for call in calls:
                if state.status == "running":
                    await steps.call(state, call)


async def _call_together(state: RunState, steps: Steps, calls: Sequence[CallState]) -> None:
    limiter = anyio.CapacityLimiter(PARALLEL_CALLS_MAX)

    async def one(call: CallState) -> None:
        async with limiter:
            if state.status == "running":
                await steps.call(state, call)

    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(one, call)


async def _finish(state: RunState, steps: Steps) -> None:
    if state.withheld:
        steps.record(state, "run.finished", {"status": "failed", "note": _WITHHELD})
    elif state.cut_off and state.output.strip():
        _go_on_with_answer(state, steps)
    elif state.output.strip():
        steps.record(state, "run.finished", {"status": "finished"})
    elif state.steps and not state.summarized:
        await steps.ask(state, "summary")
    elif state.steps:
        steps.record(state, "run.finished", {"status": "finished", "output": _plain_summary(state)})
    elif _empty_replies(state) < EMPTY_REPLIES_MAX:
        steps.record(state, "run.steered", {"text": _EMPTY_HINT, "by": "kernel"})
    else:
        note = f"the model gave {EMPTY_REPLIES_MAX} empty replies in a row; try another model"
        steps.record(state, "run.finished", {"status": "failed", "note": note})


def _go_on_with_answer(state: RunState, steps: Steps) -> None:
    """A reply that ended at its length limit is asked to go on; one that never ends is a monologue."""
    if pattern := monologue(state):
        steps.record(state, "run.finished", {"status": "failed", "note": f"stuck: {pattern}"})
    else:
        steps.record(state, "run.steered", {"text": _CUT_OFF_HINT, "by": "kernel"})


def _empty_replies(state: RunState) -> int:
    replies = [message for message in state.messages if message.role == "assistant"]
    count = 0
    for reply in reversed(replies):
        if reply.text.strip() or reply.calls:
            break
        count += 1
    return count


def _plain_summary(state: RunState) -> str:
    """What was done, from the record alone, where the model would not say."""
    lines = [f"{number}. {step.tool}: {'ok' if step.ok else 'failed'}" for number, step in enumerate(state.steps, 1)]
    return "The model gave no final answer. What was done:\n" + "\n".join(lines)


def _tell_stuck(state: RunState, steps: Steps, pattern: str) -> None:
    """Say once what repeats; where it goes on repeating, end the run."""
    if state.hints < HINTS_MAX:
        text = f"{KERNEL_NOTE}You are repeating yourself: {pattern}. Change the approach, or report what blocks you."
        steps.record(state, "run.steered", {"text": text, "by": "kernel", "hint": True})
    else:
        steps.record(state, "run.finished", {"status": "failed", "note": f"stuck: {pattern}"})
