"""What runs, what waits, what it cost, whether all is well, and what just happened.

Guarantees: each part is of what the user may see; health is what `/ready` answers and what the engine's
breakers say now.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Response, get

from kernel.gate.approval_record import row_of
from kernel.ids import RunId
from kernel.journal.entry import Entry
from webui.desk import Desk
from webui.figures import spent_micro_usd
from webui.forms import Part
from webui.navigation import NavItem
from webui.pages.home.feed import told
from webui.runs_view import status_now
from webui.view import page, part

NAV = NavItem("Home", "/", "house", 0, keys="g h")
FEED_SHOWN: Final = 30
_FEED_READ: Final = 400


@get("/", include_in_schema=False)
async def index(desk: Desk, part_: Part = "") -> Response[str]:
    """Everything at a glance."""
    model = await _model(desk)
    if part_ == "home":
        return part(desk, "home/home.html", **model)
    return page(desk, "home/index.html", title="Home", **model)


async def _model(desk: Desk) -> dict[str, Any]:
    kernel = desk.kernel
    engine = kernel.supervisor.desk.engine
    own = {"status": "active", "owner": desk.user.principal}
    running = await desk.rows("runs", {"status": "running"}, order="started_us", descending=True, limit=20)
    recent = await desk.rows("runs", order="started_us", descending=True, limit=8)
    pending = await desk.rows("approvals", {"status": "pending"}, order="asked_us", limit=20)
    return {
        "running": [row for row in running if kernel.runs.live(RunId(str(row["id"])))],
        "recent": [{**row, "status": status_now(desk, str(row["id"]), row["status"])} for row in recent],
        "approvals": [row_of(row) for row in pending],
        "feed": await _feed(desk),
        "journal": {
            "size": kernel.journal.size,
            "writable": kernel.journal.writable,
            "trouble": kernel.journal.trouble,
        },
        "tier": kernel.settings.sandbox.tier,
        "model": kernel.settings.model.default,
        "spent": spent_micro_usd(desk.house.metrics) if desk.sees_all else None,
        "held": [one for one in engine.breakers() if one.state != "closed"] if desk.sees_all else [],
        "resting": engine.cooling() if desk.sees_all else (),
        "sessions": await desk.rows("sessions", own, order="updated_us", descending=True, limit=5),
    }


async def _feed(desk: Desk) -> list[tuple[Entry, str]]:
    """The newest entries that a person would want to hear of, the newest first."""
    journal = desk.kernel.journal
    entries = await journal.read(after=max(0, journal.size - _FEED_READ), limit=_FEED_READ)
    said = [(entry, told(entry)) for entry in entries if desk.sees(entry.stream)]
    return [pair for pair in said if pair[1]][-FEED_SHOWN:][::-1]


ROUTES = [index]
