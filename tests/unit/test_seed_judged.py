"""Seeds without a session: refused before anything is recorded, and their sentences judged like a session's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernel.directive import Mount
from kernel.errors import Invalid, NotFound, ProviderDown
from kernel.testing.provider import Turn, call, say
from ouroboros.execute import Commission, SeedResult, carry_out, review_finished
from ouroboros.seed import Seed, SeedSpec
from ouroboros.seedbook import record_seed
from ouroboros.verdict import Finding
from tests.cycle_world import MODEL, OWNER, CycleWorld, open_cycle

pytestmark = pytest.mark.anyio

WORK = [call("write", path="a.txt", content="hello"), say("Done.")]


def _commission(
    world: CycleWorld, *, model: str = MODEL, criteria: tuple[str, ...] = (), hint: str = "", goal: str = "greet"
) -> Commission:
    spec = SeedSpec(goal=goal, criteria=criteria, model=model, cspace_hint=hint)
    mounts = (Mount(str(world.workspace)),)
    return Commission(Seed.new(spec, world.kernel.clock.now_us()), OWNER, mounts, approve="auto")


def _finding(result: SeedResult, number: int = 0) -> Finding:
    assert result.verdict is not None
    return result.verdict.findings[number]


def _judgement(*, met: bool | None) -> Turn:
    return say(json.dumps({"findings": [{"criterion": 1, "met": met, "evidence": [], "why": "I looked"}]}))


@pytest.mark.parametrize(("model", "hint"), [("nobody/x", ""), (MODEL, "no-such-grant")])
async def test_what_would_not_start_leaves_no_seed_behind(tmp_path: Path, model: str, hint: str) -> None:
    """An unknown model or grant is refused; nothing of the seed stands in the journal."""
    async with open_cycle(tmp_path) as world:
        await world.kernel.journal.flush()
        size = world.kernel.journal.size
        with pytest.raises((NotFound, Invalid)):
            await carry_out(world.kernel, _commission(world, model=model, hint=hint))
        await world.kernel.journal.flush()
        assert [entry.kind for entry in await world.kernel.journal.read(after=size)] == []


@pytest.mark.parametrize(("met", "status"), [(False, "failed"), (None, "unjudged")])
async def test_sentences_are_judged_by_the_runs_model(tmp_path: Path, met: bool | None, status: str) -> None:
    """Asked in a stream of its own, with the run's entries; the run's own stream holds its verdict alone."""
    async with open_cycle(tmp_path, [*WORK, _judgement(met=met)]) as world:
        result = await carry_out(world.kernel, _commission(world, criteria=("It is kind",)))
        found = _finding(result)
        assert (found.status, "I looked" in found.note) == (status, True), found.note
        asked = await world.kernel.journal.read(stream=f"v{result.run[1:]}", kind="model.request")
        assert [(entry.payload or {})["purpose"] for entry in asked] == ["judge"]
        own = [entry.kind for entry in await world.kernel.journal.read(stream=result.run)]
        assert (own.count("model.request"), own.count("review.verdict")) == (2, 1)


async def test_a_run_that_is_resumed_is_judged_too(tmp_path: Path) -> None:
    """Reviewed later, by whoever finds that it was not: by its own model as well."""
    async with open_cycle(tmp_path, [*WORK, _judgement(met=False)]) as world:
        work = _commission(world, criteria=("It is kind",))
        await record_seed(world.kernel.journal, work.seed, OWNER, "test")
        run = await world.kernel.runs.start(
            work.seed.directive(), work.env, owner=OWNER, seed=work.seed.id, approve="auto"
        )
        assert (await world.kernel.runs.wait(run)).status == "finished"
        verdict = await review_finished(world.kernel, run)
        assert verdict is not None
        assert [one.status for one in verdict.findings] == ["failed"]


async def test_without_a_language_model_it_is_said_that_nobody_judged(tmp_path: Path) -> None:
    """The embedded planner is asked for no judgement."""
    async with open_cycle(tmp_path) as world:
        work = _commission(world, model="embedded/planner", criteria=("It is kind",), goal="list .")
        found = _finding(await carry_out(world.kernel, work))
        assert (found.status, found.note) == ("unjudged", "no language model is there to judge this; a person has to")


async def test_a_judge_that_cannot_be_asked_leaves_the_verdict_whole(tmp_path: Path) -> None:
    """What programs decided stands; the sentence stays unjudged, and says why."""
    script = [*WORK, *[Turn(error=ProviderDown("it is down", remedy="wait", retry_after_s=0))] * 3]
    async with open_cycle(tmp_path, script) as world:
        work = _commission(world, criteria=("It is kind", "file contains: a.txt :: hello"))
        result = await carry_out(world.kernel, work)
        assert [_finding(result, number).status for number in (0, 1)] == ["unjudged", "passed"]
        assert "could not be asked" in _finding(result).note
