"""Users as an operator handles them: list, create, change, remove; and everybody's own password.

Guarantees: each is a syscall, offered to no model. A new user holds what their role starts with, derived
from what the caller holds, and nothing else; a user who is removed holds nothing, and their runs have
ended, before the call returns. No password is an argument: what is left in the `PasswordBook` is named by
its ticket.

Source: RFC-0016.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pydantic import Field

from kernel.capability.rights import Rights
from kernel.capability.role_grants import ORIGIN, derive_role
from kernel.capability.table import CapabilityTable
from kernel.errors import AccessDenied, Conflict, Invalid, NotFound
from kernel.gate.standing import standing_principal
from kernel.handle.passwords import PasswordBook
from kernel.handle.people import UserDesk
from kernel.handle.people_record import Person, Role
from kernel.ids import Principal, RunId
from kernel.jsontypes import JsonObject
from kernel.log import get_logger
from kernel.process.supervisor import Supervisor
from kernel.runtime.state import TERMINAL
from kernel.settings import Settings
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import Claim, NameClaim

_log = get_logger("users")
_OPEN: Final = ("running", "paused", "interrupted")
_PATH_CHARS_MAX: Final = 1_024


class ListArgs(Args):
    """Nothing to say."""


class NameArgs(Args):
    name: str = Field(max_length=64)


class CreateArgs(NameArgs):
    role: Role = "user"
    workspace: str = Field(default="", max_length=_PATH_CHARS_MAX)
    """An absolute directory; empty for one of their own beside the home."""
    again: bool = False
    """The name was a user's before, who is the same person."""


class ChangeArgs(NameArgs):
    role: Role


class PasswordArgs(NameArgs):
    ticket: str = Field(default="", max_length=64)
    """Of `PasswordBook.deposit`; empty takes the password away."""


class OwnPasswordArgs(Args):
    ticket: str = Field(max_length=64)


def _look(_args: Args) -> tuple[Claim, ...]:
    return (NameClaim("kernel", "users", Rights.READ),)


def _act(_args: Args) -> tuple[Claim, ...]:
    return (NameClaim("kernel", "users", Rights.WRITE),)


@syscall("users.list", ListArgs, claims=_look, effect=Effect.READ, offered=False)
async def users_list(call: Call, _args: ListArgs) -> ToolResult:
    """List the users, and who has a password."""
    desk, book = call.services.get(UserDesk), call.services.get(PasswordBook)
    listed: list[JsonObject] = [{**one.json(), "password": book.has(one.principal)} for one in desk.people()]
    text = "\n".join(f"{one.name} {one.role} {one.workspace}".rstrip() for one in desk.people())
    operator: JsonObject = {"principal": desk.operator, "role": "operator", "password": book.has(desk.operator)}
    return ToolResult(text, {"operator": operator, "users": listed})


