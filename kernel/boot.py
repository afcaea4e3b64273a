"""Opening the kernel: the only module that names adapters, but for the store's (`kernel.storage`).

Guarantees: one process owns a home at a time; when `open_kernel` is entered the journal continues from
its head, the operator has a cspace, and the gate's layers are complete and in order; when it is left,
for whatever reason, live runs are recorded as interrupted and the journal is flushed.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import anyio
from anyio.abc import TaskGroup

from kernel.adapters.providers import discover as servers
from kernel.adapters.providers.registry import make_provider
from kernel.adapters.sandbox.bubblewrap import BubblewrapSandbox
from kernel.capability import record as capability_record
from kernel.capability.grants import operator_root
from kernel.capability.resource import Resource
from kernel.capability.rights import Rights
from kernel.capability.table import CapabilityTable
from kernel.capability.token import Need
from kernel.clock import Clock, SystemClock
from kernel.directive import Directive, ExecEnv, Mount
from kernel.engine.engine import Engine, key_variables
from kernel.errors import KernelBug
from kernel.gate import approval_record
from kernel.gate.approval import ApprovalLayer
from kernel.gate.approvals import Approvals
from kernel.gate.arguments import ArgumentsLayer
from kernel.gate.asker import Asker, Nobody
from kernel.gate.budget import BudgetLayer, BudgetLedger
from kernel.gate.commands import CommandLayer
from kernel.gate.egress import Egress, EgressLayer, SystemResolver, private_hosts
from kernel.gate.gate import Gate
from kernel.gate.layers import CapabilityLayer, Layer
from kernel.gate.paths import PathLayer
from kernel.gate.policy import Rules
from kernel.gate.role_policy import POLICY_NAME, ensure_policy
from kernel.gate.roles import RoleLayer
from kernel.gate.standing import Standing
from kernel.handle import config, people, people_record, persona
from kernel.handle.handle import KernelHandle, open_handle
from kernel.handle.passwords import PasswordBook
from kernel.ids import KERNEL, Principal, RunId
from kernel.journal.appender import Appender
from kernel.journal.entry import SYSTEM_STREAM, Draft
from kernel.journal.lock import instance_lock
from kernel.journal.log import Journal, open_journal
from kernel.journal.projection import Projector
from kernel.jsontypes import JsonValue
from kernel.observe import configuration
from kernel.ports.provider import Attachment, Found, Provider, ProviderConfig, Waits
from kernel.ports.sandbox import Sandbox
from kernel.process import projection as runs_projection
from kernel.process.supervisor import Supervisor
from kernel.runtime.attached import Tray
from kernel.runtime.dispatch import Dispatcher
from kernel.runtime.live import LiveBus
from kernel.runtime.model import ModelDesk, SettingsWatch
from kernel.runtime.record import directive_json, env_json
from kernel.runtime.state import TERMINAL, RunState
from kernel.settings import Settings
from kernel.settings.load import CONFIG_NAME, Resolved
from kernel.settings.record import key_names
from kernel.settings.tree import ADDRESSES, KEY_VARIABLES, ProviderSettings
from kernel.storage import make_store
from kernel.syscalls.declare import Services
from kernel.syscalls.permit import PermitLedger
from kernel.syscalls.scrub import learn_names, learn_values
from kernel.syscalls.table import SyscallTable, discover

_USD: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs, started and awaited as a principal: each act is a syscall of that principal."""

    kernel: Kernel

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
    ) -> RunId:
        """Raises: AccessDenied, NotFound (model, grant), Invalid; AttachmentRefused."""
        with self.kernel.dispatcher.services.get(Tray).laid(attached) as files:
            arguments: dict[str, JsonValue] = {
                "directive": directive_json(replace(directive, attached=files)),
                "env": env_json(env),
                "seed": seed,
                "approve": approve,
                "account": account,
            }
            return RunId((await self.kernel.handle(owner).call("runs.start", arguments)).text)

    def check(self, env: ExecEnv, *, owner: Principal, attached: Sequence[Attachment] = ()) -> None:
        """Whether `start` would refuse it, as things stand. Raises: as `start`."""
        self.kernel.supervisor.check(env, owner=owner, attached=attached)

    def live(self, run: RunId) -> bool:
        """Whether a process of this kernel carries it now."""
        return run in self.kernel.supervisor.live

    async def wait(self, run: RunId) -> RunState:
        return await self.kernel.supervisor.wait(run)

    async def state(self, run: RunId) -> RunState:
        return await self.kernel.supervisor.state(run)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A running kernel. Everything a surface may use; authority comes from `handle` alone."""

    operator: Principal
    clock: Clock
    journal: Journal
    capabilities: CapabilityTable
    approvals: Approvals
    dispatcher: Dispatcher
    supervisor: Supervisor
    sandbox: Sandbox
    users: people.UserDesk
    passwords: PasswordBook
    seen: Callable[[Settings], Settings] = lambda in_force: in_force
    """What a surface sees of the settings in force: a command that a server carries has sections of its own."""

    @property
    def settings(self) -> Settings:
        """Those in force: some of them follow their file (`kernel.settings.live`)."""
        return self.seen(self.supervisor.settings)

    async def refresh(self) -> None:
        """Put live settings in force whose file has changed; what is wrong with it is logged. One `stat`."""
        await self.supervisor.desk.refresh()

    @property
    def bus(self) -> LiveBus:
        return self.dispatcher.live

    @property
    def table(self) -> SyscallTable:
        return self.dispatcher.table

    @property
    def runs(self) -> Runs:
        return Runs(self)

    def handle(self, principal: Principal, run: RunId | None = None, mounts: tuple[Mount, ...] = ()) -> KernelHandle:
        """A principal's own handle, in its role; with `run`, what it does stands in that run's stream."""
        return open_handle(self.dispatcher, principal, self.users.role_of, run, mounts)


@asynccontextmanager
async def open_kernel(
    settings: Settings,
    *,
    operator: Principal,
    asker: Asker | None = None,
    clock: Clock | None = None,
    more_projectors: Mapping[str, Projector] | None = None,
    more_providers: Mapping[str, Provider] | None = None,
    reload_settings: Callable[[], Resolved] | None = None,
) -> AsyncGenerator[Kernel]:
    """The kernel of `settings.home`, for `operator`; `more_projectors` are those of the rings above,
    `more_providers` stand beside the configured ones, or in place of those of the same name;
    `reload_settings` reads them anew when their file has changed: those that are live then follow.

    Raises: InstanceLocked (another process owns the home, named by pid), JournalDown, Invalid.
    """
    require_assertions()
    learn_names((*key_names(settings), *key_variables(settings)))
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        stack.enter_context(instance_lock(settings.home))
        journal = await stack.enter_async_context(
            open_journal(make_store(settings), settings.home, clock, projectors(more_projectors or {}))
        )
        engine = Engine(settings, clock, provider_config, make_provider, os.environ, more=more_providers)
        stack.push_async_callback(engine.aclose)
        learn_values(engine.secret_values())
        for provider in (more_providers or {}).values():
            stack.push_async_callback(provider.aclose)
        # Entered last, so that it ends first: no agent outlives the providers or the journal.
        tasks = await stack.enter_async_context(anyio.create_task_group())
        parts = _Parts(settings, operator, asker or Nobody(), clock, journal, tasks, engine, reload_settings)
        kernel = await _compose(parts)
        stack.callback(tasks.cancel_scope.cancel)
        await configuration.note_changes(journal, settings, operator)
        journal.append(Draft(KERNEL, SYSTEM_STREAM, "kernel.booted", {"pid": os.getpid(), "operator": operator}))
        yield kernel


def require_assertions() -> None:
    """Raises: KernelBug under `python -O`, which would strip the invariants."""
    if not __debug__:
        raise KernelBug("Oxios keeps its invariants as assertions: do not run it with python -O")


def projectors(more: Mapping[str, Projector]) -> dict[str, Projector]:
    """Those of the kernel's rooms and `more`. Raises: KernelBug, where two claim one kind of entry."""
    merged: dict[str, Projector] = {}
    rooms = (
        capability_record.PROJECTORS,
        approval_record.PROJECTORS,
        configuration.PROJECTORS,
        people_record.PROJECTORS,
        persona.PROJECTORS,
        runs_projection.PROJECTORS,
    )
    for room in (*rooms, more):
        for kind, projector in room.items():
            if kind in merged:
                raise KernelBug(f"two rooms project entries of kind {kind}")
            merged[kind] = projector
    return merged


