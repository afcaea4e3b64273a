"""`oxios caps`: who may do what, and since when: list, tree, grant, derive, revoke, delete."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from kernel.errors import Invalid
from oxios.exits import Exit
from oxios.frame import say

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.jsontypes import JsonValue
    from oxios.looking import Looking

NAME = "caps"
HELP = "see who may do what; grant it, narrow it, take it back"

Fields: TypeAlias = "Mapping[str, Any]"
_PERIOD = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_RIGHTS = "letters of r (read), w (write), x (execute), d (delegate: may be passed on)"
_ID_HELP = "the capability's id, as `oxios caps list` shows it"
_PRINCIPAL = "user:NAME, agent:RUN or job:NAME"


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action")
    listing = actions.add_parser("list", help="list what a principal holds, or everybody")
    listing.add_argument("principal", nargs="?", default="", metavar="PRINCIPAL", help=f"{_PRINCIPAL}; default: all")
    tree = actions.add_parser("tree", help="show what was derived from what")
    tree.add_argument("id", nargs="?", default="", metavar="ID", help="where to start; default: everything")
    grant = actions.add_parser(
        "grant",
        help="give a principal a capability",
        description="Give a principal a capability, derived from one that you may pass on.",
    )
    grant.add_argument("principal", metavar="PRINCIPAL", help=_PRINCIPAL)
    grant.add_argument("resource", metavar="RESOURCE", help="e.g. 'file:/w/src/**', exec:git, net:example.org:443")
    grant.add_argument("rights", metavar="RIGHTS", help=_RIGHTS)
    derive = actions.add_parser(
        "derive",
        help="give a principal part of one capability",
        description="Give a principal part of the capability ID, derived from it.",
    )
    derive.add_argument("id", metavar="ID", help=_ID_HELP)
    derive.add_argument("principal", metavar="PRINCIPAL", help=_PRINCIPAL)
    derive.add_argument("resource", nargs="?", default="", metavar="RESOURCE", help="default: as the parent's")
    derive.add_argument("rights", nargs="?", default="", metavar="RIGHTS", help=f"{_RIGHTS}; default: the parent's")
    for bounded in (grant, derive):
        bounded.add_argument("--expires", metavar="PERIOD", type=_period, help="e.g. 90s, 15m, 1h, 7d")
        bounded.add_argument("--uses", metavar="N", type=int, help="how many calls it covers")
    revoke = actions.add_parser("revoke", help="take a capability back, with all derived from it")
    revoke.add_argument("id", metavar="ID", help=_ID_HELP)
    revoke.add_argument("--keep", action="store_true", help="take only what was derived from it")
    delete = actions.add_parser("delete", help="empty one slot, leaving what was derived from it")
    delete.add_argument("id", metavar="ID", help=_ID_HELP)
    for taking in (revoke, delete):
        taking.add_argument("--root", action="store_true", help="take root authority, which nothing gives back")
    for action in (parser, listing, tree, grant, derive, revoke, delete):
        default = False if action is parser else argparse.SUPPRESS
        action.add_argument("--json", action="store_true", default=default, help="one JSON value on stdout")


def run(args: argparse.Namespace) -> int:
    from oxios.looking import look  # noqa: PLC0415 -- `oxios --help` needs no kernel
    from oxios.session import run_kernel  # noqa: PLC0415 -- as above

    action = args.action or "list"
    if action in _LOOKS:
        return look(args, lambda looking: _LOOKS[action](looking, args))
    return run_kernel(args, lambda kernel: _ACTIONS[action](kernel, args))


async def _list(looking: Looking, args: argparse.Namespace) -> int:
    found = await looking.look("caps.list", {"holder": getattr(args, "principal", "")})
    caps = cast("list[Fields]", found["capabilities"])
    if args.json:
        _print_json(caps)
    elif not caps:
        say("nothing is held", args)
    else:
        rows = [(cap["id"], cap["holder"], cap["rights"], cap["resource"], _bounds(looking, cap)) for cap in caps]
        _print_table(("ID", "HOLDER", "RIGHTS", "RESOURCE", "BOUNDS AND ORIGIN"), rows)
    return Exit.OK


async def _tree(looking: Looking, args: argparse.Namespace) -> int:
    found = await looking.look("caps.tree", {"capability": args.id})
    caps = cast("list[Fields]", found["capabilities"])
    if args.json:
        _print_json(_nested(caps))
    else:
        for depth, cap in _walk(caps):
            shown = f"{'  ' * depth}{cap['id']}  {cap['holder']}  {cap['rights']}  {cap['resource']}"
            print(f"{shown}  {_bounds(looking, cap)}".rstrip())
    return Exit.OK


async def _grant(kernel: Kernel, args: argparse.Namespace) -> int:
    wanted = {"to": args.principal, "resource": args.resource, "rights": args.rights}
    return await _make(kernel, args, "caps.grant", wanted)


async def _derive(kernel: Kernel, args: argparse.Namespace) -> int:
    wanted = {"parent": args.id, "to": args.principal, "resource": args.resource, "rights": args.rights}
    return await _make(kernel, args, "caps.derive", wanted)


async def _make(kernel: Kernel, args: argparse.Namespace, syscall: str, wanted: Mapping[str, JsonValue]) -> int:
    found = await _call(kernel, syscall, {**wanted, "expires_s": args.expires, "uses": args.uses})
    (cap,) = cast("list[Fields]", found["capabilities"])
    if args.json:
        _print_json(cap)
        return Exit.OK
    print(cap["id"])
    say(f"{cap['holder']} may {cap['rights']} {cap['resource']}; `oxios caps revoke {cap['id']}` takes it back", args)
    return Exit.OK


async def _revoke(kernel: Kernel, args: argparse.Namespace) -> int:
    found = await _call(kernel, "caps.revoke", {"capability": args.id, "keep": args.keep, "root": args.root})
    gone = cast("list[str]", found["revoked"])
    if args.json:
        _print_json(found)
    else:
        print(*gone, sep="\n", end="\n" if gone else "")
        say(f"{len(gone)} revoked", args)
    return Exit.OK


async def _delete(kernel: Kernel, args: argparse.Namespace) -> int:
    found = await _call(kernel, "caps.delete", {"capability": args.id, "root": args.root})
    if args.json:
        _print_json(found)
    say("deleted; what was derived from it is still held", args)
    return Exit.OK


async def _call(kernel: Kernel, syscall: str, arguments: Mapping[str, JsonValue]) -> Fields:
    return cast("Fields", (await kernel.handle(kernel.operator).call(syscall, arguments)).data)


def _period(text: str) -> float:
    """Raises: Invalid, unless it is a number and one of s, m, h, d, w."""
    found = _PERIOD.fullmatch(text.strip().lower())
    if found is None or float(found[1]) <= 0:
        raise Invalid(f"--expires {text}: not a period", remedy="write a number and s, m, h, d or w, e.g. 90s or 1h")
    return float(found[1]) * _SECONDS[found[2]]


def _bounds(looking: Looking, cap: Fields) -> str:
    parts: list[str] = []
    if cap["expires_us"] is not None:
        left_s = max(0, (int(cap["expires_us"]) - looking.clock.now_us()) // 1_000_000)
        parts.append(f"{left_s // 3_600}:{left_s // 60 % 60:02}:{left_s % 60:02} left")
    if cap["uses_left"] is not None:
        parts.append(f"{cap['uses_left']} uses left")
    return ", ".join([*parts, str(cap["origin"])])


def _walk(caps: list[Fields]) -> Iterator[tuple[int, Fields]]:
    """Each with its depth below the nearest ancestor that is shown, children after their parent."""
    shown = {cap["id"] for cap in caps}
    children: dict[str, list[Fields]] = {}
    for cap in caps:
        children.setdefault(cap["parent"] if cap["parent"] in shown else "", []).append(cap)
    stack = [(0, cap) for cap in reversed(children.get("", []))]
    while stack:
        depth, cap = stack.pop()
        yield depth, cap
        stack += [(depth + 1, child) for child in reversed(children.get(cap["id"], []))]


def _nested(caps: list[Fields]) -> list[Fields]:
    line: list[dict[str, Any]] = [{"children": []}]
    for depth, cap in _walk(caps):
        del line[depth + 1 :]
        node: dict[str, Any] = {**cap, "children": []}
        line[depth]["children"].append(node)
        line.append(node)
    return cast("list[Fields]", line[0]["children"])


def _print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


_LOOKS: dict[str, Callable[[Looking, argparse.Namespace], Awaitable[int]]] = {"list": _list, "tree": _tree}
_ACTIONS: dict[str, Callable[[Kernel, argparse.Namespace], Awaitable[int]]] = {
    "grant": _grant,
    "derive": _derive,
    "revoke": _revoke,
    "delete": _delete,
}
