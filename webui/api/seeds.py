"""Seeds: list, submit, one with its runs, lineage, verdict."""

from __future__ import annotations

from typing import Any, Literal, cast

from pydantic import ConfigDict, Field

from kernel.ids import RunId
from kernel.journal.projection import Scalar
from ouroboros.seed import Seed, SeedSpec
from webui import seeds
from webui.desk import Desk
from webui.rest.operation import Answer, operation
from webui.rest.paging import page_of, place_of
from webui.rest.shapes import Asked, Id, Json, Line, Micros, Page, Paging, Shape
from webui.runs_view import status_now


class SeedRow(Shape):
    """A Seed in a list."""

    id: str
    parent: str
    generation: int
    goal: str
    created_us: Micros
    digest: str
    source: str


class SeedRun(Shape):
    run: str
    status: str
    verdict: Literal["", "passed", "failed", "undecided"] = Field(description="Of its review; empty where none was.")
    started_us: Micros


class SeedOut(Shape):
    """A Seed whole, and the runs of it that the user may see."""

    id: str
    generation: int
    parent: str
    digest: str
    created_us: Micros
    spec: dict[str, Json] = Field(description="As it was written: see the body of `seeds_submit`.")
    runs: list[SeedRun]


class SeedIn(Asked):
    """A specification, and where and how it is carried out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "spec": {
                        "goal": "Write haiku.txt: a haiku about rain.",
                        "criteria": ["file haiku.txt exists"],
                        "budget": {"calls": 20},
                    }
                }
            ]
        }
    )

    spec: SeedSpec
    workspace: Line = ""
    approve: Literal["", "manual", "allow-list", "auto"] = ""


class Submitted(Shape):
    seed: str
    run: str


class Lineage(Shape):
    """Its forebears, the oldest first, and what descends from it directly."""

    above: list[SeedRow]
    below: list[SeedRow]


class VerdictOut(Shape):
    """Of its newest run that was reviewed; null where none was."""

    run: str | None
    verdict: dict[str, Json] | None


@operation("GET", "/api/seeds", "seeds_list")
async def seeds_list(desk: Desk, query: Paging) -> Page[SeedRow]:
    """The newest first."""
    after = cast("tuple[Scalar, Scalar] | None", place_of(query.cursor, int, str))
    rows = await seeds.listed(desk, after=after, limit=query.limit + 1)
    return page_of(rows, query.limit, _row, lambda row: (row["created_us"], row["id"]))


@operation(
    "POST", "/api/seeds", "seeds_submit", scope="run", status=201, once=True, headers=("Location",), faults=(404,)
)
async def seeds_submit(desk: Desk, body: SeedIn) -> Answer[Submitted]:
    """Record a Seed and begin its run, which is reviewed when it has finished."""
    seed, run = await seeds.carry(desk, body.spec, workspace=body.workspace, approve=body.approve)
    return Answer(Submitted(seed=seed.id, run=run), {"Location": f"/api/seeds/{seed.id}"})


@operation("GET", "/api/seeds/{seed}", "seeds_get")
async def seeds_get(desk: Desk, seed: Id) -> SeedOut:
    """A Seed whole, with its runs."""
    found = await seeds.find(desk, seed)
    runs = await desk.rows("runs", {"seed": found.id}, order="started_us")
    return SeedOut(
        id=found.id,
        generation=found.generation,
        parent=found.parent or "",
        digest=found.digest,
        created_us=found.created_us,
        spec=_spec(found),
        runs=[
            SeedRun(
                run=str(row["id"]),
                status=status_now(desk, str(row["id"]), row["status"]),
                verdict=cast("Any", row["verdict"] or ""),
                started_us=int(row["started_us"] or 0),
            )
            for row in runs
        ],
    )


@operation("GET", "/api/seeds/{seed}/lineage", "seeds_lineage")
async def seeds_lineage(desk: Desk, seed: Id) -> Lineage:
    """Where it comes from, and what was made of it."""
    found = await seeds.find(desk, seed)
    above, below = await seeds.lineage(desk, found)
    return Lineage(above=[_row(row) for row in above], below=[_row(row) for row in below])


@operation("GET", "/api/seeds/{seed}/verdict", "seeds_verdict")
async def seeds_verdict(desk: Desk, seed: Id) -> VerdictOut:
    """How its newest reviewed run was judged, with the evidence."""
    await seeds.find(desk, seed)
    for row in await desk.rows("runs", {"seed": seed}, order="started_us", descending=True):
        state = await desk.kernel.runs.state(RunId(str(row["id"])))
        if state.verdict is not None:
            return VerdictOut(run=state.run, verdict=dict(state.verdict))
    return VerdictOut(run=None, verdict=None)


def _spec(seed: Seed) -> dict[str, Any]:
    own = {"id", "generation", "parent", "created_us"}
    return {key: value for key, value in seed.payload().items() if key not in own}


def _row(row: dict[str, Scalar]) -> SeedRow:
    texts = {name: str(row[name] or "") for name in ("id", "parent", "goal", "digest", "source")}
    numbers = {name: int(row[name] or 0) for name in ("generation", "created_us")}
    return SeedRow.model_validate({**texts, **numbers})


ROUTES = [seeds_list, seeds_submit, seeds_get, seeds_lineage, seeds_verdict]