def make_sandbox(settings: Settings) -> Sandbox:
    """The tier that the settings name; never a weaker one."""
    if settings.sandbox.tier == "none":
        from kernel.adapters.sandbox.none import NoSandbox  # noqa: PLC0415 -- the tier nobody should need

        return NoSandbox(denied_places(settings))
    return BubblewrapSandbox(denied_places(settings))


def denied_places(settings: Settings) -> tuple[str, ...]:
    """What no agent reaches, by tool or by command: the home, the journal's files, and `paths.denied`."""
    url = settings.journal.url
    journal = [url.split("://", 1)[1] + suffix for suffix in ("", "-wal", "-shm")] if url.startswith("sqlite") else []
    return (str(settings.home), *journal, *settings.paths.denied)


def make_providers(settings: Settings) -> Mapping[str, Provider]:
    """The configured providers by name."""
    return {name: make_provider(provider_config(name, one)) for name, one in settings.providers.items()}


def provider_config(name: str, one: ProviderSettings) -> ProviderConfig:
    """What an adapter is told. The variable of a maker's key is for the maker's own address alone."""
    own = KEY_VARIABLES.get(one.kind, "") if one.base_url == ADDRESSES.get(one.kind) else ""
    waits = Waits(one.connect_s, one.first_byte_s, one.idle_s)
    return ProviderConfig(name, one.kind, one.base_url, one.key_env or own, waits=waits)


