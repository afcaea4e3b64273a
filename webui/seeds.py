"""Seeds that are submitted through the server: read, recorded, carried out, reviewed.

Guarantees: what would not start is refused before anything is recorded; the run goes on when whoever
submitted it is gone, and a crash of the server leaves it to be resumed and reviewed at the next start.
"""

from __future__ import annotations

from kernel.errors import Invalid, OxiosError
from kernel.ids import RunId
from kernel.log import get_logger
from ouroboros.execute import Commission, begin, review_finished
from ouroboros.seed import Seed, SeedSpec
from ouroboros.seedfile import parse_seed
from ouroboros.seedforms import sniff
from webui.beginning import mounts_of, persona_of
from webui.desk import Desk

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
    work = Commission(
        seed=Seed.new(spec, desk.kernel.clock.now_us()),
        owner=desk.user.principal,
        mounts=mounts_of(desk, spec.mounts, workspace=workspace),
        persona=await persona_of(desk, spec.persona),
        approve=approve,
        source=f"submitted by {desk.user.name}",
    )
    run = await begin(desk.kernel, work)
    desk.house.tasks.start_soon(_review, desk, run)
    return work.seed, run


async def _review(desk: Desk, run: RunId) -> None:
    try:
        await desk.kernel.runs.wait(run)
        await review_finished(desk.kernel, run)
    except OxiosError as error:
        _log.warning("not_reviewed", run=run, why=error.explain())
