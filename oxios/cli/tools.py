"""`oxios tools`: what agents can call, and what each call needs."""

from __future__ import annotations

import argparse
import json
from typing import Any

from oxios.exits import Exit

NAME = "tools"
HELP = "list the tools that agents can call, with what they do to the world"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="show one in full, with its arguments")
    parser.add_argument("--all", action="store_true", help="also syscalls that are not offered to models")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")


def run(args: argparse.Namespace) -> int:
    from kernel.syscalls.describe import described  # noqa: PLC0415 -- `oxios --help` needs no tool
    from kernel.syscalls.table import discover  # noqa: PLC0415 -- as above

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
