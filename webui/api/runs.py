"""Runs: list, start, steer, stop, go on with, fork."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from pydantic import ConfigDict, Field

from kernel.directive import Budget, Directive, ExecEnv
from kernel.errors import Invalid
from kernel.ids import RunId
from kernel.journal.projection import Scalar
from kernel.jsontypes import JsonValue
from kernel.runtime.doubt import Resolution
from webui import runs_view, seeds
from webui.beginning import mounts_of, persona_of
from webui.desk import Desk
from webui.rest.entries import EntryOut, entry_out
from webui.rest.operation import Answer, operation
from webui.rest.paging import page_of, place_of
from webui.rest.runs import RunOut, run_out
from webui.rest.shapes import Asked, Id, Line, Message, Micros, Name, Page, Paging, Shape, Words

Status = Literal["running", "paused", "interrupted", "finished", "failed", "cancelled"]
ApprovalWord = Literal["", "manual", "allow-list", "auto"]
_BIG = 10**15


class RunRow(Shape):
    """A run in a list."""

    id: str
    seed: str
    owner: str
    status: Status
    goal: str
    persona: str
    model: str
    workspace: str
    started_us: Micros
    updated_us: Micros
    finished_us: Micros
    turns: int
    note: str
    verdict: Literal["", "passed", "failed", "undecided"] = Field(description="Of its review; empty where none was.")


class RunQuery(Paging):
    status: Status | Literal[""] = ""
    seed: Annotated[str, Field(max_length=80)] = ""


class BudgetIn(Asked):
    """What a run may spend; what is left out is unbounded, or stays as it is."""

    tokens: Annotated[int, Field(gt=0, le=_BIG)] | None = None
    calls: Annotated[int, Field(gt=0, le=_BIG)] | None = None
    micro_usd: Annotated[int, Field(gt=0, le=_BIG)] | None = None
    seconds: Annotated[float, Field(gt=0, le=86_400 * 30)] | None = None


class RunIn(Asked):
    """One agent on one goal; or on a Seed that is on record, whose goal it then has."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"goal": "Say how many lines README.md has.", "budget": {"calls": 20}}]}
    )

    goal: Annotated[str, Field(max_length=16_384)] = ""
    seed: Annotated[str, Field(max_length=80, description="Instead of a goal: a Seed's id.")] = ""
    constraints: tuple[Words, ...] = Field(default=(), max_length=200)
    criteria: tuple[Words, ...] = Field(default=(), max_length=200)
    model: Name = ""
    persona: Name = ""
    workspace: Line = ""
    approve: ApprovalWord = ""
    budget: BudgetIn = BudgetIn()


