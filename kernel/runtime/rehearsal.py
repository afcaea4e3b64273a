"""Trying a policy on what already happened: which past calls would be decided otherwise?

Guarantees: both rule sets are put to the same calls through the gate's own code (argument resolution,
needs, grants, the role policy, denied paths and programs, approval policies), and nothing is done,
asked or recorded. A call is listed where the two decisions differ.
What it does not know: what the files and links of that time were (paths are resolved as they are
now), names' addresses (no lookup is made), answers that people gave, budgets, and grants that were
made or revoked by hand. Calls whose mounts are gone are counted as not rehearsed. Source: RFC-0014.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, cast

from pydantic import ValidationError

from kernel.capability.grants import Item, grant_for, instantiate, named, narrow
from kernel.directive import Mount
from kernel.errors import Invalid
from kernel.gate.arguments import ArgumentsLayer
from kernel.gate.commands import CommandLayer
from kernel.gate.decision import Case, Denied
from kernel.gate.paths import check_real
from kernel.gate.policy import Rules, keys_of, peril, policy_of
from kernel.gate.request import Request
from kernel.gate.roles import RoleLayer
from kernel.ids import CallId, Principal, RunId, agent, call_id
from kernel.journal.entry import Entry
from kernel.jsontypes import JsonObject
from kernel.ports.sandbox import Tier
from kernel.runtime.dispatch import digest_of
from kernel.runtime.model import ModelArgs, model
from kernel.runtime.record import env_of
from kernel.settings.tree import ApprovalMode
from kernel.syscalls.table import SyscallTable

Outcome: TypeAlias = Literal["allowed", "asked", "denied"]
AGENT_ROLE = "agent"
MODEL = model.name
"""What a model request is listed as: it passes the gate as tools do."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All that decides, apart from state: where the role policy is, what is denied, what is asked."""

    policy: Path
    grant: str
    network: tuple[str, ...]
    denied_paths: tuple[str, ...]
    denied_programs: tuple[str, ...]
    rules: Rules
    tier: Tier
    providers: frozenset[str]
    """Whose models can be asked."""


@dataclass(frozen=True, slots=True)
class PastCall:
    """One tool call of a finished or running run, as its model made it; or a model that answered it, as MODEL."""

    seq: int
    run: RunId
    call: CallId
    tool: str
    arguments: str
    owner: Principal
    mounts: tuple[Mount, ...]
    hint: str
    persona_role: str
    approve: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule set says of a call."""

    outcome: Outcome
    layer: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """A past call that the new rules decide otherwise."""

    past: PastCall
    before: Finding
    after: Finding


@dataclass(frozen=True, slots=True)
class Rehearsed:
    calls: int
    not_rehearsed: int
    changed: tuple[Changed, ...]


def past_calls(entries: Iterable[Entry]) -> Iterator[PastCall]:
    """The calls of one run's stream, in order; empty where it does not begin with its start."""
    started: JsonObject | None = None
    for entry in entries:
        if entry.payload is None:
            continue
        if entry.kind == "run.started":
            started = entry.payload
        elif entry.kind == "model.reply" and started is not None:
            for call in cast("list[dict[str, str]]", entry.payload.get("calls", [])):
                yield _past(entry, started, call)


def past_requests(entries: Iterable[Entry]) -> Iterator[PastCall]:
    """The models that answered one run, in order, each time."""
    started: JsonObject | None = None
    for entry in entries:
        if entry.payload is not None and entry.kind == "run.started":
            started = entry.payload
        elif entry.payload is not None and entry.kind == "model.reply" and started is not None:
            asked = {"model": str(entry.payload.get("asked", entry.payload["model"]))}
            name = call_id(RunId(entry.stream), 0)
            yield _past(entry, started, {"call": name, "name": MODEL, "arguments": json.dumps(asked)})


