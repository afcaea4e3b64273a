"""Named grants: what an agent starts with, in the words that the gate checks.

Guarantees: an agent's capabilities are within the named ceiling and within what its owner may pass
on, whatever a hint or a persona's role asks for: both can only take away. A pattern that overlaps
the ceiling in part gives exactly the shared part (`Resource.meet`). An unknown grant is an error; an
unknown persona role means nothing, since a persona never confers authority.

Source: RFC-0003.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

from kernel.capability.derivation import Derivation
from kernel.capability.record import PROJECTORS, recordable
from kernel.capability.resource import REST, Resource
from kernel.capability.rights import Rights
from kernel.capability.table import CapabilityTable
from kernel.capability.token import Capability
from kernel.directive import Mount
from kernel.errors import AccessDenied, Invalid
from kernel.ids import Principal
from kernel.limits import CSPACE_SLOTS_MAX

__all__ = ["GRANTS", "PERSONA_GRANTS", "PROJECTORS", "Grant", "derive_grant", "grant_for", "operator_root"]

Item: TypeAlias = tuple[Resource, Rights]


@dataclass(frozen=True, slots=True)
class Grant:
    """A starting cspace. `files` says whether the run's mounts belong to it, each by its own mode."""

    name: str
    summary: str
    entries: tuple[tuple[str, str], ...]
    """Resource and rights, as text."""
    files: bool = True
    delegates: bool = False
    """Everything in it may be passed on: to sub-agents."""


_WORKER: Final = (
    ("exec:**", "rx"),
    ("net:*:443", "rx"),
    ("net:*:80", "rx"),
    ("search:*", "rx"),
    ("model:**", "rx"),
    ("ask:user", "rx"),
    ("persona:*", "r"),
)
_STANDARD: Final = (*_WORKER, ("memory:**", "r"))
_OPERATOR: Final = (
    *_WORKER,
    ("memory:**", "rw"),
    ("agent:**", "rwx"),
    ("mcp:**", "rx"),
    ("persona:*", "rw"),
    ("kernel:runs", "rwx"),
    ("kernel:approvals", "rw"),
    ("kernel:audit", "r"),
)
_SUPERVISOR: Final = (*_OPERATOR, ("kernel:**", "rwx"))

GRANTS: Final[Mapping[str, Grant]] = {
    grant.name: grant
    for grant in (
        Grant("worker", "the run's mounts, programs, web pages on ports 80 and 443, models, questions", _WORKER),
        Grant("standard", "worker, and reads memory", _STANDARD),
        Grant(
            "operator",
            "standard, and writes memory, forks agents, uses MCP servers, handles runs and approvals",
            _OPERATOR,
            delegates=True,
        ),
        Grant("supervisor", "operator, and the kernel's own syscalls", _SUPERVISOR, delegates=True),
    )
}

PERSONA_GRANTS: Final[Mapping[str, str]] = {
    "architect": "standard",
    "developer": "standard",
    "mentor": "worker",
    "planner": "standard",
    "qa": "worker",
    "researcher": "standard",
    "security": "worker",
    "sre": "operator",
    "writer": "standard",
}
"""Which grant a persona's role asks for; what it gets is bounded by the run's ceiling."""

_OPERATOR_ROOT: Final = (
    "file:/**",
    "exec:**",
    "net:*:*",
    "search:**",
    "model:**",
    "memory:**",
    "mcp:**",
    "agent:**",
    "ask:**",
    "persona:**",
    "kernel:**",
    "approve:**",
)


def operator_root() -> tuple[Item, ...]:
    """What the person the machine belongs to gets at first boot; agents' authority derives from it."""
    return tuple((Resource.parse(text), Rights.ALL) for text in _OPERATOR_ROOT)


def named(name: str) -> Grant:
    """Raises: Invalid, naming those that exist."""
    found = GRANTS.get(name.strip().lower())
    if found is None:
        raise Invalid(f"there is no grant {name!r}", remedy=f"use one of {', '.join(GRANTS)}")
    return found


def grant_for(hint: str, persona_role: str, default: str) -> Grant:
    """What is asked for: the hint, else what the persona's role maps to, else `default`.

    A hint is a grant's name, a JSON object `{"RESOURCE": "RIGHTS"}`, a JSON list of
    `{"resource": …, "rights": …}`, or lines of `RESOURCE RIGHTS`.

    Raises: Invalid, where the hint or the default is none of these.
    """
    if hint.strip():
        return _hinted(hint.strip())
    return named(PERSONA_GRANTS.get(persona_role.strip().lower(), default))


def instantiate(grant: Grant, mounts: Iterable[Mount], network: Iterable[str] = ()) -> list[Item]:
    """The grant for a run with these mounts, and with `network` (HOST:PORT, as `run.network`) beside its own hosts.

    Raises: Invalid, where a mount's path has a wildcard in it.
    """
    passed_on = Rights.DELEGATE if grant.delegates else Rights.NONE
    items = [(resource, rights | passed_on) for resource, rights in _parsed(grant.entries)]
    if not grant.files:
        return items
    files = [(_below(mount), _MODES[mount.mode] | passed_on) for mount in mounts]
    hosts = [(Resource.parse(f"net:{host}"), Rights.READ | Rights.EXECUTE | passed_on) for host in network]
    return [*files, *items, *hosts]


@lru_cache(64)
def _parsed(entries: tuple[tuple[str, str], ...]) -> tuple[Item, ...]:
    return tuple((Resource.parse(text), Rights.parse(rights)) for text, rights in entries)


