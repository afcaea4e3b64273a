"""API tokens as an operator handles them: list, create, revoke.

Guarantees: each is a syscall, offered to no model. Whoever makes a token makes its text themselves
(`kernel.handle.people.new_token`) and tells the kernel its digest: the text is in no entry and no file.
A token that was revoked or has run out opens nothing.
Does not know when a token was last used: who lets it in does.

Source: RFC-0016.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from kernel.capability.rights import Rights
from kernel.errors import Invalid
from kernel.handle.people import UserDesk
from kernel.handle.people_record import Scope
from kernel.syscalls.declare import Args, Call, Effect, ToolResult, syscall
from kernel.syscalls.target import Claim, NameClaim

_MICRO: Final = 1_000_000
EXPIRES_S_MAX: Final = 10 * 366 * 24 * 3_600


class ListArgs(Args):
    """Nothing to say."""


class CreateArgs(Args):
    owner: str = Field(max_length=64)
    """A user's name, or the operator's: whom the token acts as."""
    name: str = Field(min_length=1, max_length=64)
    """What it is for, as the list shows it."""
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the token's text."""
    scopes: tuple[Scope, ...] = ("read",)
    expires_s: float | None = Field(default=None, gt=0, le=EXPIRES_S_MAX)


class TokenArgs(Args):
    token: str = Field(max_length=64)


def _look(_args: Args) -> tuple[Claim, ...]:
    return (NameClaim("kernel", "users", Rights.READ),)


def _act(_args: Args) -> tuple[Claim, ...]:
    return (NameClaim("kernel", "users", Rights.WRITE),)


@syscall("tokens.list", ListArgs, claims=_look, effect=Effect.READ, offered=False)
async def tokens_list(call: Call, _args: ListArgs) -> ToolResult:
    """List the tokens that were not revoked: whose, what for, which scopes, until when."""
    tokens = call.services.get(UserDesk).tokens()
    text = "\n".join(f"{one.id} {one.owner} {','.join(sorted(one.scopes))} {one.name}" for one in tokens)
    return ToolResult(text, {"tokens": [one.json() for one in tokens]})


@syscall("tokens.create", CreateArgs, claims=_act, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def tokens_create(call: Call, args: CreateArgs) -> ToolResult:
    """Add a token by its digest; who has its text acts as its owner, within its scopes."""
    if not args.scopes:
        raise Invalid("a token without scopes opens nothing", remedy="name some of read, run, approve, admin")
    desk = call.services.get(UserDesk)
    owner = desk.known(args.owner)
    expires_us = 0 if args.expires_s is None else call.clock.now_us() + round(args.expires_s * _MICRO)
    token = await desk.add_token(owner, args.name, args.scopes, args.digest, by=call.principal, expires_us=expires_us)
    return ToolResult(token.id, token.json())


@syscall("tokens.revoke", TokenArgs, claims=_act, effect=Effect.EXTERNAL, approval="auto", offered=False)
async def tokens_revoke(call: Call, args: TokenArgs) -> ToolResult:
    """Revoke a token: from now on it opens nothing."""
    desk = call.services.get(UserDesk)
    token = desk.find_token(args.token)
    await desk.revoke(token, call.principal)
    return ToolResult(f"{token.id} is revoked", token.json())
