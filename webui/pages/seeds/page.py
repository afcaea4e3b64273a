"""The list of Seeds, submitting one, and one with its lineage and verdicts.

Guarantees: a Seed is seen by who sees everything, and by who owns a run of it.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from kernel.ids import RunId
from kernel.journal.projection import Scalar
from ouroboros.seedbook import by_seed
from webui import seeds
from webui.desk import Desk
from webui.forms import Form, Part, redirected
from webui.items import VerdictItem
from webui.navigation import NavItem
from webui.record import of_run
from webui.runs_view import status_now
from webui.view import page, part

NAV = NavItem("Seeds", "/seeds", "sprout", 20, keys="g s")
SHOWN: Final = 100


@get("/seeds", include_in_schema=False)
async def index(desk: Desk, before: FromQuery[str] = "", part_: Part = "") -> Response[str]:
    """The newest first; `before` is the last of the page before."""
    model: dict[str, Any] = {"before": before, "limit": SHOWN, "seeds": await _listed(desk, before)}
    if part_ == "list":
        return part(desk, "seeds/list.html", **model)
    may = desk.may("kernel:runs", "w")
    return page(desk, "seeds/index.html", title="Seeds", may=may, **model)


@post("/seeds", include_in_schema=False)
async def submitted(desk: Desk, data: Form) -> Response[str]:
    """Record it and begin its run."""
    seed, _run = await seeds.submit(
        desk,
        data.get("seed", ""),
        workspace=data.get("workspace", "").strip(),
        model=data.get("model", "").strip(),
        persona=data.get("persona", "").strip(),
    )
    return redirected(f"/seeds/{seed.id}")


@get("/seeds/{seed_id:str}", include_in_schema=False)
async def show(desk: Desk, seed_id: FromPath[str], part_: Part = "") -> Response[str]:
    """One Seed: its words, where it comes from, what came of it."""
    seed = await seeds.find(desk, seed_id)
    runs = await desk.rows("runs", {"seed": seed_id}, order="started_us")
    above, below = await seeds.lineage(desk, seed)
    model: dict[str, Any] = {
        "seed": seed,
        "runs": [await _run(desk, row) for row in runs],
        "above": above,
        "below": below,
    }
    if part_ == "seed":
        return part(desk, "seeds/seed.html", **model)
    return page(desk, "seeds/show.html", title="Seed", **model)


async def _listed(desk: Desk, before: str) -> list[dict[str, Any]]:
    """Each with its runs, the newest first."""
    last = await desk.kernel.journal.rows("seeds", {"id": before}, limit=1) if before else []
    after = (last[0]["created_us"], last[0]["id"]) if last else None
    rows = await seeds.listed(desk, after=after, limit=SHOWN)
    ids = tuple(str(row["id"]) for row in rows)
    of_these = {"seed": ids}
    runs = await desk.rows("runs", of_these, order="started_us", descending=True, limit=10 * SHOWN) if ids else []
    of_seed = by_seed({**row, "status": status_now(desk, str(row["id"]), row["status"])} for row in runs)
    return [{**row, "runs": of_seed.get(str(row["id"]), [])} for row in rows]


async def _run(desk: Desk, row: dict[str, Scalar]) -> dict[str, Any]:
    loaded = await of_run(desk.kernel.journal, RunId(str(row["id"])))
    verdicts = [item for item in loaded.page.items.values() if isinstance(item, VerdictItem)]
    return {**row, "verdict": verdicts[-1] if verdicts else None}


ROUTES = [index, submitted, show]
