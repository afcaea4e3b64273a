"""What stands beside a conversation: who answers, what it cost, how full the window is, what it touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kernel.engine.routes import model_of_run
from ouroboros.sessionglance import Glance
from webui.desk import Desk
from webui.items import CallItem, RunItem, StepItem
from webui.record import Loaded, of_session
from webui.rooms import TURNS_SHOWN
from webui.toolview import change_of


@dataclass(frozen=True, slots=True)
class Touched:
    """A file that the newest turns changed."""

    path: str
    calls: tuple[CallItem, ...]
    """The oldest first."""
    added: int
    removed: int
    undone: bool


async def details_of(desk: Desk, seen: Glance, loaded: Loaded | None = None) -> dict[str, Any]:
    """The model of `details.html`, of the turns that the page shows; `loaded` where they were read already."""
    session = seen.session
    page = loaded.page if loaded else desk.house.rooms.page(session.id)
    page = page or (await of_session(desk.kernel.journal, session.id, turns=TURNS_SHOWN)).page
    items = list(page.items.values())
    steps = [item for item in items if isinstance(item, StepItem) and item.replied]
    model = model_of_run(session.model, session.persona, desk.kernel.settings)
    window = desk.kernel.supervisor.desk.window_of(model)
    used = steps[-1].usage.get("in", 0) + steps[-1].usage.get("out", 0) if steps else 0
    turn = session.turn
    return {
        "session": session,
        "turns": seen.turns,
        "whole": seen.whole,
        "model_now": steps[-1].model if steps else model,
        "window": window,
        "used": used,
        "used_percent": min(100, round(100 * used / window)) if window else 0,
        "touched": touched_in([item for item in items if isinstance(item, CallItem)]),
        "lineage": list(turn.generations) if turn is not None else [],
        "runs": sorted({item.run for item in items if isinstance(item, RunItem)}, reverse=True),
    }


def touched_in(calls: list[CallItem]) -> list[Touched]:
    """Files that were written, the newest first."""
    found: dict[str, list[CallItem]] = {}
    for call in calls:
        if call.kind == "edit" and call.state == "done":
            found.setdefault(call.target, []).append(call)
    return [_touched(path, made) for path, made in reversed(found.items())]


def _touched(path: str, made: list[CallItem]) -> Touched:
    stands = [change for call in made if not call.undone and (change := change_of(call.tool, call.args))]
    added, removed = sum(one.added for one in stands), sum(one.removed for one in stands)
    return Touched(path, tuple(made), added, removed, all(call.undone for call in made))