@syscall("users.create", CreateArgs, claims=_act, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def users_create(call: Call, args: CreateArgs) -> ToolResult:
    """Add a user: a role, what it starts with, and for the role `user` a workspace of their own."""
    desk, table = call.services.get(UserDesk), call.services.get(CapabilityTable)
    desk.require_new(args.name, again=args.again)
    workspace = _workspace(call, args.name, args.workspace) if args.role == "user" else ""
    _forget_everything(call, Principal(f"user:{args.name}"))
    await derive_role(table, args.role, to=Principal(f"user:{args.name}"), by=call.principal, workspace=workspace)
    person = await desk.create(args.name, args.role, workspace, call.principal)
    return ToolResult(f"{person.name} is a {person.role}", person.json())


@syscall("users.change", ChangeArgs, claims=_act, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def users_change(call: Call, args: ChangeArgs) -> ToolResult:
    """Give a user another role: what the old one gave is taken, with the runs that stand on it."""
    desk, table = call.services.get(UserDesk), call.services.get(CapabilityTable)
    person = desk.find(args.name)
    if person.role == args.role and any(cap.origin.startswith(ORIGIN) for cap in table.held(person.principal)):
        return ToolResult(f"{person.name} is a {person.role} already", person.json())
    workspace = person.workspace
    if args.role == "user" and not workspace:
        workspace = _workspace(call, args.name, "")
    # The record first: from now on their role is the new one, and nothing can be begun with the old.
    changed = await desk.change(person, args.role, workspace, call.principal)
    table.drop(person.principal, f"{person.name} is no {person.role} any more", origin=ORIGIN)
    if args.role != "user":
        await _end_runs(call, person)
    await derive_role(table, args.role, to=person.principal, by=call.principal, workspace=workspace)
    return ToolResult(f"{changed.name} is a {changed.role}", changed.json())


@syscall("users.remove", NameArgs, claims=_act, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def users_remove(call: Call, args: NameArgs) -> ToolResult:
    """Remove a user: capabilities, tokens and password are gone and runs have ended; files stay."""
    desk = call.services.get(UserDesk)
    person = desk.find(args.name)
    if person.principal == call.principal:
        raise Conflict("nobody removes themselves", remedy="have the operator do it")
    await desk.remove(person, call.principal)
    _forget_everything(call, person.principal)
    ended = await _end_runs(call, person)
    return ToolResult(f"{person.name} is no user any more", {**person.json(), "ended": list(ended)})


@syscall("users.link", NameArgs, claims=_act, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def users_link(call: Call, args: NameArgs) -> ToolResult:
    """Note that a one-time link was made that signs a user in; whoever makes links asks here first."""
    principal = call.services.get(UserDesk).known(args.name)
    return ToolResult(f"a link for {principal}", {"principal": principal})


@syscall("users.password", PasswordArgs, claims=_act, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def users_password(call: Call, args: PasswordArgs) -> ToolResult:
    """Set a user's password, or take it away."""
    return await _set(call, call.services.get(UserDesk).known(args.name), args.ticket)


@syscall(
    "self.password",
    OwnPasswordArgs,
    claims=lambda _args: (NameClaim("kernel", "self", Rights.WRITE),),
    effect=Effect.EXTERNAL,
    approval="auto",
    offered=False,
)
async def self_password(call: Call, args: OwnPasswordArgs) -> ToolResult:
    """Set the caller's own password."""
    if call.principal != call.owner:
        raise AccessDenied(f"{call.principal} has no password", layer="roles", remedy="a person sets their own")
    if not args.ticket:
        raise Invalid("there is no password to set", remedy="enter one")
    return await _set(call, call.principal, args.ticket)


async def _set(call: Call, principal: Principal, ticket: str) -> ToolResult:
    desk, book = call.services.get(UserDesk), call.services.get(PasswordBook)
    if ticket:
        await book.redeem(ticket, principal)
    elif not book.forget(principal):
        raise NotFound(f"{principal} has no password", remedy="there is nothing to take away")
    await desk.note_password(principal, kept=bool(ticket), by=call.principal)
    told = f"{principal} has a new password" if ticket else f"{principal} has no password any more"
    return ToolResult(told, {"principal": principal, "password": bool(ticket)})


def _forget_everything(call: Call, principal: Principal) -> None:
    """What they hold, what stands for always, and their password."""
    table = call.services.get(CapabilityTable)
    for holder in (principal, standing_principal(principal)):
        table.drop(holder, f"{principal} is no user")
    call.services.get(PasswordBook).forget(principal)


async def _end_runs(call: Call, person: Person) -> tuple[str, ...]:
    """Stop what runs, and close what waits; the ids of those that ended."""
    supervisor = call.services.get(Supervisor)
    ended: list[str] = []
    for status in _OPEN:
        # A run whose capabilities went may pause by itself before it is stopped: it is closed as it then stands.
        await supervisor.dispatcher.journal.flush()
        rows = await supervisor.dispatcher.journal.rows("runs", {"owner": person.principal, "status": status})
        for run in (str(row["id"]) for row in rows):
            try:
                state = await supervisor.cancel(RunId(run), by=call.principal)
            except Conflict as error:
                _log.info("run_ended_by_itself", run=run, why=error.message)
                continue
            if state.status in TERMINAL:
                ended.append(run)
    return tuple(ended)


def _workspace(call: Call, name: str, wanted: str) -> str:
    """A directory that is this user's alone, made where it is not there.

    Raises: Invalid (not absolute, a link, no directory), Conflict (the home's, or another user's).
    """
    home = Path(os.path.realpath(call.services.get(Settings).home))
    place = Path(wanted) if wanted else workspaces_of(home) / name
    if not place.is_absolute():
        raise Invalid(f"{wanted} is not an absolute path", remedy="write it from / on")
    if "\0" in wanted:
        raise Invalid(f"{wanted!r} is no path: there is a NUL in it", remedy="leave it out")
    place = Path(os.path.realpath(place))
    if _overlap(place, home):
        raise Conflict(f"{place} and the home {home} are within one another", remedy="choose another workspace")
    for other in call.services.get(UserDesk).people():
        if other.name != name and other.workspace and _overlap(place, Path(other.workspace)):
            raise Conflict(f"{place} is not apart from the workspace of {other.name}", remedy="choose another one")
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid(f"{place} cannot be a workspace: {error.strerror}", remedy="choose another one") from error
    return str(place)


def workspaces_of(home: Path) -> Path:
    """Where users' workspaces stand unless said otherwise: beside the home, which no agent may reach."""
    return home.with_name(f"{home.name}-workspaces")


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
