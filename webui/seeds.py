"""Seeds that are submitted through the server: read, recorded, carried out, reviewed.

Guarantees: what would not start is refused before anything is recorded; the run goes on when whoever
submitted it is gone, and a crash of the server leaves it to be resumed and reviewed at the next start.
"""

from __future__ import annotations

from typing import Final

from kernel.errors import Invalid, NotFound, OxiosError
from kernel.ids import RunId
from kernel.journal.projection import Scalar
from kernel.log import get_logger
from ouroboros.execute import Commission, begin, review_finished
from ouroboros.seed import Seed, SeedSpec
from ouroboros.seedbook import SeedBook
from ouroboros.seedfile import parse_seed
from ouroboros.seedforms import sniff
from webui.beginning import mounts_of, persona_of
from webui.desk import Desk

LINEAGE_MAX: Final = 100
_BATCH: Final = 200
Place = tuple[Scalar, Scalar]
_log = get_logger("seeds")


async def submit(
    desk: Desk, text: str, *, workspace: str = "", model: str = "", persona: str = ""
) -> tuple[Seed, RunId]:
    """A seed in TOML, JSON, Markdown, or only its goal; the run has begun when this returns.

    Raises: as `carry`; Invalid, where it is no seed.
    """
    spec = parse_seed(text, sniff(text), "the seed")
    given = {key: value for key, value in {"model": model, "persona": persona}.items() if value}
    return await carry(desk, spec.model_copy(update=given), workspace=workspace)


async def carry(desk: Desk, spec: SeedSpec, *, workspace: str = "", approve: str = "") -> tuple[Seed, RunId]:
    """Record the seed and begin its run, which is reviewed when it has finished.

    Raises: Invalid (a mount, attachments), NotFound (model, persona), AccessDenied, JournalDown.
    """
    if spec.attachments:
        raise Invalid("a seed that is sent here has no folder to attach files from", remedy="put them into a mount")
    seed = Seed.new(spec, desk.kernel.clock.now_us())
    return seed, await begin_on(desk, seed, workspace=workspace, approve=approve)


async def begin_on(desk: Desk, seed: Seed, *, workspace: str = "", approve: str = "") -> RunId:
    """Begin a run of a seed, which is recorded first where it is not yet. Raises: as `carry`."""
    work = Commission(
        seed=seed,
        owner=desk.user.principal,
        mounts=mounts_of(desk, seed.mounts, workspace=workspace),
        persona=await persona_of(desk, seed.persona),
        approve=approve,
        source=f"submitted by {desk.user.name}",
    )
    run = await begin(desk.kernel, work)
    review_when_done(desk, run)
    return run


async def find(desk: Desk, seed_id: str) -> Seed:
    """A seed that the user may see: everything's, or one with a run of theirs. Raises: NotFound."""
    if not desk.sees_all and not await desk.rows("runs", {"seed": seed_id}, limit=1):
        raise NotFound(f"there is no seed {seed_id!r}", remedy="the list of seeds shows yours")
    return await SeedBook(desk.kernel.journal).find(seed_id)


async def listed(desk: Desk, *, after: Place | None = None, limit: int) -> list[dict[str, Scalar]]:
    """Those that the user may see, the newest first, after the place (`created_us`, id) of a row."""
    found: list[dict[str, Scalar]] = []
    while len(found) < limit:
        rows = await desk.kernel.journal.rows("seeds", order="created_us", descending=True, limit=_BATCH, after=after)
        found += [row for row in rows if desk.sees_all or await desk.rows("runs", {"seed": row["id"]}, limit=1)]
        if len(rows) < _BATCH:
            break
        after = rows[-1]["created_us"], rows[-1]["id"]
    return found[:limit]


async def lineage(desk: Desk, seed: Seed) -> tuple[list[dict[str, Scalar]], list[dict[str, Scalar]]]:
    """Those it descends from, the oldest first, and its children."""
    above: list[dict[str, Scalar]] = []
    parent = seed.parent
    while parent and len(above) < LINEAGE_MAX:
        rows = await desk.kernel.journal.rows("seeds", {"id": parent}, limit=1)
        if not rows:
            break
        above.insert(0, rows[0])
        parent = str(rows[0]["parent"]) if rows[0]["parent"] else None
    return above, await desk.kernel.journal.rows("seeds", {"parent": seed.id}, order="created_us")


def review_when_done(desk: Desk, run: RunId) -> None:
    """Review a run when it ends, where its seed asks for that, whoever looks."""
    desk.house.tasks.start_soon(_review, desk, run)


async def _review(desk: Desk, run: RunId) -> None:
    try:
        await desk.kernel.runs.wait(run)
        await review_finished(desk.kernel, run)
    except OxiosError as error:
        _log.warning("not_reviewed", run=run, why=error.explain())
