"""Runs as pages and API show and handle them.

Guarantees: a run that the journal calls running and that no process carries is `interrupted`, everywhere.
Who may see a run sees all of it; what changes one is a syscall of the user.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from kernel.directive import Mount
from kernel.errors import AccessDenied, NotFound
from kernel.handle.undo import undoable_mark
from kernel.ids import Digest, RunId
from kernel.journal.entry import Entry
from kernel.journal.projection import Scalar
from kernel.runtime.history import read_history
from kernel.runtime.replay import Replayed, replay, same_state
from kernel.runtime.state import RunState
from kernel.syscalls.declare import ToolResult
from kernel.tools.change import read_mark
from webui.desk import Desk
from webui.items import CallItem
from webui.record import of_run
from webui.toolview import diff_lines

STATUSES: Final = ("running", "paused", "interrupted", "finished", "failed", "cancelled")
_BATCH: Final = 200

Place = tuple[Scalar, Scalar]


def status_now(desk: Desk, run: str, status: object) -> str:
    """Its status, where the journal has `status`."""
    return "interrupted" if status == "running" and not desk.kernel.runs.live(RunId(run)) else str(status)


async def listed(
    desk: Desk, *, status: str = "", seed: str = "", after: Place | None = None, limit: int
) -> list[dict[str, Scalar]]:
    """The newest first, those after the place (`started_us`, id) of a row."""
    stored = "running" if status == "interrupted" else status
    where: dict[str, Scalar] = {key: value for key, value in (("status", stored), ("seed", seed)) if value}
    shown: list[dict[str, Scalar]] = []
    async for row in _rows(desk, where, after):
        now = status_now(desk, str(row["id"]), row["status"])
        if not status or now == status:
            shown.append({**row, "status": now})
        if len(shown) >= limit:
            break
    return shown


async def _rows(desk: Desk, where: dict[str, Scalar], after: Place | None) -> AsyncIterator[dict[str, Scalar]]:
    while True:
        rows = await desk.rows("runs", where, order="started_us", descending=True, limit=_BATCH, after=after)
        for row in rows:
            yield row
        if len(rows) < _BATCH:
            return
        after = rows[-1]["started_us"], rows[-1]["id"]


async def diff_of(desk: Desk, run: str, call: str) -> tuple[str, list[tuple[str, str]]]:
    """The file that a call changed, and what it replaced line by line, from the contents that were kept.

    Raises: NotFound.
    """
    await desk.run(run)
    item = (await of_run(desk.kernel.journal, RunId(run))).page.call(call)
    if item is None or not item.mark:
        raise NotFound(f"the call {call!r} of run {run} changed no file", remedy="its steps name its calls")
    before = await content(desk, item.mark.get("before"))
    return item.target, diff_lines(before, await _after(desk, item, before))


async def _after(desk: Desk, item: CallItem, before: str) -> str:
    """What the file held afterwards: what it replaced is kept, and what was asked for stands in the call."""
    digest, args = item.mark.get("after"), item.args
    if item.tool == "write":
        made = str(args.get("content", ""))
    else:
        old, new = str(args.get("old", "")), str(args.get("new", ""))
        if old not in before:  # In a file of CRLF lines the tool takes LF for those.
            old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
        made = before.replace(old, new) if args.get("replace_all") else before.replace(old, new, 1)
    if digest is None or sha256(made.encode()).hexdigest() == digest:
        return made if digest is not None else ""
    return await content(desk, digest)


async def content(desk: Desk, digest: object) -> str:
    """What was kept under a digest, as text; empty for none."""
    if not isinstance(digest, str):
        return ""
    return (await desk.kernel.journal.blob(Digest(digest))).decode(errors="replace")


async def output_of(desk: Desk, run: str, call: str) -> bytes:
    """The whole output of a call that ended. Raises: NotFound."""
    state = await desk.run(run)
    known = {step.call: (step.blob, step.text) for step in state.steps}
    known |= {one.id: (one.blob, one.text) for one in state.pending if one.status == "done"}
    if call not in known:
        raise NotFound(f"run {run} has no output of a call {call!r}", remedy="its steps name its calls")
    blob, text = known[call]
    return await desk.kernel.journal.blob(Digest(blob)) if blob else text.encode()


async def undo(desk: Desk, run: str, call: str) -> ToolResult:
    """Put back what a file change replaced. Raises: Conflict, where the file changed since; NotFound."""
    await desk.run(run)
    if call.rpartition(".")[0] != run:
        raise NotFound(f"run {run} has no call {call!r}", remedy="its steps name its calls")
    place = read_mark(await undoable_mark(desk.kernel.journal, call))
    handle = desk.kernel.handle(desk.user.principal, mounts=(Mount(place.mount),))
    return await handle.call("undo", {"call": call, "path": f"{place.mount.rstrip('/')}/{place.inner}"})


def may_change(desk: Desk, state: RunState) -> bool:
    """Whether acts on a run are offered: it is the user's own, and they may work with runs."""
    return state.owner == desk.user.principal and desk.may("kernel:runs", "w")


async def answer(desk: Desk, run: str, text: str) -> None:
    """What an agent asked its owner. Raises: AccessDenied, for anybody else; NotFound, where it waits for nothing."""
    state = await desk.run(run)
    if not may_change(desk, state):
        raise AccessDenied(
            f"run {run} does not ask you", layer="owner", remedy="its owner answers", need="kernel:runs w"
        )
    desk.house.asker.answer(state.run, text)


@dataclass(frozen=True, slots=True)
class Again:
    """What a replay came to."""

    done: Replayed
    same: bool


async def replayed(desk: Desk, run: str) -> Again:
    """Run the record again, with no model and no tool. Raises: NotFound; Invalid, where some of it was erased."""
    await desk.run(run)
    history = await read_history(desk.kernel.journal, RunId(run))
    if history.erased is not None:
        raise history.lost(history.erased)
    done = await replay(history.run, history.prefix, history.entries)
    return Again(done, done.divergence is None and same_state(done.state, history.state()))


def lines_of(entries: list[Entry]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(entry.json(), ensure_ascii=False) + "\n" for entry in entries)