class ResumeIn(BudgetIn):
    """What is raised of the budget, and what became of a call that is in doubt."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tokens": 200000, "resolution": "skip"}]})

    resolution: Resolution | None = None


class SteerIn(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "Leave the tests alone."}]})

    text: Words


class RunAnswer(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "The second."}]})

    text: Words


class ForkIn(Asked):
    model_config = ConfigDict(json_schema_extra={"examples": [{"step": 2, "text": "Try it with awk."}]})

    step: (
        Annotated[int, Field(ge=0, le=1_000_000, description="After which of its steps; left out: the last.")] | None
    ) = None
    text: Annotated[str, Field(max_length=64_000)] = ""


class Started(Shape):
    """A run that began."""

    run: str


class EntryQuery(Asked):
    cursor: Annotated[str, Field(max_length=400)] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 100
    kind: Annotated[str, Field(max_length=64, description="Only these, e.g. `call.outcome`.")] = ""


@operation("GET", "/api/runs", "runs_list")
async def runs_list(desk: Desk, query: RunQuery) -> Page[RunRow]:
    """The newest first; of one status, or of one Seed."""
    after = place_of(query.cursor, int, str)
    rows = await runs_view.listed(
        desk,
        status=query.status,
        seed=query.seed,
        after=cast("tuple[Scalar, Scalar] | None", after),
        limit=query.limit + 1,
    )
    return page_of(rows, query.limit, _row, lambda row: (row["started_us"], row["id"]))


@operation("POST", "/api/runs", "runs_start", scope="run", status=201, once=True, headers=("Location",), faults=(404,))
async def runs_start(desk: Desk, body: RunIn) -> Answer[Started]:
    """Start an agent.

    Its capabilities derive from the user's; it works in the user's workspace unless another is named.
    """
    return await _start(desk, body)


@operation("GET", "/api/runs/{run}", "runs_get")
async def runs_get(desk: Desk, run: Id) -> RunOut:
    """Where a run stands, with its steps."""
    return run_out(desk, await desk.run(run))


@operation("GET", "/api/runs/{run}/entries", "runs_entries")
async def runs_entries(desk: Desk, run: Id, query: EntryQuery) -> Page[EntryOut]:
    """Its stream of the journal, oldest first."""
    await desk.run(run)
    place = place_of(query.cursor, int)
    found = await desk.kernel.journal.read(
        stream=run, kind=query.kind or None, after=place[0] if place else 0, limit=query.limit + 1
    )
    return page_of(found, query.limit, entry_out, lambda entry: (entry.seq,))


@operation("POST", "/api/runs/{run}/cancel", "runs_cancel", scope="run")
async def runs_cancel(desk: Desk, run: Id) -> RunOut:
    """Stop it, with every process it started; or close a paused one."""
    await desk.run(run)
    await desk.call("runs.cancel", {"run": run})
    return run_out(desk, await desk.run(run))


@operation("POST", "/api/runs/{run}/resume", "runs_resume", scope="run")
async def runs_resume(desk: Desk, run: Id, body: ResumeIn) -> Message:
    """Go on with a paused or interrupted run."""
    await desk.run(run)
    given = {key: value for key, value in body.model_dump().items() if value is not None}
    gone_on = await desk.call("runs.resume", {"run": run, **given})
    seeds.review_when_done(desk, RunId(run))
    return Message(message=gone_on.text)


@operation("POST", "/api/runs/{run}/steer", "runs_steer", scope="run")
async def runs_steer(desk: Desk, run: Id, body: SteerIn) -> Message:
    """Say something to a live agent; it hears it before its next reply."""
    await desk.run(run)
    return Message(message=(await desk.call("runs.steer", {"run": run, "text": body.text})).text)


@operation("POST", "/api/runs/{run}/answer", "runs_answer", scope="run")
async def runs_answer(desk: Desk, run: Id, body: RunAnswer) -> Message:
    """Answer what the agent asks its owner (`asks`)."""
    await runs_view.answer(desk, run, body.text)
    return Message(message="answered")


@operation("POST", "/api/runs/{run}/fork", "runs_fork", scope="run", status=201, once=True, headers=("Location",))
async def runs_fork(desk: Desk, run: Id, body: ForkIn) -> Answer[Started]:
    """A new run that goes on from a step of this one."""
    await desk.run(run)
    arguments: dict[str, JsonValue] = {"run": run, "text": body.text}
    if body.step is not None:
        arguments["step"] = body.step
    forked = (await desk.call("runs.fork", arguments)).text
    seeds.review_when_done(desk, RunId(forked))
    return _started(forked)


async def _start(desk: Desk, body: RunIn) -> Answer[Started]:
    """Raises: NotFound (seed, model, persona), Invalid, AccessDenied."""
    if bool(body.seed) == bool(body.goal.strip()):
        raise Invalid("a run is of a goal or of a seed", remedy="give one of `goal` and `seed`")
    if body.seed:
        seed = await seeds.find(desk, body.seed)
        return _started(await seeds.begin_on(desk, seed, workspace=body.workspace, approve=body.approve))
    persona = await persona_of(desk, body.persona)
    budget = body.budget
    env = ExecEnv(
        mounts=mounts_of(desk, workspace=body.workspace),
        persona=persona.id if persona else "",
        persona_prompt=persona.system_prompt if persona else "",
        persona_role=persona.role if persona else "",
        model=body.model or (persona.model if persona else ""),
        budget=Budget(budget.tokens, budget.calls, budget.micro_usd, budget.seconds),
    )
    directive = Directive(goal=body.goal, constraints=body.constraints, criteria=body.criteria)
    owner = desk.user.principal
    return _started(await desk.kernel.runs.start(directive, env, owner=owner, approve=body.approve))


def _started(run: str) -> Answer[Started]:
    return Answer(Started(run=run), {"Location": f"/api/runs/{run}"})


def _row(row: dict[str, Scalar]) -> RunRow:
    texts = {name: str(row[name] or "") for name in _TEXTS}
    times = {name: int(row[name] or 0) for name in ("started_us", "updated_us", "finished_us", "turns")}
    return RunRow.model_validate({**texts, **times})


_TEXTS = ("id", "seed", "owner", "status", "goal", "persona", "model", "workspace", "note", "verdict")
ROUTES = [
    runs_list,
    runs_start,
    runs_get,
    runs_entries,
    runs_cancel,
    runs_resume,
    runs_steer,
    runs_answer,
    runs_fork,
]
