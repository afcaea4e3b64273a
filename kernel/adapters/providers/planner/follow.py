"""Where a program stands after the calls made so far, and what is to be done next.

Guarantees: a pure function of program and calls. Calls are matched to actions in order, so a run
goes on at the right place after a crash, and what was said later comes after what was said before.
A failed call is not tried again: what depends on it is left undone, the rest is done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from kernel.adapters.providers.planner.program import Action, Program, Step
from kernel.adapters.providers.planner.results import render, shown
from kernel.adapters.providers.planner.toolbox import Unfit
from kernel.adapters.providers.planner.transcript import Made
from kernel.limits import PARALLEL_CALLS_MAX
from kernel.ports.provider import ToolCall

State: TypeAlias = Literal["done", "failed", "skipped", "not_understood", "aside", "open"]

_UNDONE: Final = frozenset(("failed", "skipped", "not_understood"))


@dataclass(slots=True)
class Progress:
    """How one step went. `why` says what was in the way."""

    step: Step
    state: State = "open"
    why: str = ""
    shown: str | None = None
    """What the step gives, where it gives something of its own."""


@dataclass(slots=True)
class Position:
    """`calls` to make now; where there are none, everything has been tried."""

    progress: list[Progress] = field(default_factory=list[Progress])
    undone: list[Progress] = field(default_factory=list[Progress])
    made: dict[int, tuple[Action, Made]] = field(default_factory=dict[int, tuple[Action, Made]])
    calls: list[ToolCall] = field(default_factory=list[ToolCall])

    def has(self, action: int) -> bool:
        """Whether this action was carried out and gave a result."""
        return action in self.made and not self.made[action][1].failed


def follow(program: Program, calls: Sequence[Made]) -> Position:
    position = Position()
    remaining = iter(calls)
    for step in program.steps:
        if position.calls and step.group != position.progress[-1].step.group:
            break
        progress = Progress(step)
        _obstacle(progress, position)
        position.progress.append(progress)
        if progress.state == "open" and not _advance(progress, position, remaining):
            break
        if progress.state in _UNDONE:
            position.undone.append(progress)
    return position


def _obstacle(progress: Progress, position: Position) -> None:
    """Settle a step that is not to be tried."""
    step = progress.step
    if step.problem:
        progress.state, progress.why = "not_understood", step.problem
    elif step.aside:
        progress.state = "aside"
    else:
        before = position.progress[-1] if position.progress else None
        for earlier in position.undone:
            if _depends(step, earlier, position, next_to=earlier is before):
                progress.state, progress.why = "skipped", f'it depends on "{earlier.step.source}", which was not done'
                return


def _depends(step: Step, earlier: Progress, position: Position, *, next_to: bool) -> bool:
    """By a result it uses, by "then", by a file that was to be made, or by running a program after a change."""
    before = earlier.step
    missing = {action.number for action in before.actions if not position.has(action.number)}
    if any(ref.action in missing for ref in step.refs()):
        return True
    if step.turn != before.turn:
        return False  # Whoever spoke again knew what had failed.
    return (
        (step.linked and next_to)
        or not before.makes.isdisjoint(step.reads | step.makes)
        or (step.runs and bool(before.makes or before.runs))
    )


def _advance(progress: Progress, position: Position, remaining: Iterator[Made]) -> bool:
    """Match the step's actions with calls already made, or make them next. True where later steps may follow."""
    for action in progress.step.actions:
        if position.calls and not _joins(action, position):
            return False
        _take(action, progress, position, remaining)
        if position.calls and not action.together:
            return False
    if not position.calls:
        _conclude(progress, position)
    return True


def _joins(action: Action, position: Position) -> bool:
    """Whether an action may go out in one reply with those before it."""
    ready = all(ref.action in position.made for ref in action.uses)
    return action.together and ready and len(position.calls) < PARALLEL_CALLS_MAX


def _take(action: Action, progress: Progress, position: Position, remaining: Iterator[Made]) -> None:
    args: object = action.args
    if action.uses:
        if not all(position.has(ref.action) for ref in action.uses):
            return  # The step has failed already: what this needs was not to be had.
        try:
            args = render(action.args, position.made)
        except Unfit as unfit:
            progress.state, progress.why = "failed", str(unfit)
            return
    # Calls that another model made in between are passed over.
    made = next((one for one in remaining if one.tool == action.tool), None)
    if made is None:
        arguments = json.dumps(args, ensure_ascii=False)
        position.calls.append(ToolCall(f"step_{action.number + 1}", action.tool, arguments))
        return
    position.made[action.number] = (action, made)
    if made.failed and progress.state == "open":
        progress.state, progress.why = "failed", made.text


def _conclude(progress: Progress, position: Position) -> None:
    if progress.state != "open":
        return
    progress.state = "done"
    if progress.step.shows is not None:
        try:
            progress.shown = shown(progress.step.shows, position.made)
        except Unfit as unfit:
            progress.state, progress.why = "failed", str(unfit)