async def local_servers() -> Sequence[Found]:
    """The model servers that answer on this machine. Raises: nothing."""
    return await servers.local_servers()


async def offered_models(settings: Settings, name: str, key: str) -> Sequence[str]:
    """What a configured provider lists for this key. Raises: KeyRefused and the other refusals, ProviderDown."""
    return await servers.offered_models(provider_config(name, settings.providers[name]), {}, key)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the kernel is composed of, and what lives outside it."""

    settings: Settings
    operator: Principal
    asker: Asker
    clock: Clock
    journal: Journal
    tasks: TaskGroup
    engine: Engine
    reload_settings: Callable[[], Resolved] | None


async def _compose(parts: _Parts) -> Kernel:
    settings, clock, journal, asker = parts.settings, parts.clock, parts.journal, parts.asker
    capabilities = CapabilityTable(journal, clock)
    await capabilities.load()
    if not await journal.rows("capabilities", {"holder": parts.operator}, limit=1):
        await capabilities.mint_all(parts.operator, operator_root(), origin="operator")
    sandbox = make_sandbox(settings)
    egress = Egress(SystemResolver(), _coverage(capabilities), private_hosts(settings.network.private_hosts))
    budgets, ledger = BudgetLedger(clock), PermitLedger()
    approvals = Approvals(
        journal,
        clock,
        asker=lambda: asker,
        standing=Standing(capabilities),
        budgets=budgets,
        rules=lambda: _rules(parts.engine.settings),
    )
    await approvals.recover()
    users, passwords = people.UserDesk(journal, clock, parts.operator), PasswordBook(settings.home)
    await users.load()
    layers = _layers(settings, capabilities, egress, budgets, approvals)
    gate = Gate(journal, capabilities, ledger, layers, refund=budgets.refund, approvals=approvals)
    desk = ModelDesk(parts.engine, SettingsWatch(settings.home / CONFIG_NAME, parts.reload_settings))
    services = Services(
        (Appender, journal),
        (CapabilityTable, capabilities),
        (Approvals, approvals),
        (Asker, asker),
        (Egress, egress),
        (ModelDesk, desk),
        (PasswordBook, passwords),
        (Sandbox, sandbox),
        (Settings, settings),
        (people.UserDesk, users),
        (Tray, Tray()),
        (config.ConfigDesk, config.ConfigDesk(journal, settings, desk, os.environ, configuration.note_changes)),
        (persona.PersonaDesk, persona.PersonaDesk(journal, settings.home, settings.persona.default)),
    )
    dispatcher = Dispatcher(discover(), gate, ledger, budgets, journal, services, clock, LiveBus())
    supervisor = Supervisor(dispatcher, desk, capabilities, approvals, asker, parts.tasks)
    services.provide(Supervisor, supervisor)
    await _drop_orphans(journal, capabilities)
    return Kernel(
        parts.operator,
        clock,
        journal,
        capabilities,
        approvals,
        dispatcher,
        supervisor,
        sandbox,
        users,
        passwords,
    )


def _layers(
    settings: Settings,
    capabilities: CapabilityTable,
    egress: Egress,
    budgets: BudgetLedger,
    approvals: Approvals,
) -> tuple[Layer, ...]:
    """In the order of `LayerName`; the gate refuses any other."""
    denied = denied_places(settings)
    policy = settings.home / POLICY_NAME
    ensure_policy(policy)
    return (
        ArgumentsLayer(denied),
        CapabilityLayer(capabilities),
        RoleLayer(policy),
        PathLayer(denied),
        CommandLayer(settings.commands.denied),
        EgressLayer(egress),
        BudgetLayer(budgets),
        ApprovalLayer(approvals, lambda: settings.sandbox.tier),
    )


def _rules(settings: Settings) -> Rules:
    said = settings.approval
    return Rules(said.mode, frozenset(said.allow), said.policies, said.wait_s)


def _coverage(capabilities: CapabilityTable) -> Callable[[Principal, Resource], bool]:
    """Whether a principal may reach a host that a redirect names."""
    return lambda principal, host: not isinstance(capabilities.cover(principal, [Need(host, Rights.READ)]), Need)


async def _drop_orphans(journal: Journal, capabilities: CapabilityTable) -> None:
    """Take back what agents hold whose run has ended, or never began because a crash came between.

    What a person granted an agent by name, before its run, stays.
    """
    for holder in capabilities.holders():
        kind, _, run = holder.partition(":")
        rows = await journal.rows("runs", {"id": run}) if kind == "agent" else []
        if rows and rows[0]["status"] in TERMINAL:
            capabilities.drop(holder, "its run is over")
        elif kind == "agent" and not rows and all(cap.origin.startswith("grant ") for cap in capabilities.held(holder)):
            capabilities.drop(holder, "its run never began")
