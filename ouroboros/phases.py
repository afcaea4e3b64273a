"""The phases as a session goes through them: assess, and those whose door is not a model alone.

Confirm asks a person, execute runs an agent, review looks, evolve writes.

Guarantees: a phase that is begun again finds what it began before: a Seed has one run, whichever
process started it, and a run is reviewed once.

Source: RFC-0013.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kernel.directive import AttachedFile
from kernel.errors import Conflict
from kernel.ids import RunId
from kernel.jsontypes import JsonObject, JsonValue
from kernel.persona import Persona
from kernel.runtime.attached import read_kept
from ouroboros.assess import Assess, Task
from ouroboros.crystallize import verbatim
from ouroboros.evolve import Bounds, evolve, evolves
from ouroboros.execute import Commission, Kernel, RunOutcome, begin, review
from ouroboros.judge import Judge
from ouroboros.seed import Seed, SeedSpec
from ouroboros.session import Generation, Session, Turn
from ouroboros.verdict import Verdict

_GOES_ON: Final = frozenset({"paused", "running"})


@dataclass(frozen=True, slots=True)
class Assessing:
    """Assess, and for a trivial task the Seed at once: the message, word for word."""

    assess: Assess
    session: Session
    now_us: Callable[[], int]
    phase: str = "assess"

    async def prep(self) -> Any:
        return await self.assess.prep()

    async def exec(self, inputs: Any) -> Any:
        return await self.assess.exec(inputs)

    async def post(self, inputs: Any, outcome: Any) -> JsonObject:
        result = await self.assess.post(inputs, outcome)
        if isinstance(outcome, Task) and outcome.scope == "trivial":
            seed = seed_of(verbatim(inputs), self.session, self.now_us())
            return {**result, "seed": seed.payload()}
        return result


class Person(Protocol):
    """Whoever accepts a draft."""

    async def confirm(self, draft: SeedSpec) -> SeedSpec | None:
        """The draft as it is accepted, changed or not; None where it is not to be carried out."""
        ...


class Accepting:
    """Nobody is asked: a draft is carried out as it was written."""

    async def confirm(self, draft: SeedSpec) -> SeedSpec | None:
        return draft


@dataclass(frozen=True, slots=True)
class Decided:
    """Somebody decided before they were asked."""

    spec: SeedSpec | None

    async def confirm(self, draft: SeedSpec) -> SeedSpec | None:  # noqa: ARG002 -- what was decided is of this draft
        return self.spec


@dataclass(frozen=True, slots=True)
class Confirm:
    """The draft becomes a Seed, or nothing does."""

    person: Person
    session: Session
    turn: Turn
    now_us: Callable[[], int]
    phase: str = "confirm"

    async def prep(self) -> SeedSpec:
        if self.turn.draft is None:
            raise Conflict("there is no draft to confirm", remedy="send the message again")
        return self.turn.draft

    async def exec(self, inputs: SeedSpec) -> SeedSpec | None:
        return await self.person.confirm(inputs)

    async def post(self, inputs: SeedSpec, outcome: SeedSpec | None) -> JsonObject:
        if outcome is None:
            return {"accepted": False}
        spec = outcome.model_copy(update={"original_request": self.turn.message})
        return {
            "accepted": True,
            "changed": outcome != inputs,
            "seed": seed_of(spec, self.session, self.now_us()).payload(),
        }


def seed_of(spec: SeedSpec, session: Session, now_us: int) -> Seed:
    """A Seed for this session: its model and persona, where the draft names none."""
    named = {"model": spec.model or session.model, "persona": spec.persona or session.persona}
    return Seed.new(spec.model_copy(update=named), now_us)


@dataclass(frozen=True, slots=True)
class Execution:
    """What is to be run, and the run there is already."""

    work: Commission
    run: RunId | None


@dataclass(frozen=True, slots=True)
class Execute:
    """One agent on one Seed. Started once, resumed where it was left."""

    kernel: Kernel
    session: Session
    generation: Generation
    persona: Persona | None
    context: str
    attached: tuple[AttachedFile, ...] = ()
    phase: str = "execute"

    async def prep(self) -> Execution:
        seed = self.generation.seed
        rows = await self.kernel.journal.rows("runs", {"seed": seed.id}, order="started_us", limit=1)
        work = Commission(
            seed=seed,
            attached=await read_kept(self.kernel.journal, self.attached),
            owner=self.session.owner,
            mounts=self.session.mounts,
            persona=self.persona,
            approve=self.session.approve,
            source=f"session {self.session.id}",
            context=self.context,
            account=self.session.id,
        )
        return Execution(work, RunId(str(rows[0]["id"])) if rows else None)

    async def exec(self, inputs: Execution) -> tuple[RunId, RunOutcome]:
        run = inputs.run
        if run is None:
            run = await begin(self.kernel, inputs.work)
        elif (await self.kernel.runs.state(run)).status in _GOES_ON and not self.kernel.runs.live(run):
            await self.kernel.handle(self.session.owner).call("runs.resume", {"run": run})
        return run, await self.kernel.runs.wait(run)

    async def post(self, inputs: Execution, outcome: tuple[RunId, RunOutcome]) -> JsonObject:  # noqa: ARG002 -- the node's form
        run, state = outcome
        payload: dict[str, JsonValue] = {"run": run, "status": state.status, "note": state.note}
        # What a paused run has spent is counted when it ends: it goes on under the same account.
        return payload if state.status in _GOES_ON else {**payload, "spent": spent_of(state)}


def spent_of(state: RunOutcome) -> JsonObject:
    return {"tokens": state.spent.tokens, "micro_usd": state.spent.micro_usd}


@dataclass(frozen=True, slots=True)
class Reviewing:
    """What the agent left behind, held against the Seed's criteria."""

    kernel: Kernel
    generation: Generation
    judge: Judge
    phase: str = "review"

    async def prep(self) -> RunOutcome:
        return await self.kernel.runs.state(RunId(self.generation.run))

    async def exec(self, inputs: RunOutcome) -> Verdict | None:
        if inputs.verdict is not None:
            return Verdict.read(inputs.verdict)
        return await review(self.kernel, self.generation.seed, RunId(self.generation.run), inputs, self.judge)

    async def post(self, inputs: RunOutcome, outcome: Verdict | None) -> JsonObject:  # noqa: ARG002 -- the node's form
        return {"run": self.generation.run, "verdict": outcome.json() if outcome else None}


@dataclass(frozen=True, slots=True)
class Evolving:
    """The next generation, where one is worth trying."""

    generation: Generation
    bounds: Bounds
    now_us: Callable[[], int]
    phase: str = "evolve"

    async def prep(self) -> Generation:
        return self.generation

    async def exec(self, inputs: Generation) -> Seed | None:
        verdict = inputs.verdict
        if verdict is None or not evolves(verdict, inputs.seed.generation, self.bounds):
            return None
        return evolve(inputs.seed, verdict, self.now_us())

    async def post(self, inputs: Generation, outcome: Seed | None) -> JsonObject:  # noqa: ARG002 -- the node's form
        return {} if outcome is None else {"generation": outcome.generation, "seed": outcome.payload()}
