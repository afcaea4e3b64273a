"""`oxios tools`: what agents can call, and what each call needs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from oxios.exits import Exit

if TYPE_CHECKING:
    from kernel.syscalls.declare import AnySyscall

NAME = "tools"
HELP = "list the tools that agents can call, with what they do to the world"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="show one in full, with its arguments")
    parser.add_argument("--all", action="store_true", help="also syscalls that are not offered to models")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")


def run(args: argparse.Namespace) -> int:
    from kernel.syscalls.table import discover  # noqa: PLC0415 -- `oxios --help` needs no tool

    table = discover()
    if args.name:
        shown = described(table.get(args.name))
        print(json.dumps(shown, ensure_ascii=False, indent=None if args.json else 2) if args.json else _full(shown))
        return Exit.OK
    chosen = list(table) if args.all else list(table.offered())
    if args.json:
        print(json.dumps([described(one) for one in chosen], ensure_ascii=False))
        return Exit.OK
    width = max(len(one.name) for one in chosen)
    for one in chosen:
        first_line = one.description.split("\n", 1)[0]
        print(f"{one.name:<{width}}  {one.effect.value:<8}  {one.tier:<14}  {one.approval:<9}  {first_line}")
    return Exit.OK


def described(one: AnySyscall) -> dict[str, Any]:
    """Everything its declaration says, as plain data."""
    from kernel.syscalls.table import args_schema  # noqa: PLC0415 -- `oxios --help` needs no tool

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
    from kernel.syscalls.target import CommandClaim, PathClaim, UrlClaim  # noqa: PLC0415 -- as above

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


def _full(shown: dict[str, Any]) -> str:
    offered = "offered to models" if shown["offered"] else "not offered to models"
    lines = [
        f"{shown['name']}: {shown['description']}",
        "",
        f"effect    {shown['effect']} ({shown['tier']}), {offered}",
        f"approval  {shown['approval']}",
        f"claims    {', '.join(shown['claims']) or 'nothing'}",
        "",
        "arguments",
    ]
    required = shown["schema"].get("required", [])
    for name, field in shown["schema"]["properties"].items():
        kind = field.get("type", "any")
        need = "required" if name in required else f"default {json.dumps(field.get('default'))}"
        lines.append(f"  {name} ({kind}, {need}): {field.get('description', '')}")
    return "\n".join(lines)
