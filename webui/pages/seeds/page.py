"""The list of Seeds, submitting one, and one with its lineage and verdicts.

Guarantees: a Seed is seen by who sees everything, and by who owns a run of it.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from kernel.ids import RunId
from kernel.journal.projection import Scalar
from webui import seeds
from webui.desk import Desk
from webui.forms import Form, Part, redirected
from webui.items import VerdictItem
from webui.navigation import NavItem
from webui.record import of_run
from webui.view import page, part

NAV = NavItem("Seeds", "/seeds", "sprout", 20, keys="g s")
SHOWN: Final = 100


@get("/seeds", include_in_schema=False)
async def index(desk: Desk, part_: Part = "") -> Response[str]:
    """The newest first."""
    model: dict[str, Any] = {"seeds": await _listed(desk)}
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


async def _listed(desk: Desk) -> list[dict[str, Any]]:
    rows = await desk.kernel.journal.rows("seeds", order="created_us", descending=True, limit=SHOWN)
    runs = await desk.rows("runs", order="started_us", descending=True, limit=10 * SHOWN)
    of_seed: dict[str, list[dict[str, Scalar]]] = {}
    for run in runs:
        of_seed.setdefault(str(run["seed"]), []).append(run)
    seen = [row for row in rows if desk.sees_all or row["id"] in of_seed]
    return [{**row, "runs": of_seed.get(str(row["id"]), [])} for row in seen]


async def _run(desk: Desk, row: dict[str, Scalar]) -> dict[str, Any]:
    loaded = await of_run(desk.kernel.journal, RunId(str(row["id"])))
    verdicts = [item for item in loaded.page.items.values() if isinstance(item, VerdictItem)]
    return {**row, "verdict": verdicts[-1] if verdicts else None}


ROUTES = [index, submitted, show]
