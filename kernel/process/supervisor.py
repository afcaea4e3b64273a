"""Agents as processes: start, wait, stop, resume, fork. One task an agent, in the kernel's task group.

Guarantees: an agent holds nothing that its owner does not (every capability is derived from one of
the owner's) and its capabilities go when its run ends; a run that a crash left behind is found
(`interrupted`) and goes on from its last entry; a run that ended is never silently started again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, cast

from anyio.abc import TaskGroup

from kernel.capability.grants import derive_grant, granted
from kernel.capability.table import CapabilityTable
from kernel.capability.token import Capability
from kernel.directive import Budget, Directive, ExecEnv
from kernel.engine.routes import model_of_run
from kernel.errors import Conflict
from kernel.gate.approvals import Approvals
from kernel.gate.asker import Asker
from kernel.ids import Principal, RunId, agent, new_run_id
from kernel.journal.entry import Draft
from kernel.jsontypes import JsonObject, JsonValue
from kernel.log import bind
from kernel.ports.provider import Attachment
from kernel.process.accounts import Accounts
from kernel.process.agent import AgentProcess
from kernel.runtime.asking import Asking
from kernel.runtime.attached import read_kept
from kernel.runtime.dispatch import Caller, Dispatcher
from kernel.runtime.doubt import Resolution
from kernel.runtime.history import fork_point, read_history
from kernel.runtime.live_steps import LiveSteps
from kernel.runtime.loop import LoopBounds
from kernel.runtime.model import ModelDesk
from kernel.runtime.prompt import PromptParts, system_prompt, user_prompt
from kernel.runtime.record import budget_json, directive_json, env_json
from kernel.runtime.state import TERMINAL, RunState
from kernel.settings import Settings
from kernel.settings.tree import ApprovalMode, RunSettings
from kernel.syscalls.declare import AnySyscall

AGENT_ROLE: Final = "agent"
_MICRO: Final = 1_000_000


@dataclass(slots=True)
class Supervisor:
    """The live runs of this kernel."""

    dispatcher: Dispatcher
    desk: ModelDesk
    capabilities: CapabilityTable
    approvals: Approvals
    asker: Asker
    tasks: TaskGroup
    live: dict[RunId, AgentProcess] = field(default_factory=dict[RunId, AgentProcess])
    accounts: Accounts = field(init=False)
    listeners: list[Callable[[RunId], None]] = field(default_factory=list[Callable[[RunId], None]])
    """Told of each run that is about to go live, before that is recorded, within the task that asked for it."""
    resuming: set[RunId] = field(default_factory=set[RunId])
    """Runs on their way to being live: a second resume meanwhile is refused."""

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self.desk.engine.settings

    def __post_init__(self) -> None:
        self.accounts = Accounts(self.dispatcher.journal, self.dispatcher.budgets, self.live)

    async def start(
        self,
        directive: Directive,
        env: ExecEnv,
        *,
        owner: Principal,
        seed: str = "",
        approve: str = "",
        account: str = "",
        attached: tuple[Attachment, ...] = (),
    ) -> RunId:
        """Fork and exec: derive the agent's capabilities, record the start, begin.

        `account` names a budget that pays for the run as well, where it was ever opened; `attached` are the
        files that the directive names.

        Raises: NotFound (model, grant), AccessDenied (the owner holds nothing of the grant, or not the
        account), JournalDown; AttachmentRefused, where no model that the run may ask takes a file of it.
        """
        await self.desk.refresh()  # A model or provider that was added a moment ago is known.
        run = new_run_id(self.dispatcher.clock.now_us())
        self._admit(env, attached)
        held = await self._derive(run, env, owner)
        tools = tuple(item.name for item in self.dispatcher.table.offered() if within_reach(item, held))
        specs = self.dispatcher.table.tool_specs(tools)
        payload: dict[str, JsonValue] = {
            "directive": directive_json(directive),
            "env": env_json(env),
            "owner": owner,
            "grant": self.settings.run.grant,
            "model": self._model(env),
            "tools": list(tools),
            "system": system_prompt(PromptParts(directive, env, specs, sorted({cap.resource.kind for cap in held}))),
            "user": user_prompt(directive),
        }
        told = (("seed", seed), ("approve", approve), ("account", account))
        payload |= {name: value for name, value in told if value}
        if account:
            await self.accounts.join(account, run, owner=owner, by=agent(run))
        await self._begin(RunState(run), payload, attached=attached)
        return run

    def check(self, env: ExecEnv, *, owner: Principal, attached: Sequence[Attachment] = ()) -> None:
        """Whether a run could be started so, as things stand; changes nothing.

        Raises: as `start`, for the model, the grant and the files.
        """
        self._admit(env, attached)
        granted(
            self.capabilities,
            owner=owner,
            to=agent(RunId("check")),
            mounts=env.mounts,
            hint=env.cspace_hint,
            persona_role=env.persona_role,
            ceiling=self.settings.run.grant,
            network=self.settings.run.network,
        )

    async def wait(self, run: RunId) -> RunState:
        """The state when the run stops being live; at once where it is not. Raises: NotFound."""
        process = self.live.get(run)
        if process is None:
            return await self.state(run)
        await process.done.wait()
        return process.state

    async def state(self, run: RunId) -> RunState:
        """Where the run stands now. Raises: NotFound."""
        process = self.live.get(run)
        return process.state if process else (await read_history(self.dispatcher.journal, run)).state()

    async def cancel(self, run: RunId, *, by: Principal) -> RunState:
        """Stop it, between or inside steps, with every process it started; or close a paused one.

        Raises: NotFound. Conflict, where it has ended.
        """
        process = self.live.get(run)
        if process is not None:
            process.stop(by)
            await process.done.wait()
            return process.state
        state = await self._resumable(run, "cancelled")
        note = f"cancelled by {by}"
        payload: JsonObject = {"status": "cancelled", "note": note, "by": by, "turns": state.turns}
        await self.dispatcher.journal.append(Draft(by, run, "run.finished", payload))
        self.capabilities.drop(agent(run))
        return await self.state(run)

    async def interrupt(self, run: RunId) -> None:
        """Leave a live run off, as when the kernel goes down; at once where it is not live."""
        process = self.live.get(run)
        if process is not None:
            process.interrupt()
            await process.done.wait()

    async def resume(
        self, run: RunId, *, by: Principal, resolution: Resolution | None = None, budget: Budget | None = None
    ) -> None:
        """Go on with a paused or interrupted run; what `budget` names replaces what the run's own allows.

        Raises: NotFound; Conflict, where it is live or ended; Invalid, where something of it was erased.
        """
        if run in self.live or run in self.resuming:
            raise Conflict(f"run {run} is running", remedy="wait for it, or stop it with `oxios runs cancel`")
        self.resuming.add(run)
        try:
            state = await self._resumable(run, "resumed")
            history = await read_history(self.dispatcher.journal, run)
            if history.erased is not None:
                raise history.lost(history.erased)
            attached = await read_kept(self.dispatcher.journal, state.directive.attached)
            if state.account:
                await self.accounts.reopen(state.account)
            payload: dict[str, JsonValue] = {"by": by}
            if raised := budget_json(budget or Budget()):
                payload["budget"] = raised
            self._tell(run)
            await self.dispatcher.journal.append(Draft(by, run, "run.resumed", payload))
            state.apply("run.resumed", payload, self.dispatcher.clock.now_us())
            self._launch(state, resolution, attached)
        finally:
            self.resuming.discard(run)

    async def fork(self, run: RunId, *, by: Principal, step: int | None = None, text: str = "") -> RunId:
        """A new run that goes on from a step of `run`, with the same goal and environment.

        The conversation is as it was then; files are as they are now. Raises: NotFound, Invalid.
        """
        state, upto = await fork_point(self.dispatcher.journal, run, step, text=text)
        attached = await read_kept(self.dispatcher.journal, state.directive.attached)
        new = new_run_id(self.dispatcher.clock.now_us())
        await self._derive(new, state.env, by)
        payload: dict[str, JsonValue] = {
            "directive": directive_json(state.directive),
            "env": env_json(state.env),
            "owner": by,
            "grant": state.grant,
            "model": state.asked_model,
            "tools": list(state.tools),
            "parent": run,
            "upto": upto,
        }
        payload |= {name: value for name, value in (("seed", state.seed), ("approve", state.approve)) if value}
        await self._begin(replace(state, run=new), payload, text, attached)
        return new

    async def steer(self, run: RunId, text: str, *, by: Principal) -> None:
        """Say something to a live agent; it hears it before its next reply. Raises: Conflict."""
        process = self.live.get(run)
        if process is None or process.state.status != "running":
            raise Conflict(f"run {run} is not running", remedy="resume it, or fork it with your words")
        process.steps.record(process.state, "run.steered", {"text": text, "by": by})

    async def interrupted(self) -> list[RunId]:
        """Runs that the journal calls running and that no process of this kernel carries."""
        rows = await self.dispatcher.journal.rows("runs", {"status": "running"}, order="started_us")
        return [RunId(str(row["id"])) for row in rows if str(row["id"]) not in self.live]

    async def _begin(
        self, state: RunState, payload: JsonObject, text: str = "", attached: tuple[Attachment, ...] = ()
    ) -> None:
        by, blobs = agent(state.run), tuple(one.data for one in attached)
        self._tell(state.run)
        await self.dispatcher.journal.append(Draft(by, state.run, "run.started", payload, blobs))
        state.apply("run.started", payload, self.dispatcher.clock.now_us())
        process = self._launch(state, None, attached)
        if text:
            process.steps.record(state, "run.steered", {"text": text, "by": state.owner})

    def _tell(self, run: RunId) -> None:
        for listener in self.listeners:
            listener(run)

    def _admit(self, env: ExecEnv, attached: Sequence[Attachment]) -> None:
        self.desk.provider_of(self._model(env))
        if attached:
            self.desk.admit(self._model(env), env.persona, attached)

    async def _derive(self, run: RunId, env: ExecEnv, owner: Principal) -> tuple[Capability, ...]:
        """Derive the agent's cspace from its owner's."""
        return await derive_grant(
            self.capabilities,
            owner=owner,
            to=agent(run),
            mounts=env.mounts,
            hint=env.cspace_hint,
            persona_role=env.persona_role,
            ceiling=self.settings.run.grant,
            network=self.settings.run.network,
        )

    async def _resumable(self, run: RunId, verb: str) -> RunState:
        state = await self.state(run)
        if state.status in TERMINAL:
            raise Conflict(
                f"run {run} has {state.status} and cannot be {verb}", remedy=f"`oxios runs fork {run}` goes on from it"
            )
        return state

    def _launch(self, state: RunState, resolution: Resolution | None, attached: tuple[Attachment, ...]) -> AgentProcess:
        caller = Caller(
            principal=agent(state.run),
            owner=state.owner,
            role=AGENT_ROLE,
            run=state.run,
            mounts=state.env.mounts,
            account=state.run,
            tools=frozenset(state.tools),
        )
        specs = self.dispatcher.table.tool_specs(name for name in state.tools if name in self.dispatcher.table)
        asking = Asking(self.dispatcher, self.desk, caller, state.asked_model, specs, attached)
        steps = LiveSteps(self.dispatcher, asking, caller, self.asker, resolution)
        run = self.settings.run
        budget = tightest(state.env.budget, _default_budget(run))
        process = AgentProcess(state, steps, LoopBounds(run.turns_max), run.deadline_s, budget.seconds_max)
        budgets = self.dispatcher.budgets
        budgets.open(state.run, budget, state.account if budgets.is_open(state.account) else None)
        budgets.restore(state.run, state.spent, state.active_us, above=state.run not in self.accounts.launched)
        self.accounts.launched.add(state.run)
        mode = cast("ApprovalMode", state.approve) if state.approve else None
        self.approvals.open_run(state.run, goal=state.directive.goal, mode=mode)
        self.live[state.run] = process
        self.tasks.start_soon(self._carry, process, name=f"agent {state.run}")
        return process

    async def _carry(self, process: AgentProcess) -> None:
        run = process.state.run
        journal = self.dispatcher.journal
        journal.enter_stream()
        try:
            with bind(run=run, trace=run):
                await process.run()
        finally:
            journal.leave_stream()
            del self.live[run]
            self.dispatcher.budgets.close(run)
            self.approvals.close_run(run)
            if process.state.status in TERMINAL:
                self.capabilities.drop(agent(run))
                self.accounts.launched.discard(run)

    def _model(self, env: ExecEnv) -> str:
        return model_of_run(env.model, env.persona, self.settings)


def within_reach(item: AnySyscall, held: Iterable[Capability]) -> bool:
    """Whether these capabilities cover some call of the tool: what cannot ever pass is not offered."""
    caps = tuple(held)
    return all(any(cap.resource.kind == kind and cap.rights & right for cap in caps) for kind, right in item.reaches)


def tightest(one: Budget, other: Budget) -> Budget:
    """Of each cap the lower; None is no cap."""

    def lower(left: float | None, right: float | None) -> float | None:
        return right if left is None else left if right is None else min(left, right)

    def whole(left: int | None, right: int | None) -> int | None:
        found = lower(left, right)
        return None if found is None else int(found)

    return Budget(
        tokens_max=whole(one.tokens_max, other.tokens_max),
        calls_max=whole(one.calls_max, other.calls_max),
        micro_usd_max=whole(one.micro_usd_max, other.micro_usd_max),
        seconds_max=lower(one.seconds_max, other.seconds_max),
    )


def _default_budget(run: RunSettings) -> Budget:
    """What the settings allow any run."""
    money = None if run.usd_max is None else round(run.usd_max * _MICRO)
    return Budget(run.tokens_max, run.calls_max, money, run.seconds_max)
