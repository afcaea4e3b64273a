"""`oxios persona`: see the personas, and choose the one that seeds without a persona use."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, cast

from oxios.exits import Exit
from oxios.frame import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.boot import Kernel
    from kernel.jsontypes import JsonObject, JsonValue

NAME = "persona"
HELP = "list the personas, show one, choose the active one"
NOBODY = "none"


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    listed = actions.add_parser("list", help="all of them, the active one marked", description="List the personas.")
    shown = actions.add_parser("show", help="one of them, whole", description="Show a persona.")
    shown.add_argument("name", metavar="NAME")
    used = actions.add_parser("use", help="make one the active one", description="Choose the active persona.")
    used.add_argument("name", metavar="NAME", help=f"a persona's id, or {NOBODY!r}")
    for action in (listed, shown, used):
        action.add_argument("--json", action="store_true", help="one JSON value on stdout")


def run(args: argparse.Namespace) -> int:
    from oxios.session import run_kernel  # noqa: PLC0415 -- `oxios --help` opens no kernel

    return run_kernel(args, lambda kernel: _act(args, kernel))


async def _act(args: argparse.Namespace, kernel: Kernel) -> int:
    wanted: dict[str, JsonValue] = {} if args.action == "list" else {"name": args.name}
    if args.action == "use" and args.name == NOBODY:
        wanted["name"] = ""
    result = await kernel.handle(kernel.operator).call(f"persona.{args.action}", wanted)
    if args.json:
        print(json.dumps(result.data, ensure_ascii=False))
    elif args.action == "list":
        _print_list(result.data)
    elif args.action == "show":
        _print_persona(result.data)
    else:
        say(result.text, args)
    return Exit.OK


def _print_list(data: JsonObject) -> None:
    for item in cast("Sequence[Mapping[str, str]]", data["personas"]):
        mark = "*" if item["id"] == data["active"] else " " if item["enabled"] else "-"
        print(f"{mark} {item['id']:<12} {item['role']:<12} {item['description']}")


def _print_persona(data: JsonObject) -> None:
    for key in ("id", "name", "role", "description", "enabled", "model", "personality_traits", "source"):
        value = data[key]
        shown = ", ".join(cast("list[str]", value)) if isinstance(value, list) else value
        if shown != "":
            print(f"{key}: {shown}")
    print(f"\n{data['system_prompt']}")
