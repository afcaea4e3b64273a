"""Seeds that are submitted through the server: read, recorded, carried out, reviewed.

Guarantees: what would not start is refused before anything is recorded; the run goes on when whoever
submitted it is gone, and a crash of the server leaves it to be resumed and reviewed at the next start.
"""

from __future__ import annotations

from pathlib import Path

from kernel.errors import OxiosError
from kernel.handle.persona import active_persona
from kernel.ids import RunId
from kernel.log import get_logger
from kernel.persona import load_personas, pick
from ouroboros.execute import Commission, begin, review_finished
from ouroboros.seed import Seed
from ouroboros.seedfile import parse_seed
from ouroboros.seedforms import sniff
from ouroboros.workspace import Places, resolve_mounts
from webui.desk import Desk

_log = get_logger("seeds")


async def submit(
    desk: Desk, text: str, *, workspace: str = "", model: str = "", persona: str = ""
) -> tuple[Seed, RunId]:
    """A seed in TOML, JSON, Markdown, or only its goal; the run has begun when this returns.

    Raises: Invalid (the seed, a mount), NotFound (model, persona), AccessDenied, JournalDown.
    """
    work = await _commission(desk, text, workspace=workspace, model=model, persona=persona)
    run = await begin(desk.kernel, work)
    desk.house.tasks.start_soon(_review, desk, run)
    return work.seed, run


async def _commission(desk: Desk, text: str, *, workspace: str, model: str, persona: str) -> Commission:
    kernel, settings = desk.kernel, desk.kernel.settings
    spec = parse_seed(text, sniff(text), "the seed")
    given = {key: value for key, value in {"model": model, "persona": persona}.items() if value}
    spec = spec.model_copy(update=given)
    name = spec.persona or await active_persona(kernel.journal, settings.persona.default)
    places = Places(cwd=desk.house.workspace(desk.user), user_home=Path.home(), kernel_home=settings.home)
    return Commission(
        seed=Seed.new(spec, kernel.clock.now_us()),
        owner=desk.user.principal,
        mounts=resolve_mounts(spec.mounts, places, directory=places.cwd, workspace=workspace),
        persona=pick(load_personas(settings.home), name) if name else None,
        source=f"submitted by {desk.user.name}",
    )


async def _review(desk: Desk, run: RunId) -> None:
    try:
        await desk.kernel.runs.wait(run)
        await review_finished(desk.kernel, run)
    except OxiosError as error:
        _log.warning("not_reviewed", run=run, why=error.explain())