def narrow(ceiling: Iterable[Item], wanted: Iterable[Item]) -> list[Item]:
    """What is within both: the weaker of the two, item by item."""
    bounds = list(ceiling)
    met: dict[Resource, Rights] = {}
    for resource, rights in wanted:
        for bound, most in bounds:
            shared = resource.meet(bound)
            if shared is not None and rights & most:
                met[shared] = met.get(shared, Rights.NONE) | (rights & most)
    return _spare(list(met.items()))


async def derive_grant(
    table: CapabilityTable,
    *,
    owner: Principal,
    to: Principal,
    mounts: Iterable[Mount],
    hint: str = "",
    persona_role: str = "",
    ceiling: str,
    network: Iterable[str] = (),
) -> tuple[Capability, ...]:
    """Derive an agent's capabilities from its owner's, in one journal entry.

    Raises: as `granted`, and what `CapabilityTable.derive_all` raises.
    """
    name, wanted = granted(
        table,
        owner=owner,
        to=to,
        mounts=mounts,
        hint=hint,
        persona_role=persona_role,
        ceiling=ceiling,
        network=network,
    )
    return await table.derive_all(wanted, by=owner, origin=f"grant {name}")


def granted(
    table: CapabilityTable,
    *,
    owner: Principal,
    to: Principal,
    mounts: Iterable[Mount],
    hint: str,
    persona_role: str,
    ceiling: str,
    network: Iterable[str] = (),
) -> tuple[str, list[Derivation]]:
    """The grant's name, and what of it would be derived; changes nothing.

    Raises: Invalid (no such grant, a hint that cannot be read), AccessDenied (nothing of it is the
    owner's to pass on).
    """
    places, hosts = tuple(mounts), tuple(network)
    most = instantiate(named(ceiling), places, hosts)
    asked = grant_for(hint, persona_role, ceiling)
    items = narrow(most, instantiate(asked, places, hosts))
    wanted = derivations(table, owner, to, items)
    if not wanted:
        raise AccessDenied(
            f"{owner} holds nothing of the grant {asked.name} that it may pass on within {ceiling}",
            layer="capability",
            remedy="`oxios caps list` shows what is held; a hint can only take away from the grant of `run.grant`",
        )
    return asked.name, wanted


def derivations(table: CapabilityTable, owner: Principal, to: Principal, items: list[Item]) -> list[Derivation]:
    """What of `items` the owner may pass on, each part of it once."""
    passed = [cap for cap in table.held(owner) if cap.rights & Rights.DELEGATE]
    best: dict[Item, Derivation] = {}
    for resource, rights in items:
        for cap in passed:
            part, shared = cap.resource.meet(resource), rights & cap.rights
            if part is not None and shared & ~Rights.DELEGATE:
                best.setdefault((part, shared), Derivation(cap.id, to, part, shared))
    kept = _spare(list(best))
    return [best[item] for item in kept]


def _spare(items: list[Item]) -> list[Item]:
    """Leave out what another item contains."""
    kept: list[Item] = []
    for item in items:
        if any(_contains(other, item) for other in kept):
            continue
        kept = [other for other in kept if not _contains(item, other)]
        kept.append(item)
    return kept


def _contains(outer: Item, inner: Item) -> bool:
    return outer[1].covers(inner[1]) and inner[0].within(outer[0])


_MODES: Final = {"ro": Rights.READ, "rw": Rights.READ | Rights.WRITE}


def _below(mount: Mount) -> Resource:
    place = recordable(Resource.target("file", mount.path))
    return Resource("file", (*place.segments, REST))


def _hinted(hint: str) -> Grant:
    if hint[0] in "[{":
        return Grant("hint", "as hinted", _check(_from_json(hint)), files=False)
    if ":" not in hint:
        return named(hint)
    pairs: list[tuple[str, str]] = []
    for line in filter(None, (line.strip() for line in hint.splitlines())):
        resource, _, rights = line.rpartition(" ")
        if not resource:
            raise Invalid(f"the hint gives no right to {line!r}", remedy="end the line with letters of rwx")
        pairs.append((resource.strip(), rights))
    return Grant("hint", "as hinted", _check(pairs), files=False)


def _from_json(hint: str) -> list[tuple[str, str]]:
    form = 'write {"RESOURCE": "RIGHTS"} or [{"resource": …, "rights": …}], e.g. {"file:/w/src/**": "r"}'
    try:
        read: Any = json.loads(hint)
        pairs: list[tuple[Any, Any]] = (
            list(cast("dict[str, Any]", read).items())
            if isinstance(read, dict)
            else [(item["resource"], item["rights"]) for item in read]
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Invalid(f"the capability hint cannot be read: {error!r}", remedy=form) from error
    if not all(isinstance(resource, str) and isinstance(rights, str) for resource, rights in pairs):
        raise Invalid("the capability hint holds something other than text", remedy=form)
    return cast("list[tuple[str, str]]", pairs)


def _check(pairs: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    if len(pairs) > CSPACE_SLOTS_MAX:
        raise Invalid(f"the hint names {len(pairs)} resources", remedy=f"at most {CSPACE_SLOTS_MAX}")
    for resource, rights in pairs:
        Resource.parse(resource)
        if not Rights.parse(rights):
            raise Invalid(f"the hint gives no right to {resource!r}", remedy="end the line with letters of rwx")
    return tuple(pairs)
