"""The list of runs and the inspector of one.

Guarantees: who may see a run sees all of it: each step's request and reply, each call's decision and
the capability it rested on, as the journal has them. What changes a run is a syscall of the user.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from kernel.errors import Invalid
from kernel.ids import RunId
from kernel.jsontypes import JsonValue
from kernel.runtime.state import TERMINAL
from ouroboros.seedbook import read_stream
from webui import runs_view
from webui.desk import Desk
from webui.drawing import Drawing
from webui.forms import Form, Part, decimal, redirected, whole
from webui.navigation import NavItem
from webui.pages.runs.inspect import compared, request_of, timeline_of
from webui.record import of_run
from webui.view import page, part

NAV = NavItem("Runs", "/runs", "activity", 30, keys="g r")
RUNS_SHOWN: Final = 50
_MICRO: Final = 1_000_000


@get("/runs", include_in_schema=False)
async def index(
    desk: Desk, status: FromQuery[str] = "", seed: FromQuery[str] = "", before: FromQuery[int] = 0, part_: Part = ""
) -> Response[str]:
    """The newest first; `before` (microseconds) pages back."""
    model: dict[str, Any] = {
        "rows": await _rows(desk, status, seed, before),
        "status": status,
        "statuses": runs_view.STATUSES,
        "seed": seed,
    }
    if part_ == "list":
        return part(desk, "runs/list.html", before=before, limit=RUNS_SHOWN, **model)
    return page(desk, "runs/index.html", title="Runs", before=before, limit=RUNS_SHOWN, **model)


@get("/runs/compare", include_in_schema=False)
async def choose(request: Request[Any, Any, Any]) -> Redirect:
    """The two that were chosen in the list, side by side."""
    chosen = request.query_params.getall("run", [])
    if len(chosen) != 2:  # noqa: PLR2004 -- two are compared
        raise Invalid(f"{len(chosen)} runs were chosen", remedy="choose two in the list of runs")
    return Redirect("/runs/{}/compare/{}".format(*(quote(one, safe="") for one in chosen)))


@get("/runs/{run_id:str}", include_in_schema=False)
async def show(desk: Desk, run_id: FromPath[str], part_: Part = "") -> Response[str]:
    """One run: where it stands, and everything it did."""
    state = await desk.run(run_id)
    loaded = await of_run(desk.kernel.journal, state.run)
    timeline = loaded.page
    may = runs_view.may_change(desk, state)
    drawing = Drawing(desk.kernel, desk.house.asker, desk.house.views, names=loaded.names, may=may)
    model: dict[str, Any] = {
        "run": state,
        "live": desk.kernel.runs.live(state.run),
        "over": state.status in TERMINAL,
        "steps": timeline_of(timeline),
        "html": drawing.draw(timeline.since(0)),
        "seq": timeline.seq,
        "may": may,
    }
    if part_ == "run":
        return part(desk, "runs/run.html", **model)
    return page(desk, "runs/show.html", title=f"Run {state.run}", **model)


@get("/runs/{run_id:str}/steps/{number:int}", include_in_schema=False)
async def step(desk: Desk, run_id: FromPath[str], number: FromPath[int]) -> Response[str]:
    """What the model was sent at a step, whole."""
    state = await desk.run(run_id)
    entries = await read_stream(desk.kernel.journal, state.run)
    messages = request_of(state.run, entries, number)
    return part(desk, "runs/request.html", messages=messages, number=number, run=state)


@get("/runs/{run_id:str}/calls/{call:str}/diff", include_in_schema=False)
async def diff(desk: Desk, run_id: FromPath[str], call: FromPath[str]) -> Response[str]:
    """What a file change replaced, line by line, from the contents that were kept."""
    path, lines = await runs_view.diff_of(desk, run_id, call)
    return part(desk, "runs/diff.html", lines=lines, path=path)


@post("/runs/{run_id:str}/calls/{call:str}/undo", include_in_schema=False, status_code=200)
async def undo(desk: Desk, run_id: FromPath[str], call: FromPath[str]) -> dict[str, str]:
    """Put back what a file change replaced. Refused where the file changed since."""
    return {"message": (await runs_view.undo(desk, run_id, call)).text}


@post("/runs/{run_id:str}/cancel", include_in_schema=False, status_code=204)
async def cancel(desk: Desk, run_id: FromPath[str]) -> None:
    await desk.run(run_id)
    await desk.call("runs.cancel", {"run": run_id})


@post("/runs/{run_id:str}/resume", include_in_schema=False, status_code=204)
async def resume(desk: Desk, run_id: FromPath[str], data: Form) -> None:
    """Go on, with what the form raises of the budget, and what became of a call in doubt."""
    await desk.run(run_id)
    arguments: dict[str, JsonValue] = {"run": run_id}
    if data.get("resolution"):
        arguments["resolution"] = data["resolution"]
    for name in ("tokens", "calls", "seconds"):
        if (number := whole(data, name)) is not None:
            arguments[name] = number
    if (usd := decimal(data, "usd")) is not None:
        arguments["micro_usd"] = round(usd * _MICRO)
    await desk.call("runs.resume", arguments)


@post("/runs/{run_id:str}/steer", include_in_schema=False, status_code=204)
async def steer(desk: Desk, run_id: FromPath[str], data: Form) -> None:
    await desk.run(run_id)
    await desk.call("runs.steer", {"run": run_id, "text": data.get("text", "")})


@post("/runs/{run_id:str}/answer", include_in_schema=False, status_code=204)
async def answer(desk: Desk, run_id: FromPath[str], data: Form) -> None:
    """What the agent asked its owner."""
    await runs_view.answer(desk, run_id, data.get("text", ""))


@post("/runs/{run_id:str}/fork", include_in_schema=False)
async def fork(desk: Desk, run_id: FromPath[str], data: Form) -> Response[str]:
    """A new run that goes on from a step of this one."""
    await desk.run(run_id)
    arguments: dict[str, JsonValue] = {"run": run_id, "text": data.get("text", "")}
    if (number := whole(data, "step")) is not None:
        arguments["step"] = number
    made = await desk.call("runs.fork", arguments)
    return redirected(f"/runs/{made.text}")


@post("/runs/{run_id:str}/replay", include_in_schema=False, status_code=200)
async def replayed(desk: Desk, run_id: FromPath[str]) -> Response[str]:
    """Run the record again, with no model and no tool, and say whether it ends as it did."""
    again = await runs_view.replayed(desk, run_id)
    return part(desk, "runs/replay.html", done=again.done, same=again.same)


@get("/runs/{run_id:str}/export", include_in_schema=False)
async def export(desk: Desk, run_id: FromPath[str]) -> Response[str]:
    """Every entry of the run, one JSON object a line."""
    await desk.run(run_id)
    lines = runs_view.lines_of(await read_stream(desk.kernel.journal, RunId(run_id)))
    named = {"Content-Disposition": f'attachment; filename="{run_id}.jsonl"'}
    return Response(lines, media_type="application/jsonl", headers=named)


@get("/runs/{run_id:str}/compare/{other_id:str}", include_in_schema=False)
async def compare(desk: Desk, run_id: FromPath[str], other_id: FromPath[str]) -> Response[str]:
    """Two runs side by side, step by step."""
    one, other = await desk.run(run_id), await desk.run(other_id)
    pages = [await of_run(desk.kernel.journal, state.run) for state in (one, other)]
    rows = compared(*(timeline_of(loaded.page) for loaded in pages))
    return page(desk, "runs/compare.html", title="Two runs", one=one, other=other, rows=rows)


async def _rows(desk: Desk, status: str, seed: str, before: int) -> list[dict[str, Any]]:
    after = (before, "") if before else None
    return list(await runs_view.listed(desk, status=status, seed=seed, after=after, limit=RUNS_SHOWN))


ROUTES = [
    index,
    choose,
    show,
    step,
    diff,
    undo,
    cancel,
    resume,
    steer,
    answer,
    fork,
    replayed,
    export,
    compare,
]