class Rehearsal:
    """One rule set, ready to decide."""

    def __init__(self, rules: RuleSet, table: SyscallTable) -> None:
        self._rules = rules
        self._table = table
        self._arguments = ArgumentsLayer(())
        self._roles = RoleLayer(rules.policy)
        self._commands = CommandLayer(rules.denied_programs)

    async def decide(self, past: PastCall) -> Finding | None:
        """None where the call cannot be put to the gate again: unknown tool, bad arguments, mounts gone."""
        request = self._request(past)
        if request is None or _gone(past.mounts):
            return None
        case = Case(request)
        refused = await self._arguments.check(case) or self._capability(case, past)
        for layer in (self._roles, self._commands):
            refused = refused or await layer.check(case)
        refused = refused or self._paths(case)
        if refused is not None:
            return Finding("denied", refused.layer, refused.reason)
        return self._catalog(case) or self._approval(case, past)

    def _request(self, past: PastCall) -> Request | None:
        if past.tool != MODEL and past.tool not in self._table:
            return None
        syscall = model if past.tool == MODEL else self._table.get(past.tool)
        try:
            args = syscall.args.model_validate_json(past.arguments or "{}")
        except ValidationError:
            return None
        return Request(
            principal=agent(past.run),
            owner=past.owner,
            role=AGENT_ROLE,
            run=past.run,
            call=past.call,
            syscall=syscall,
            args=args,
            arguments=digest_of(args),
            mounts=past.mounts,
        )

    def _capability(self, case: Case, past: PastCall) -> Denied | None:
        held = self._held(past)
        for need in case.needs:
            if not any(need.resource.within(resource) and rights.covers(need.right) for resource, rights in held):
                return Denied("capability", f"the grant does not cover {need}", "grant it, or widen the grant")
        return None

    def _held(self, past: PastCall) -> Sequence[Item]:
        ceiling = instantiate(named(self._rules.grant), past.mounts, self._rules.network)
        asked = grant_for(past.hint, past.persona_role, self._rules.grant)
        return narrow(ceiling, instantiate(asked, past.mounts, self._rules.network))

    def _catalog(self, case: Case) -> Finding | None:
        """Of a model whose provider is none of those there are."""
        args = case.request.args
        provider = args.model.partition("/")[0] if isinstance(args, ModelArgs) else ""
        if not provider or provider in self._rules.providers:
            return None
        return Finding("denied", "catalog", f"no provider {provider!r} is configured")

    def _paths(self, case: Case) -> Denied | None:
        for need in case.needs:
            if need.resource.kind == "file":
                real = "/" + "/".join(part for part in need.resource.segments if part != "**")
                refused = check_real(real, need.right, case.request.mounts, self._rules.denied_paths)
                if refused is not None:
                    return replace(refused, layer="paths")
        return None

    def _approval(self, case: Case, past: PastCall) -> Finding:
        rules = self._rules.rules
        mode = cast("ApprovalMode", past.approve) if past.approve else rules.mode
        syscall = case.request.syscall
        policy = policy_of(syscall.approval, syscall.name, rules, peril(case.targets.values()))
        keys = keys_of(syscall.name, case.targets.values(), self._rules.tier)
        listed = mode == "allow-list" and (
            not rules.allow.isdisjoint(keys.any_of) or bool(keys.all_of and rules.allow.issuperset(keys.all_of))
        )
        if policy == "auto" or (policy == "on_demand" and (mode == "auto" or listed)):
            return Finding("allowed")
        return Finding("asked", "approval", f"policy {policy}, mode {mode}")


async def rehearse(calls: Iterable[PastCall], before: Rehearsal, after: Rehearsal) -> Rehearsed:
    """Put each call to both rule sets. Raises: Invalid (a grant or hint that cannot be read)."""
    changed: list[Changed] = []
    count = skipped = 0
    for past in calls:
        old, new = await _decide(before, past), await _decide(after, past)
        if old is None or new is None:
            skipped += 1
            continue
        count += 1
        if (old.outcome, old.layer) != (new.outcome, new.layer):
            changed.append(Changed(past, old, new))
    return Rehearsed(count, skipped, tuple(changed))


async def _decide(rehearsal: Rehearsal, past: PastCall) -> Finding | None:
    try:
        return await rehearsal.decide(past)
    except Invalid as error:
        raise Invalid(f"run {past.run}: {error.message}", remedy=error.remedy) from error


def _gone(mounts: Iterable[Mount]) -> bool:
    return not all(Path(mount.path).is_dir() for mount in mounts)


def _past(entry: Entry, started: JsonObject, call: dict[str, str]) -> PastCall:
    env = env_of(started["env"])
    return PastCall(
        seq=entry.seq,
        run=RunId(entry.stream),
        call=CallId(call["call"]),
        tool=call["name"],
        arguments=call["arguments"],
        owner=Principal(str(started["owner"])),
        mounts=env.mounts,
        hint=env.cspace_hint,
        persona_role=env.persona_role,
        approve=str(started.get("approve", "")),
    )
