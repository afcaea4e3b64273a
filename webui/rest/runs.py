"""A run as the API has it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from pydantic import Field

from kernel.runtime.facts import facts_of
from kernel.runtime.state import RunState
from webui.desk import Desk
from webui.rest.shapes import Json, Micros, Shape, Usd
from webui.runs_view import status_now


class StepOut(Shape):
    """A tool call that ended."""

    call: str
    tool: str
    arguments: str = Field(description="As the model wrote them: JSON, as a rule.")
    ok: bool
    text: str = Field(description="What the model was given back; see the call's output for all of it.")


class PendingOut(Shape):
    call: str
    tool: str
    status: Literal["waiting", "intended", "in_doubt", "done"]


class MountOut(Shape):
    path: str
    mode: Literal["ro", "rw"]


class BudgetOut(Shape):
    """null is unbounded."""

    tokens_max: int | None
    calls_max: int | None
    micro_usd_max: Usd | None
    seconds_max: float | None


class AskedOut(Shape):
    """What an agent asks its owner, and waits for."""

    question: str
    choices: list[str]


class RunOut(Shape):
    """A run as it stands."""

    id: str
    seed: str
    owner: str
    parent: str = Field(description="The run that it was forked from.")
    status: Literal["running", "paused", "interrupted", "finished", "failed", "cancelled"]
    live: bool
    goal: str
    constraints: list[str]
    criteria: list[str]
    mounts: list[MountOut]
    budget: BudgetOut
    persona: str
    model: str
    approve: str
    output: str
    note: str
    turns: int
    calls: int
    tokens_in: int
    tokens_out: int
    cost_micro_usd: Usd
    started_us: Micros
    updated_us: Micros
    resumes: int
    verdict: dict[str, Json] | None
    steps: list[StepOut]
    pending: list[PendingOut]
    asks: AskedOut | None = Field(description="`runs_answer` answers it.")


def run_out(desk: Desk, state: RunState) -> RunOut:
    waiting = desk.house.asker.waiting(state.run)
    values: dict[str, Any] = {
        **facts_of(state),
        "id": state.run,
        "status": status_now(desk, state.run, state.status),
        "live": desk.kernel.runs.live(state.run),
        "constraints": list(state.directive.constraints),
        "criteria": list(state.directive.criteria),
        "mounts": [asdict(mount) for mount in state.env.mounts],
        "budget": asdict(state.env.budget),
        "approve": state.approve,
        "asks": {"question": waiting.question, "choices": list(waiting.choices)} if waiting is not None else None,
    }
    return RunOut.model_validate(values)
