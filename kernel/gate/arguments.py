"""The first layer: bounded arguments, and what they name, resolved once.

Guarantees: every claim of the syscall has become exactly one target and its needs before any later
layer looks; two arguments that would share a target's name are refused rather than confused.

What it does not decide: whether the principal may. A claim that cannot be resolved (a path that
leaves the workspace, an unreadable URL) is refused here under its own layer's name.

Source: RFC-0003.
"""

from __future__ import annotations

import os
from typing import Final

from pydantic_core import to_json

from kernel.capability.resource import Resource, is_port
from kernel.capability.rights import Rights
from kernel.capability.token import Need
from kernel.errors import Invalid, KernelBug
from kernel.gate.commands import resolve_command
from kernel.gate.decision import Case, Denied, LayerName
from kernel.gate.egress import resolve_url
from kernel.gate.paths import resolve_path
from kernel.limits import ARGUMENT_BYTES_MAX
from kernel.syscalls.target import (
    Claim,
    CommandClaim,
    CommandTarget,
    NameClaim,
    NameTarget,
    PathClaim,
    PathTarget,
    Target,
    UrlClaim,
    UrlTarget,
)

COMMAND_TARGET: Final = "command"
"""The name under which `Call.command` finds the resolved command."""
_ALL_NET: Final = Resource.parse("net:*:*")
_SHELL: Final = Resource.target("exec", "shell")


class ArgumentsLayer:
    """Are the arguments within bounds, and what do they name?"""

    name: LayerName = "arguments"

    def __init__(self, denied: tuple[str, ...]) -> None:
        """`denied` are directories that no agent may reach: the kernel's home."""
        self._denied = tuple(os.path.realpath(place) for place in denied)

    async def check(self, case: Case) -> Denied | None:
        size = len(to_json(case.request.args))
        if size > ARGUMENT_BYTES_MAX:
            return Denied(
                "arguments",
                f"the arguments are {size} bytes long",
                f"at most {ARGUMENT_BYTES_MAX}; write long text to a file in parts",
            )
        named: dict[str, Claim] = {}
        for claim in case.request.syscall.claims(case.request.args):
            refused = self._add(case, claim, named)
            if refused is not None:
                return refused
        return None

    def _add(self, case: Case, claim: Claim, named: dict[str, Claim]) -> Denied | None:
        name = _name(claim)
        before = named.get(name)
        if before is not None and (type(before) is not type(claim) or isinstance(claim, CommandClaim)):
            return Denied(
                "arguments",
                f"two arguments name {name!r} and mean different things",
                f"write the path as './{name}', or make two calls",
            )
        target = self._resolve(case, claim)
        if isinstance(target, Denied):
            return target
        named[name] = claim
        case.targets[name] = target
        case.needs.extend(needs_of(claim, target))
        return None

    def _resolve(self, case: Case, claim: Claim) -> Target | Denied:
        match claim:
            case PathClaim():
                return resolve_path(claim, case.request.mounts, self._denied)
            case CommandClaim():
                return resolve_command(claim, case.request.mounts)
            case UrlClaim():
                return resolve_url(claim)
            case NameClaim():
                return NameTarget(claim.kind, claim.name)


def needs_of(claim: Claim, target: Target) -> tuple[Need, ...]:
    """The one place where a resolved claim becomes `(resource, right)`.

    A file needs the claim's right; a directory needs it for everything below too, since that is what a
    search or a process may touch. A URL needs READ of its host, a program EXECUTE. A shell line needs
    `exec:shell` alone, since what it runs cannot be known; a command with network needs `net:*:*`.
    """
    match claim, target:
        case PathClaim(), PathTarget():
            place = Resource.target("file", target.real)
            return (Need(Resource.below(place) if target.is_dir else place, claim.right),)
        case CommandClaim(), CommandTarget():
            return _command_needs(target)
        case UrlClaim(), UrlTarget():
            return (Need(Resource.target("net", target.host, str(target.port)), Rights.READ),)
        case NameClaim(), NameTarget():
            return (Need(_named(claim), claim.right),)
        case _:
            raise KernelBug(f"{type(claim).__name__} was resolved to {type(target).__name__}")


def _command_needs(target: CommandTarget) -> tuple[Need, ...]:
    network = (Need(_ALL_NET, Rights.EXECUTE),) if target.network else ()
    if target.shell:
        return (Need(_SHELL, Rights.EXECUTE), *network)
    # A program outside the system's folders is named by its path: `exec:w/tool`, `exec:./tool`.
    programs = target.programs or target.argv[:1]
    return (*(Need(Resource.target("exec", name.lstrip("/")), Rights.EXECUTE) for name in programs), *network)


def _named(claim: NameClaim) -> Resource:
    if claim.kind == "file":
        raise KernelBug(f"a file is claimed by PathClaim, not by name: {claim.name!r}")
    if claim.kind != "net":
        return Resource.target(claim.kind, claim.name)
    host, colon, port = claim.name.rpartition(":")
    if not colon or not host or not is_port(port):
        raise Invalid(f"{claim.name!r} is not a host and a port", remedy="write HOST:PORT")
    return Resource.target("net", host, port)


def _name(claim: Claim) -> str:
    match claim:
        case PathClaim():
            return claim.path
        case UrlClaim():
            return claim.url
        case CommandClaim():
            return COMMAND_TARGET
        case NameClaim():
            return claim.name
