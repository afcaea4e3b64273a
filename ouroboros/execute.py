"""Carrying out a seed: record it, run one agent on it, review what came of it.

Guarantees: the seed stands in the journal, whole, before the agent starts; the verdict is of this
run's own work and stands in its stream; result and verdict that are returned belong together.
What this does not do: try again. A failed verdict is reported with its gaps.

Source: RFC-0009.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from kernel.clock import Clock
from kernel.directive import Directive, ExecEnv, Mount
from kernel.errors import Invalid, NotFound
from kernel.gate.request import Cost
from kernel.ids import Principal, RunId
from kernel.journal.appender import Appender
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject
from kernel.persona import Persona
from kernel.ports.provider import Attachment, Usage
from kernel.settings import Settings
from ouroboros.judge import Judge
from ouroboros.nodes import KernelModel, speaks
from ouroboros.review import Caller, Review, needs_review
from ouroboros.seed import Seed
from ouroboros.seedbook import SeedBook, record_seed
from ouroboros.verdict import Verdict

REVIEW_STREAM: Final = "v"
"""With the rest of a run's id: the stream in which its judge is asked."""


class RunOutcome(Protocol):
    """What is read of a run's state: `kernel.runtime.state.RunState` is the one."""

    @property
    def status(self) -> str: ...
    @property
    def output(self) -> str: ...
    @property
    def note(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def asked_model(self) -> str: ...
    @property
    def turns(self) -> int: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def cost_micro_usd(self) -> int: ...
    @property
    def spent(self) -> Cost: ...
    @property
    def owner(self) -> Principal: ...
    @property
    def seed(self) -> str: ...
    @property
    def env(self) -> ExecEnv: ...
    @property
    def verdict(self) -> JsonObject | None: ...


class Runs(Protocol):
    """`kernel.process.supervisor.Supervisor`, as far as it is needed here."""

    async def start(
        self,
        directive: Directive,
        env: ExecEnv,
        *,
        owner: Principal,
        seed: str = "",
        approve: str = "",
        account: str = "",
        attached: Sequence[Attachment] = (),
    ) -> RunId: ...

    def check(self, env: ExecEnv, *, owner: Principal, attached: Sequence[Attachment] = ()) -> None: ...

    def live(self, run: RunId) -> bool: ...

    async def wait(self, run: RunId) -> RunOutcome: ...

    async def state(self, run: RunId) -> RunOutcome: ...


class Kernel(Protocol):
    """`kernel.boot.Kernel`, as far as it is needed here."""

    @property
    def journal(self) -> Appender: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def settings(self) -> Settings: ...

    async def refresh(self) -> None: ...
    def handle(self, principal: Principal, *, run: RunId | None = None, mounts: tuple[Mount, ...] = ()) -> Caller: ...


@dataclass(frozen=True, slots=True)
class Commission:
    """A seed with all that carrying it out needs: real mounts, the owner, the persona in force."""

    seed: Seed
    owner: Principal
    mounts: tuple[Mount, ...]
    persona: Persona | None = None
    approve: str = ""
    source: str = ""
    context: str = ""
    """What the agent is shown around the goal: quoted data."""
    account: str = ""
    """A budget that pays for the run as well."""
    attached: tuple[Attachment, ...] = ()
    """Files that the agent is shown with the goal."""

    @property
    def env(self) -> ExecEnv:
        persona = self.persona
        return ExecEnv(
            mounts=self.mounts,
            workspace_context=self.context,
            persona=persona.id if persona else "",
            persona_prompt=persona.system_prompt if persona else "",
            persona_role=persona.role if persona else "",
            model=self.seed.model or (persona.model if persona else ""),
            cspace_hint=self.seed.hint(),
            budget=self.seed.budget.kernel(),
        )


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What came of one run of a seed; `verdict` is None where nothing was to be reviewed."""

    run: RunId
    seed: str
    status: str
    note: str
    output: str
    verdict: Verdict | None
    model: str
    turns: int
    usage: Usage
    seconds: float
    cost_micro_usd: int

    @property
    def passed(self) -> bool | None:
        return self.verdict.passed if self.verdict else None


async def carry_out(
    kernel: Kernel,
    work: Commission,
    *,
    on_start: Callable[[RunId], None] | None = None,
    on_entry: Callable[[Entry], None] | None = None,
) -> SeedResult:
    """Record the seed, start a run, wait for its end, review it if it finished.

    `on_start` hears the run's id once it runs, `on_entry` each committed entry of its stream.
    Raises: what `Supervisor.start` raises; JournalDown.
    """
    started_s = kernel.clock.monotonic_s()
    relay = _Relay(on_entry)
    end = kernel.journal.subscribe(relay.hear)
    try:
        run = await begin(kernel, work)
        if on_start is not None:
            on_start(run)
        relay.follow(run)
        state = await kernel.runs.wait(run)
        verdict = None
        if state.status == "finished":
            verdict = await review(kernel, work.seed, run, state, judge_of(kernel, run, state))
    finally:
        end()
    return SeedResult(
        run=run,
        seed=work.seed.id,
        status=state.status,
        note=state.note,
        output=state.output,
        verdict=verdict,
        model=state.model,
        turns=state.turns,
        usage=state.usage,
        seconds=kernel.clock.monotonic_s() - started_s,
        cost_micro_usd=state.cost_micro_usd,
    )


async def begin(kernel: Kernel, work: Commission) -> RunId:
    """Record the seed, and start a run of it. What would not start is refused before anything is recorded.

    Raises: what `Supervisor.start` raises; JournalDown.
    """
    kernel.runs.check(work.env, owner=work.owner, attached=work.attached)
    if not await kernel.journal.rows("seeds", {"id": work.seed.id}, limit=1):
        await record_seed(kernel.journal, work.seed, work.owner, work.source)
    return await kernel.runs.start(
        work.seed.directive(),
        work.env,
        owner=work.owner,
        seed=work.seed.id,
        approve=work.approve,
        account=work.account,
        attached=work.attached,
    )


async def review_finished(kernel: Kernel, run: RunId) -> Verdict | None:
    """Review a run that finished without one: it was resumed, or Oxios was killed in between.

    None where it has not finished, was reviewed, was started without a seed, or there is nothing to
    review. Raises: NotFound (the run, or its seed was erased); JournalDown.
    """
    state = await kernel.runs.state(run)
    if state.status != "finished" or state.verdict is not None or not state.seed:
        return None
    seed = await SeedBook(kernel.journal).find(state.seed)
    return await review(kernel, seed, run, state, judge_of(kernel, run, state))


def judge_of(kernel: Kernel, run: RunId, state: RunOutcome) -> Judge:
    """Who decides sentences of a run that no session reviews: the model routed to reviews, else the run's own.

    It is asked in a stream of its own, named after the run, so that the run's stays its own state. Where
    it cannot be asked, the sentences stay unjudged and say so.
    """
    name = kernel.settings.routing.phases.get("review") or state.asked_model
    stream = RunId(f"{REVIEW_STREAM}{run[1:]}")
    return Judge(KernelModel(kernel.handle(state.owner, run=stream), name, speaks(kernel.settings, name)), lenient=True)


async def asks_for_review(kernel: Kernel, run: RunId) -> bool:
    """Whether the seed of this run asks for a review; not where the run's start or its seed was erased."""
    try:
        state = await kernel.runs.state(run)
        return bool(state.seed) and needs_review(await SeedBook(kernel.journal).find(state.seed))
    except (Invalid, NotFound):
        return False


async def review(
    kernel: Kernel, seed: Seed, run: RunId, state: RunOutcome, judge: Judge | None = None
) -> Verdict | None:
    """Review a finished run; None where the seed asks for nothing that could be reviewed.

    `judge` decides the sentences that no program decides; without one they stay unjudged.
    """
    if not needs_review(seed):
        return None
    mounts = state.env.mounts
    handle = kernel.handle(state.owner, run=run, mounts=mounts)
    read_only = bool(mounts) and mounts[0].mode == "ro"
    return await Review(kernel.journal, handle, state.owner, run, read_only, judge).verdict(seed, state.output)


class _Relay:
    """Passes on the entries of one run, those committed before its id was known included."""

    def __init__(self, on_entry: Callable[[Entry], None] | None) -> None:
        self._on_entry = on_entry
        self._run: RunId | None = None
        self._early: list[Entry] = []

    def hear(self, entries: Sequence[Entry]) -> None:
        if self._on_entry is None:
            return
        if self._run is None:
            self._early.extend(entries)
            return
        for entry in entries:
            if entry.stream == self._run:
                self._on_entry(entry)

    def follow(self, run: RunId) -> None:
        self._run = run
        early, self._early = self._early, []
        self.hear(early)
