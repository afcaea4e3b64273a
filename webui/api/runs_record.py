"""A run's record taken apart: requests, outputs, changes, replay, export, two runs side by side."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from litestar.response.base import ASGIResponse
from pydantic import Field

from kernel.ids import RunId
from kernel.runtime.text import page_bytes
from ouroboros.seedbook import read_stream
from webui import runs_view
from webui.desk import Desk
from webui.pages.runs.inspect import compared, request_of, timeline_of
from webui.record import of_run
from webui.rest.operation import operation
from webui.rest.shapes import Id, Message, Nothing, Shape

Number = Annotated[int, Field(ge=1, le=1_000_000)]
LINES = "application/jsonl"


class ToolCallOut(Shape):
    id: str
    name: str
    arguments: str


class SaidOut(Shape):
    """One message of what a model was sent."""

    role: str
    text: str
    calls: list[ToolCallOut]
    call: str = Field(description="Of a tool's answer: which call it answers.")
    failed: bool
    attachments: list[str]


class RequestOut(Shape):
    number: int
    messages: list[SaidOut]


class DiffLine(Shape):
    sign: Literal["+", "-", " ", "@"]
    text: str


class DiffOut(Shape):
    path: str
    lines: list[DiffLine]


class OutputQuery(Nothing):
    offset: Annotated[int, Field(ge=0, le=2**40, description="First byte.")] = 0
    limit: Annotated[int, Field(ge=1, le=1024 * 1024, description="Bytes at most.")] = 64 * 1024


class OutputOut(Shape):
    """Part of what a tool gave back. `text` is cut between characters."""

    text: str
    start: int
    end: int
    size_bytes: int


class ReplayOut(Shape):
    """`same`: it ended in the state that the record ends in."""

    same: bool
    entries: int
    turns: int
    calls: int
    diverged: str = Field(description="Where, and how; empty where it did not.")


class PairOut(Shape):
    number: int
    one: str | None = Field(description="What this step did, in one line.")
    other: str | None
    same: bool


class ComparedOut(Shape):
    steps: list[PairOut]


@operation("GET", "/api/runs/{run}/steps/{number}", "runs_request")
async def runs_request(desk: Desk, run: Id, number: Number) -> RequestOut:
    """What the model was sent at a step, whole."""
    state = await desk.run(run)
    messages = request_of(state.run, await read_stream(desk.kernel.journal, state.run), number)
    said: list[dict[str, Any]] = [
        {
            "role": one.role,
            "text": one.text,
            "calls": [{"id": made.id, "name": made.name, "arguments": made.arguments} for made in one.calls],
            "call": one.call_id,
            "failed": one.is_error,
            "attachments": [file.name for file in one.attachments],
        }
        for one in messages
    ]
    return RequestOut.model_validate({"number": number, "messages": said})


@operation("GET", "/api/runs/{run}/calls/{call}/output", "runs_output")
async def runs_output(desk: Desk, run: Id, call: Id, query: OutputQuery) -> OutputOut:
    """What a tool gave back, whole, page by page."""
    content = await runs_view.output_of(desk, run, call)
    start = end = len(content)
    if query.offset < len(content):
        start, end = page_bytes(content, query.offset, query.limit)
    text = content[start:end].decode(errors="replace")
    return OutputOut(text=text, start=start, end=end, size_bytes=len(content))


@operation("GET", "/api/runs/{run}/calls/{call}/diff", "runs_diff")
async def runs_diff(desk: Desk, run: Id, call: Id) -> DiffOut:
    """What a file change replaced, line by line."""
    path, lines = await runs_view.diff_of(desk, run, call)
    return DiffOut.model_validate({"path": path, "lines": [{"sign": sign, "text": text} for sign, text in lines]})


@operation("POST", "/api/runs/{run}/calls/{call}/undo", "runs_undo", scope="run")
async def runs_undo(desk: Desk, run: Id, call: Id) -> Message:
    """Put back what a file change replaced; refused where the file has changed since."""
    return Message(message=(await runs_view.undo(desk, run, call)).text)


@operation("POST", "/api/runs/{run}/replay", "runs_replay", scope="read")
async def runs_replay(desk: Desk, run: Id) -> ReplayOut:
    """Run the record again, with no model and no tool."""
    again = await runs_view.replayed(desk, run)
    found, state = again.done.divergence, again.done.state
    return ReplayOut(
        same=again.same,
        entries=again.done.entries,
        turns=state.turns,
        calls=state.calls_made,
        diverged=f"entry {found.seq}: expected {found.expected}, found {found.found}" if found else "",
    )


@operation("GET", "/api/runs/{run}/export", "runs_export", media=LINES, headers=("Content-Disposition",))
async def runs_export(desk: Desk, run: Id) -> ASGIResponse:
    """Every entry of the run, one JSON object a line."""
    await desk.run(run)
    lines = runs_view.lines_of(await read_stream(desk.kernel.journal, RunId(run)))
    named = {"Content-Disposition": f'attachment; filename="{run}.jsonl"'}
    return ASGIResponse(body=lines.encode(), media_type=LINES, headers=named)


@operation("GET", "/api/runs/{run}/compare/{other}", "runs_compare")
async def runs_compare(desk: Desk, run: Id, other: Id) -> ComparedOut:
    """Two runs side by side, step by step."""
    states = [await desk.run(run), await desk.run(other)]
    pages = [timeline_of((await of_run(desk.kernel.journal, state.run)).page) for state in states]
    pairs: list[dict[str, Any]] = [
        {
            "number": pair.number,
            "one": pair.one.did if pair.one else None,
            "other": pair.other.did if pair.other else None,
            "same": pair.same,
        }
        for pair in compared(*pages)
    ]
    return ComparedOut.model_validate({"steps": pairs})


ROUTES = [
    runs_request,
    runs_output,
    runs_diff,
    runs_undo,
    runs_replay,
    runs_export,
    runs_compare,
]
