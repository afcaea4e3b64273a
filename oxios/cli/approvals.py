"""`oxios approvals`: what agents asked, what was answered, and what is allowed for always."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from kernel.errors import NotFound
from oxios.exits import Exit
from oxios.frame import colour_wanted, say

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.jsontypes import JsonValue
    from oxios.looking import Looking

NAME = "approvals"
HELP = "list and answer what agents asked, and see what is allowed for always"

_ID_HELP = "the question's id, as `oxios approvals list` shows it"
Fields: TypeAlias = "Mapping[str, Any]"


def configure(parser: argparse.ArgumentParser) -> None:
    places = parser.add_subparsers(title="actions", metavar="ACTION", dest="action")
    listing = places.add_parser("list", help="list questions: those that wait for an answer, or all")
    which = listing.add_mutually_exclusive_group()
    which.add_argument("--pending", action="store_true", help="only those that stand now")
    which.add_argument("--all", action="store_true", help="answered ones too")
    showing = places.add_parser("show", help="show one question whole")
    showing.add_argument("id", metavar="ID", help=_ID_HELP)
    allowing = places.add_parser("allow", help="allow what was asked: once, or as the flag says")
    allowing.add_argument("id", metavar="ID", help=_ID_HELP)
    how_long = allowing.add_mutually_exclusive_group()
    how_long.add_argument("--run", action="store_true", help="for the rest of its run")
    how_long.add_argument("--always", action="store_true", help="for every run of yours, until you forget it")
    denying = places.add_parser("deny", help="deny what was asked")
    denying.add_argument("id", metavar="ID", help=_ID_HELP)
    denying.add_argument("--reason", default="", help="what the agent is told")
    standing = places.add_parser("standing", help="list what is allowed for always")
    forgetting = places.add_parser("forget", help="take back what is allowed for always")
    forgetting.add_argument("key", metavar="KEY", help="as `oxios approvals standing` lists it")
    for action in (parser, listing, showing, allowing, denying, standing, forgetting):
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
    pending = bool(getattr(args, "pending", False))
    found = await looking.look("approvals.list", {"pending_only": pending})
    rows = cast("list[Fields]", found["approvals"])
    if not pending and not getattr(args, "all", False):
        rows = [row for row in rows if row["status"] in {"pending", "denied", "expired", "allowed"}]
    if args.json:
        _print(rows)
        return Exit.OK
    if not rows:
        say("nothing was asked" if getattr(args, "all", False) else "nothing waits for an answer", args)
        return Exit.OK
    head = ("ID", "STATUS", "RUN", "TOOL", "TARGET")
    _table(head, [(row["id"], row["status"], row["run"], row["question"]["tool"], _target(row)) for row in rows], args)
    return Exit.OK


async def _show(looking: Looking, args: argparse.Namespace) -> int:
    row = await looking.look("approvals.show", {"approval": _approval_id(args.id)})
    if args.json:
        _print(row)
        return Exit.OK
    question = cast("Fields", row["question"])
    said = f"{row['choice']} by {row['answered_by']}" if row["choice"] else ""
    lines = {
        "id": row["id"],
        "status": row["status"],
        "run": row["run"],
        "call": row["call"],
        "tool": question["tool"],
        "target": question["target"],
        "why": question["why"],
        "enables": question["enables"],
        "undo": "can be undone" if question["undoable"] else "cannot be undone",
        "answer": f"{said}: {row['reason']}" if row["reason"] else said,
    }
    for name, text in lines.items():
        if text:
            print(f"{name:8} {str(text).replace(chr(10), _UNDER)}")
    return Exit.OK


async def _allow(kernel: Kernel, args: argparse.Namespace) -> int:
    choice = "always" if args.always else "run" if args.run else "once"
    row = await _call(kernel, "approvals.answer", {"approval": args.id, "choice": choice})
    if args.json:
        _print(row)
    if row["status"] == "allowed":
        say("allowed; the same call passes when it is made again: resume, fork or submit", args)
    elif args.always:
        say("allowed for always; `oxios approvals standing` lists it, `oxios approvals forget` takes it back", args)
    return Exit.OK


async def _deny(kernel: Kernel, args: argparse.Namespace) -> int:
    row = await _call(kernel, "approvals.answer", {"approval": args.id, "choice": "deny", "reason": args.reason})
    if args.json:
        _print(row)
    say("denied", args)
    return Exit.OK


async def _standing(kernel: Kernel, args: argparse.Namespace) -> int:
    found = cast("list[Fields]", (await _call(kernel, "approvals.standing", {}))["standing"])
    if args.json:
        _print(found)
    elif found:
        _table(
            ("KEY", "CAPABILITY", "BECAUSE OF"),
            [(one["key"], one["capability"], one["approval"]) for one in found],
            args,
        )
    else:
        say("nothing is allowed for always", args)
    return Exit.OK


async def _forget(kernel: Kernel, args: argparse.Namespace) -> int:
    done = await _call(kernel, "approvals.forget", {"key": args.key})
    if args.json:
        _print(done)
    say(f"{args.key} is asked about again", args)
    return Exit.OK


_UNDER: Final = "\n" + " " * 9
"""Later lines of a text stand under its first: none of them passes for another field."""

_LOOKS: dict[str, Callable[[Looking, argparse.Namespace], Awaitable[int]]] = {"list": _list, "show": _show}
_ACTIONS: dict[str, Callable[[Kernel, argparse.Namespace], Awaitable[int]]] = {
    "allow": _allow,
    "deny": _deny,
    "standing": _standing,
    "forget": _forget,
}


async def _call(kernel: Kernel, name: str, arguments: Mapping[str, JsonValue]) -> Fields:
    """Raises: NotFound, Conflict, AccessDenied: as the syscall."""
    if "approval" in arguments:
        _approval_id(str(arguments["approval"]))
    return (await kernel.handle(kernel.operator).call(name, arguments)).data


def _print(value: Fields | list[Fields]) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def _approval_id(text: str) -> str:
    """Raises: NotFound, where it has not the form of one."""
    if not text.startswith("p"):
        raise NotFound(f"{text!r} is no approval's id", remedy="see `oxios approvals list --all`")
    return text


def _target(row: Fields) -> str:
    return str(row["question"]["target"]).replace("\n", " ⏎ ")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], args: argparse.Namespace) -> None:
    """Columns as wide as they need; the last runs on."""
    widths = [max(len(str(row[column])) for row in (head, *rows)) for column in range(len(head) - 1)]
    bold, plain = ("\x1b[1m", "\x1b[0m") if colour_wanted(args, sys.stdout) else ("", "")
    for number, row in enumerate((head, *rows)):
        line = "  ".join([*(str(cell).ljust(width) for cell, width in zip(row, widths, strict=False)), str(row[-1])])
        print(f"{bold}{line}{plain}" if number == 0 else line)
