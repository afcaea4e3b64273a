"""What a syscall's declaration says, as plain data: for the command line, the pages and the API alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kernel.syscalls.declare import AnySyscall
from kernel.syscalls.table import args_schema
from kernel.syscalls.target import CommandClaim, PathClaim, UrlClaim


def described(one: AnySyscall) -> dict[str, Any]:
    """Everything its declaration says, as plain data."""
    return {
        "name": one.name,
        "description": one.description,
        "effect": one.effect.value,
        "tier": one.tier,
        "approval": one.approval,
        "offered": one.offered,
        "claims": list(claim_words(one)),
        "schema": args_schema(one.args),
    }


def claim_words(one: AnySyscall) -> Iterator[str]:
    """What a call claims, computed by its own declaration from arguments that stand for any."""
    fields = one.args.model_fields
    values = {
        name: f"<{name}>" if field.is_required() else field.get_default(call_default_factory=True)
        for name, field in fields.items()
    }
    for claim in one.claims(one.args.model_construct(**values)):
        match claim:
            case PathClaim():
                yield f"file {claim.path} [{claim.right.letters()}]"
            case CommandClaim():
                yield "the programs of the command [x]"
            case UrlClaim():
                yield f"net host of {claim.url} [x]"
            case _:
                yield f"{claim.kind}:{claim.name} [{claim.right.letters()}]"
