"""`oxios users`: who may come in, and as what: list, create, role, remove, link, password."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from kernel.errors import Invalid
from oxios.exits import Exit
from oxios.frame import read_stdin, say
from oxios.seat import current

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from kernel.jsontypes import JsonValue

NAME = "users"
HELP = "see who may come in and as what; add users, change their role, remove them, make sign-in links"

Fields: TypeAlias = "Mapping[str, Any]"
_NAME = "a user's name"
_PASSWORD_BYTES_MAX: Final = 2_048


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action")
    listing = actions.add_parser("list", help="list everybody, with their role")
    create = actions.add_parser(
        "create", help="add a user", description="Add a user, and print a one-time link that signs them in."
    )
    create.add_argument("name", metavar="NAME", help="lower-case letters, digits and . _ - within")
    create.add_argument(
        "--role", choices=("user", "viewer"), default="user", help="user works with agents, viewer only sees"
    )
    create.add_argument("--workspace", metavar="DIRECTORY", default="", help="default: a new one beside the home")
    create.add_argument("--again", action="store_true", help="the name was a user's before, who is the same person")
    role = actions.add_parser("role", help="give a user another role")
    role.add_argument("name", metavar="NAME", help=_NAME)
    role.add_argument("role", choices=("user", "viewer"), help="the new role")
    remove = actions.add_parser(
        "remove",
        help="remove a user; their files stay",
        description="Remove a user: runs end, what they hold is revoked, their files stay.",
    )
    remove.add_argument("name", metavar="NAME", help=_NAME)
    link = actions.add_parser(
        "link",
        help="make a one-time sign-in link",
        description="Print a link that signs a user in once, within 15 minutes.",
    )
    link.add_argument("name", nargs="?", default="", metavar="NAME", help=f"{_NAME}; default: you, the operator")
    password = actions.add_parser(
        "password",
        help="set a password, or take it away",
        description="Set a password, typed or from standard input, or take it away.",
    )
    password.add_argument("name", nargs="?", default="", metavar="NAME", help=f"{_NAME}; default: you, the operator")
    password.add_argument("--remove", action="store_true", help="take it away")
    for action in (parser, listing, create):
        default = False if action is parser else argparse.SUPPRESS
        action.add_argument("--json", action="store_true", default=default, help="one JSON value on stdout")


def run(args: argparse.Namespace) -> int:
    from oxios.session import run_kernel  # noqa: PLC0415 -- `oxios --help` needs no kernel

    action = args.action or "list"
    args.typed = _typed(args) if action == "password" and not args.remove else ""
    return run_kernel(args, lambda kernel: _ACTIONS[action](kernel, args))


async def _list(kernel: Kernel, args: argparse.Namespace) -> int:
    found = await _call(kernel, "users.list", {})
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return Exit.OK
    operator, users = cast("Fields", found["operator"]), cast("list[Fields]", found["users"])
    rows = [
        ("NAME", "ROLE", "PASSWORD", "WORKSPACE"),
        (_name(kernel), "operator", _yes(operator), ""),
        *((str(one["name"]), str(one["role"]), _yes(one), str(one["workspace"])) for one in users),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    return Exit.OK


async def _create(kernel: Kernel, args: argparse.Namespace) -> int:
    from oxios.frame import place  # noqa: PLC0415 -- for this action alone

    workspace = str(place(args.workspace)) if args.workspace else ""
    wanted: dict[str, JsonValue] = {"name": args.name, "role": args.role, "workspace": workspace, "again": args.again}
    person = await _call(kernel, "users.create", wanted)
    link = await _made(kernel, args.name)
    if args.json:
        print(json.dumps({**person, "link": link}, ensure_ascii=False, indent=2))
        return Exit.OK
    say(f"{args.name} is a {args.role}; this link signs them in once, within 15 minutes:", args)
    print(link)
    return Exit.OK


async def _role(kernel: Kernel, args: argparse.Namespace) -> int:
    await _call(kernel, "users.change", {"name": args.name, "role": args.role})
    say(f"{args.name} is a {args.role}", args)
    return Exit.OK


async def _remove(kernel: Kernel, args: argparse.Namespace) -> int:
    gone = await _call(kernel, "users.remove", {"name": args.name})
    say(f"{args.name} is no user any more; {len(cast('list[str]', gone['ended']))} runs were ended", args)
    return Exit.OK


async def _link(kernel: Kernel, args: argparse.Namespace) -> int:
    print(await _made(kernel, args.name or _name(kernel)))
    say("(the link works once, for 15 minutes)", args)
    return Exit.OK


async def _password(kernel: Kernel, args: argparse.Namespace) -> int:
    name = args.name or _name(kernel)
    ticket = "" if args.remove else kernel.passwords.deposit(args.typed)
    told = await _call(kernel, "users.password", {"name": name, "ticket": ticket})
    say(f"{name} has {'a new password' if told['password'] else 'no password any more'}", args)
    return Exit.OK


async def _made(kernel: Kernel, name: str) -> str:
    """A new link. It stands in no entry: the syscall says only that it was made."""
    from oxios.server.record import serving  # noqa: PLC0415 -- for links alone
    from webui.security.links import SignInLinks  # noqa: PLC0415 -- as above

    await _call(kernel, "users.link", {"name": name})
    settings = kernel.settings
    record = serving(settings.home)
    url = record.url if record else settings.server.url or f"http://{settings.server.host}:{settings.server.port}"
    if record is None:
        say("no server works in this home: start `oxios serve`, then follow the link")
    return url.rstrip("/") + SignInLinks(settings.home, kernel.clock).issue(kernel.users.known(name))


def _typed(args: argparse.Namespace) -> str:
    """The new password from standard input; asked for twice without echo where that is a terminal.

    Raises: Invalid.
    """
    if current() is None and sys.stdin.isatty():
        import getpass  # noqa: PLC0415 -- at a terminal only

        first, second = getpass.getpass("new password (not shown): "), getpass.getpass("once more: ")
        if first != second:
            raise Invalid("the two passwords differ", remedy="enter it twice alike")
        args.stdin_read = f"{first}\n".encode()  # for a server that carries the command
        return first
    return read_stdin(args, _PASSWORD_BYTES_MAX).decode(errors="replace").partition("\n")[0].rstrip("\r")


def _name(kernel: Kernel) -> str:
    return kernel.operator.removeprefix("user:")


def _yes(person: Fields) -> str:
    return "yes" if person["password"] else "no"


async def _call(kernel: Kernel, syscall: str, arguments: Mapping[str, JsonValue]) -> Fields:
    return cast("Fields", (await kernel.handle(kernel.operator).call(syscall, arguments)).data)


_ACTIONS: dict[str, Callable[[Kernel, argparse.Namespace], Awaitable[int]]] = {
    "list": _list,
    "create": _create,
    "role": _role,
    "remove": _remove,
    "link": _link,
    "password": _password,
}
