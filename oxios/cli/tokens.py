"""`oxios tokens`: what programs sign in with: list, create, revoke."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from kernel.errors import Invalid
from oxios.exits import Exit
from oxios.frame import say

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.jsontypes import JsonValue

NAME = "tokens"
HELP = "see what programs sign in with; make API tokens, revoke them"

Fields: TypeAlias = "Mapping[str, Any]"
_PERIOD = re.compile(r"(\d+(?:\.\d+)?)([mhdw])")
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SCOPES = ("read", "run", "approve", "admin")


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action")
    listing = actions.add_parser("list", help="list every token that opens something")
    create = actions.add_parser(
        "create",
        help="make a token",
        description="Make a token and print it: it is kept as its digest, and shown once.",
    )
    create.add_argument("name", metavar="PURPOSE", help="what it is for, as the list shows it")
    create.add_argument("--user", metavar="NAME", default="", help="whom it acts as; default: you, the operator")
    create.add_argument(
        "--scope", action="append", choices=_SCOPES, help="what it may be used for, repeatable; default: read"
    )
    create.add_argument("--expires", metavar="PERIOD", type=_period, help="e.g. 90m, 12h, 30d; default: never")
    revoke = actions.add_parser("revoke", help="revoke a token: from now on it opens nothing")
    revoke.add_argument("id", metavar="ID", help="the token's id, as `oxios tokens list` shows it")
    for action in (parser, listing, create):
        default = False if action is parser else argparse.SUPPRESS
        action.add_argument("--json", action="store_true", default=default, help="one JSON value on stdout")


def run(args: argparse.Namespace) -> int:
    from oxios.session import run_kernel  # noqa: PLC0415 -- `oxios --help` needs no kernel

    act = _ACTIONS[args.action or "list"]
    return run_kernel(args, lambda kernel: act(kernel, args))


async def _list(kernel: Kernel, args: argparse.Namespace) -> int:
    tokens = cast("list[Fields]", (await _call(kernel, "tokens.list", {}))["tokens"])
    if args.json:
        print(json.dumps(tokens, ensure_ascii=False, indent=2))
        return Exit.OK
    if not tokens:
        say("there are no tokens", args)
        return Exit.OK
    rows = [("ID", "ACTS AS", "SCOPES", "ENDS", "PURPOSE"), *(_row(kernel, one) for one in tokens)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    return Exit.OK


async def _create(kernel: Kernel, args: argparse.Namespace) -> int:
    from kernel.handle.people import new_token  # noqa: PLC0415 -- for this action alone

    text, digest = new_token()
    wanted: dict[str, JsonValue] = {
        "owner": args.user or kernel.operator.removeprefix("user:"),
        "name": args.name,
        "digest": digest,
        "scopes": list(dict.fromkeys(args.scope or ["read"])),
        "expires_s": args.expires,
    }
    made = await _call(kernel, "tokens.create", wanted)
    if args.json:
        print(json.dumps({**made, "token": text}, ensure_ascii=False, indent=2))
        return Exit.OK
    print(text)
    say(f"it is not shown again; `oxios tokens revoke {made['id']}` takes it back", args)
    return Exit.OK


async def _revoke(kernel: Kernel, args: argparse.Namespace) -> int:
    await _call(kernel, "tokens.revoke", {"token": args.id})
    say(f"{args.id} opens nothing any more", args)
    return Exit.OK


def _row(kernel: Kernel, token: Fields) -> tuple[str, ...]:
    left_h = (int(token["expires_us"]) - kernel.clock.now_us()) // 3_600_000_000
    ends = "never" if not token["expires_us"] else f"in {left_h} h" if left_h >= 0 else "over"
    return (
        str(token["id"]),
        str(token["owner"]).removeprefix("user:"),
        ",".join(cast("list[str]", token["scopes"])),
        ends,
        str(token["name"]),
    )


def _period(text: str) -> float:
    """Raises: Invalid, unless it is a number and one of m, h, d, w."""
    found = _PERIOD.fullmatch(text.strip().lower())
    if found is None or float(found[1]) <= 0:
        raise Invalid(f"--expires {text}: not a period", remedy="write a number and m, h, d or w, e.g. 12h or 30d")
    return float(found[1]) * _SECONDS[found[2]]


async def _call(kernel: Kernel, syscall: str, arguments: Mapping[str, JsonValue]) -> Fields:
    return cast("Fields", (await kernel.handle(kernel.operator).call(syscall, arguments)).data)


_ACTIONS: dict[str, Callable[[Kernel, argparse.Namespace], Awaitable[int]]] = {
    "list": _list,
    "create": _create,
    "revoke": _revoke,
}
